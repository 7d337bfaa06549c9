"""Files that appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from nirgen.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_TEMPORARY = re.compile(r"\.nirgen-[0-9a-f]{8}\.tmp")


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Write a file so that a reader, or a crash, sees the old content or the new one and nothing between.

    The temporary file lies in the target's folder; its name is short, because the target's may be as long as a file
    system allows.

    Args:
        path: The file; its folder exists.

    Yields:
        A temporary path to write instead, of an empty file; it takes the file's place when the block ends, with the
        permissions of any new file, whichever the writer gave it.

    Raises:
        OSError: It can't be written; as for any error in the block, no temporary file is left.
    """
    temporary = path.parent / f".nirgen-{secrets.token_hex(4)}.tmp"
    try:
        temporary.touch(exist_ok=False)
        permissions = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        temporary.chmod(permissions)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes as a file, whole or not at all (see `replacing`).

    Args:
        path: The file; its folder exists.
        data: The whole content.

    Raises:
        OSError: It can't be written; no temporary file is left.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def output_file(path: Path) -> Generator[Path]:
    """`replacing` for a file that the user named: its folders are made, and what fails is one line.

    Args:
        path: The file.

    Yields:
        A temporary path to write instead.

    Raises:
        OutputError: It or its folders can't be written.
    """
    make_folder(path.parent)
    try:
        if path.is_dir():
            raise OutputError(f"{path}: a folder; name a file")
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); name another place") from error


def make_folder(path: Path) -> None:
    """Make a folder that the user named, and those above it; one that exists will do.

    Raises:
        OutputError: It can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "not a folder" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror or error
        raise OutputError(f"{path}: can't be made a folder ({what}); name another place") from error


@contextmanager
def locked(path: Path, *, busy: str) -> Generator[None]:
    """Keep other processes out; the system lets go of a lock when its process dies.

    Args:
        path: The lock file, made if there is none. It stays; a caller that wants it gone removes it inside the block.
        busy: What to say if another process holds the lock.

    Raises:
        OutputError: Another process holds the lock, or the file can't be made.
    """
    while True:
        try:
            file = path.open("ab")
        except OSError as error:
            raise OutputError(f"{path.parent}: can't be written ({error.strerror}); name another folder") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(busy) from None
            if _is_at(file, path):  # or else the process that held the lock has removed the file meanwhile
                yield
                return


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `replacing` gives while it works; such a file is what a killed run left.

    Example:
        >>> is_temporary(".nirgen-0123abcd.tmp"), is_temporary("photo.tmp")
        (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None
