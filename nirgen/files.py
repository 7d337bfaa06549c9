"""Atomic file writes, locks, and retries after transient storage errors."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import math
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

from nirgen.errors import NirgenError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
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


_DRIVE = re.compile(r"[A-Za-z]:")


def safe_path(name: str, where: str) -> str:
    """Make sure that a path from a file stays below the folder that it is relative to.

    Args:
        name: The path as the file has it.
        where: What has it, for the error: such as `labels.json: image 17`.

    Returns:
        The same path in its shortest spelling: `./a//b.jpg` becomes `a/b.jpg`.

    Raises:
        NirgenError: It is empty or absolute, or has `..`, a backslash, a drive letter or a control character.

    Example:
        >>> safe_path("./a/b.jpg", "labels.json")
        'a/b.jpg'
        >>> safe_path("../b.jpg", "l.json")
        Traceback (most recent call last):
        nirgen.errors.NirgenError: l.json: the name '../b.jpg' has '..'; write a path relative to the images' folder
    """
    fault = _path_fault(name)
    if fault:
        raise NirgenError(f"{where}: the name {name!r} {fault}; write a path relative to the images' folder")
    return PurePosixPath(name).as_posix()


def _path_fault(name: str) -> str | None:
    """What is wrong with a path, or None."""
    if "\\" in name:
        return "has a backslash (folders are parted by '/')"
    if not name.isprintable() and any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has a control character"
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute"
    parts = PurePosixPath(name).parts
    if ".." in parts:
        return "has '..'"
    return None if parts else "is empty"


# What a network drive answers when it is about to answer better. ENOENT and EACCES are not among them.
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "EIO", "ENETDOWN", "ENETRESET",
        "ENETUNREACH", "ENOLINK", "ENOTCONN", "EREMOTEIO", "ESTALE", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip
_PAUSES_SECONDS = (0.1, 0.5, 2.5)
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_Result = TypeVar("_Result")


def may_pass(error: OSError) -> bool:
    """Whether storage may answer better in a while."""
    return error.errno in _PASSING


def retrying(
    action: Callable[[], _Result],
    *,
    pauses_seconds: Sequence[float] = _PAUSES_SECONDS,
    patience_seconds: float = math.inf,
) -> _Result:
    """Do something with storage; after an error that may pass, do it again.

    Args:
        action: What to do.
        pauses_seconds: Before each further attempt.
        patience_seconds: No attempt begins later than that, unless the storage says that it is busy.

    Raises:
        OSError: What it raised the last time.
    """
    began = time.monotonic()
    for pause in pauses_seconds:
        try:
            return action()
        except OSError as error:
            late = time.monotonic() - began + pause > patience_seconds
            if not may_pass(error) or (late and error.errno != errno.EBUSY):
                raise
            time.sleep(pause)
    return action()


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, as 64 hexadecimal digits.

    Raises:
        OSError: The file can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_schema(
    where: object, found: object, known: int, remedy: str, *, error: type[NirgenError] = NirgenError
) -> None:
    """Refuse a file of another schema than this version reads.

    Args:
        where: The file, as the error names it.
        found: The schema that it states; None if it states none.
        known: The schema that is read.
        remedy: What to do about it.
        error: The kind of error.

    Raises:
        NirgenError: The schemas differ.
    """
    if str(found) != str(known):
        raise error(f"{where}: has schema {found}, and this nirgen reads {known}; {remedy}")
