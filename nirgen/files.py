"""Reading of regular files, atomic writes, locks, names of files, and retries after transient storage errors."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import stat
import time
import unicodedata
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, TypeVar

from nirgen.errors import NirgenError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from io import BufferedReader
    from pathlib import Path


_POLL_SECONDS = 0.2
_TEMPORARY = re.compile(r"\.nirgen-[0-9a-f]{8}\.tmp")


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; OSError for a folder, too, and for a pipe, socket or device, which may never end."""
    check_regular(path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(path, os.fstat(handle))  # another one may have taken its place
        return open(handle, "rb")  # noqa: PTH123 - a handle
    except BaseException:
        os.close(handle)
        raise


def check_regular(path: Path, status: os.stat_result | None = None) -> None:
    """Raise an OSError unless a path, or its `status`, is of a regular file; for readers that open files themselves."""
    try:
        mode = (status or path.stat()).st_mode
    except ValueError as error:  # a name that no file can have
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file; errors as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, without blanks around them; NirgenError if it can't be read."""
    try:
        return [line.strip() for line in read_bytes(path).decode().split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise NirgenError(f"{path}: can't be read ({what}); restore it") from None


_DEEPEST = 100


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; ValueError if it holds none or is nested too deeply, else as `open_regular`."""
    too_deep = ValueError(f"nested more than {_DEEPEST} deep")
    try:
        value = json.loads(read_bytes(path))
    except RecursionError:
        raise too_deep from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return value
    raise too_deep


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Write a file atomically: readers and crashes see the old or the new content.

    The temporary file lies in the same folder. Its name is short, as the target's may be as long as the system allows.

    Yields:
        Path of an empty temporary file to write; it replaces the target, with the permissions of a new file.

    Raises:
        OSError: The file can't be written. After any error no temporary file is left.
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
    """Write a file atomically (see `replacing`)."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def output_file(path: Path) -> Generator[Path]:
    """Write a file that the user named atomically, and its folders; OutputError if they can't be written."""
    make_folder(path.parent)
    try:
        if path.is_dir():
            raise OutputError(f"{path}: a folder; name a file")
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error}); name another place") from error


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as it was written."""

    path: Path
    sha256: str

    def check(self) -> None:
        """Raise OutputError unless the file is there as it was written; the last thing that a command does."""
        try:
            if sha256_of(self.path) == self.sha256:
                return
        except OSError:
            pass
        raise OutputError(
            f"{self.path}: was removed or changed while the command was at work; run the same command again"
        )


def write_output(path: Path, chunks: Iterable[bytes]) -> WrittenFile:
    """Write a file that the user named piece by piece; errors as `output_file`."""
    digest = hashlib.sha256()
    with output_file(path) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return WrittenFile(path, digest.hexdigest())


def check_written(files: Iterable[WrittenFile]) -> None:
    """Check each of the files as `WrittenFile.check` does."""
    for file in files:
        file.check()


def make_folder(path: Path) -> None:
    """Create a folder that the user named, and its parents, unless it exists; OutputError if it can't be created."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "not a folder" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror or error
        raise OutputError(f"{path}: can't be made a folder ({what}); name another place") from error


@contextmanager
def locked(path: Path, *, busy: str, waiting: Callable[[], None] | None = None) -> Generator[Callable[[], bool]]:
    """Hold a lock against other processes; the system releases it when the process dies.

    Args:
        path: Lock file, created if missing. It stays unless the block removes it.
        busy: Message if another process holds the lock.
        waiting: Called once if another process holds the lock, to wait for it instead.

    Yields:
        Returns False once the file was removed or replaced, so that another process may hold the lock.

    Raises:
        OutputError: Another process holds the lock, or the file can't be created.
    """
    waits = False
    while True:
        try:
            file = path.open("ab")
        except OSError as error:
            raise OutputError(f"{path.parent}: can't be written ({error.strerror}); name another folder") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is None:
                    raise OutputError(busy) from None
                if not waits:
                    waiting()
                waits = True
                time.sleep(_POLL_SECONDS)
                continue
            if is_at(file, path):  # otherwise the previous holder has removed the file; try again
                yield partial(is_at, file, path)
                return


def is_at(file: IO[Any], path: Path) -> bool:
    """Return True if a path still leads to an open file, which was neither removed nor replaced."""
    return _identity(os.fstat(file.fileno())) == identity_of(path)


class HeldFolder:
    """A folder that is held open, so that no other gets its identity; OSError if it can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.identity = _identity(os.fstat(self._handle))

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._handle)

    def is_at(self, path: Path) -> bool:
        """Return True if a path leads to the folder."""
        return identity_of(path) == self.identity

    @property
    def in_place(self) -> bool:
        """Return True if the folder was neither removed nor replaced."""
        return self.is_at(self.path)


def identity_of(path: Path, *, follow: bool = True) -> tuple[int, int] | None:
    """Return device and inode of a file or folder, which are equal for all its names; None if there is none."""
    try:
        return _identity(path.stat(follow_symlinks=follow))
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_temporary(name: str) -> bool:
    """Return True for the names of temporary files of `replacing`, which a killed run leaves behind.

    Example:
        >>> is_temporary(".nirgen-0123abcd.tmp"), is_temporary("photo.tmp")
        (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


_DRIVE = re.compile(r"[A-Za-z]:(?:[\\/]|$)")  # `a:b.jpg` is a name like others


def safe_path(name: str, where: str) -> str:
    """Check that a path from a file stays below the folder that it is relative to, and return it normalised.

    Args:
        name: The path.
        where: Its place for errors, such as `labels.json: image 17`.

    Raises:
        NirgenError: It is empty or absolute, has `..`, a backslash or a drive letter, or is `unwritable`.

    Example:
        >>> safe_path("./a//b.jpg", "labels.json")
        'a/b.jpg'
        >>> safe_path("../b.jpg", "l.json")
        Traceback (most recent call last):
        nirgen.errors.NirgenError: l.json: the name '../b.jpg' has '..'; write a path relative to the images' folder
    """
    fault = unwritable(name) or path_fault(name)
    if fault:
        raise NirgenError(f"{where}: the name {name!r} {fault}; write a path relative to the images' folder")
    return PurePosixPath(name).as_posix()


_ENDS_LINES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NO_UTF_8 = re.compile("[\ud800-\udfff]")


def unwritable(name: str) -> str | None:
    r"""Return why a name can't stand in a line of a text file; None if it can.

    C0 and C1 control characters and U+2028 and U+2029 end lines for some readers.

    Example:
        >>> unwritable("a\u2028b.jpg"), unwritable("\N{GRINNING FACE}.jpg")
        ('has a control character or a line separator', None)
    """
    if name.isprintable():
        return None
    if _ENDS_LINES.search(name):
        return "has a control character or a line separator"
    return "has bytes that are no UTF-8" if _NO_UTF_8.search(name) else None


def is_safe_path(name: str) -> bool:
    """Return True if `safe_path` returns a path as it is."""
    return not (unwritable(name) or path_fault(name)) and PurePosixPath(name).as_posix() == name


def path_fault(name: str) -> str | None:
    """Return why a path may lead out of the folder that it is relative to; None if it can't."""
    if "\\" in name:
        return "has a backslash (separate folders by '/')"
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute"
    parts = PurePosixPath(name).parts
    if ".." in parts:
        return "has '..'"
    return None if parts else "is empty"


def name_outputs(sources: Sequence[str], suffix: str) -> list[str]:
    """Name the outputs of distinct POSIX paths by distinct ones, in the same order.

    1. `a/b.jpg` becomes `a/b.png`.
    2. Sources in one folder whose outputs would share a name (letter case and Unicode form aside), or have that of a
       folder, keep their endings: `x.jpg` and `x.png` become `x.jpg.png` and `x.png.png`.

    Example:
        >>> name_outputs(["a/b.jpg", "x.jpg", "X.png"], ".png")
        ['a/b.png', 'x.jpg.png', 'X.png.png']
    """
    folders = {folded(folder) for source in sources for folder in _folders(source)}
    names = [_short_name(source, suffix) for source in sources]
    while True:
        takers = Counter(folded(name) for name in names)
        lengthened = False
        for index, (source, name) in enumerate(zip(sources, names, strict=True)):
            taken = takers[folded(name)] > 1 or folded(name) in folders
            if taken and name != source + suffix:
                names[index] = source + suffix
                lengthened = True
        if not lengthened:
            return names


def _folders(source: str) -> Iterator[str]:
    while "/" in source:
        source = source.rpartition("/")[0]
        yield source


def _short_name(source: str, suffix: str) -> str:
    folder, slash, name = source.rpartition("/")
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return f"{folder}{slash}{stem}{suffix}"


def folded(path: str) -> str:
    """Return a key that is equal for POSIX paths that some file system takes for the same; folders keep their own."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


# Transient errors of network drives; ENOENT and EACCES are permanent.
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
    """Return True for transient errors of storage."""
    return error.errno in _PASSING


def retrying(
    action: Callable[[], _Result],
    *,
    pauses_seconds: Sequence[float] = _PAUSES_SECONDS,
    patience_seconds: float = math.inf,
) -> _Result:
    """Run an action on storage; repeat it after transient errors, until `patience_seconds` unless storage is busy."""
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


def find_below(roots: Iterable[Path], name: str | None) -> Path | None:
    """Return the first existing file of a name below `roots`, or None."""
    places = (root / name for root in roots) if name is not None else ()
    return next((path for path in places if path.is_file()), None)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_SEAL = "sha256"


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values with the sha256 of their JSON as a last one, which `unseal` checks.

    Example:
        >>> unseal(seal({"step": 200}))
        {'step': 200}
    """
    return {**values, _SEAL: _digest(values)}


def unseal(values: Any) -> dict[str, Any]:
    """Return what was given to `seal`; values without a sha256, as older versions wrote them, pass unchecked.

    Raises:
        ValueError: The values are no mapping, or others than those that were sealed.
    """
    if not isinstance(values, dict):
        raise ValueError(f"holds a {type(values).__name__} instead of names and values")  # noqa: TRY004
    plain = {name: value for name, value in values.items() if name != _SEAL}
    if _SEAL in values and values[_SEAL] != _digest(plain):
        raise ValueError("its checksum is wrong")
    return plain


def _digest(values: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(values))  # keys become texts, whose order may differ
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_schema(
    where: object, found: object, known: int, remedy: str, *, error: type[NirgenError] = NirgenError
) -> None:
    """Raise `error` unless a file's schema, None if it states none, is the one that this version reads."""
    if str(found) != str(known):
        shown = " ".join(str(found).split())[:40]
        raise error(f"{where}: has schema {shown}, and this nirgen reads {known}; {remedy}")
