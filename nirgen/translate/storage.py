"""Where images come from and go to: all that the engine knows of storage."""

from __future__ import annotations

import errno
import hashlib
import math
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from nirgen.errors import ImageError, OutputError
from nirgen.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nirgen.translate.plan import Item

# No image within the pixel limit is larger than this many bytes a pixel and as much for its metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 16, 256_000_000

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
_Place = TypeVar("_Place")


class FullError(OutputError):
    """There is no more space for outputs."""


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


class Source(Protocol):
    """Gives the bytes of images; called from several threads."""

    def read(self, item: Item) -> bytes:
        """The whole file.

        Raises:
            ImageError: It can't be read.
        """
        ...


class Sink(Protocol):
    """Takes the bytes of images; called from several threads."""

    def write(self, item: Item, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            ImageError: This output can't be stored.
            OutputError: No output can be stored.
        """
        ...


class FileSource:
    """Images in the file system.

    Args:
        pixel_limit: Files that are larger than any image of that many pixels are not read.
    """

    def __init__(self, pixel_limit: int) -> None:
        self._limit_bytes = _BYTES_PER_PIXEL * pixel_limit + _METADATA_BYTES

    def read(self, item: Item) -> bytes:
        """The whole file.

        Raises:
            ImageError: It is missing, unreadable, no regular file, or too large for an image.
        """
        try:
            return retrying(lambda: self.read_once(item))
        except OSError as error:
            raise ImageError(f"{item.source!r} can't be read: {error.strerror}; mend or remove it") from error

    def read_once(self, item: Item) -> bytes:
        """The whole file, at the first attempt.

        Raises:
            OSError: It can't be read.
            ImageError: It is no regular file, or too large for an image.
        """
        assert isinstance(item.path, Path)
        status = item.path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{item.source!r} is not a regular file; remove it")
        self.check_size(item, status.st_size)
        return item.path.read_bytes()

    def check_size(self, item: Item, size: int | None) -> None:
        """Refuse what can be no image.

        Args:
            item: The source.
            size: In bytes; None for a folder.

        Raises:
            ImageError: It is a folder, or too large for an image.
        """
        if size is None:
            raise ImageError(f"{item.source!r} is not a regular file; remove it")
        if size > self._limit_bytes:
            raise ImageError(f"{item.source!r} is too large for an image ({size} bytes); remove it")


class CountingSink(Generic[_Place]):
    """Images in one place, mirroring the tree of the sources, and how many they are.

    It goes to another process as its place, and counts from 0 there.

    Args:
        out: The place.

    Attributes:
        images: How many it has stored.
        bytes: How large they are together.
    """

    def __init__(self, out: _Place) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.images = 0
        self.bytes = 0

    def __reduce__(self) -> tuple[type[Self], tuple[_Place]]:
        return type(self), (self._out,)

    def write(self, item: Item, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            ImageError: This output can't be stored.
            OutputError: No output can be stored.
        """
        self.store(item.output, data)
        with self._lock:
            self.images += 1
            self.bytes += len(data)

    def store(self, output: str, data: bytes) -> None:
        """Store an output, and count nothing; as `write`."""
        raise NotImplementedError


class FolderSink(CountingSink[Path]):
    """Images in an output folder."""

    def store(self, output: str, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            ImageError: The file system has no place for this name.
            FullError: There is no more space.
            OutputError: The folder can't be written.
        """
        path = self._out / output
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            retrying(lambda: write_whole(path, data))
        except OSError as error:
            if error.errno in {
                errno.ENAMETOOLONG,
                errno.EISDIR,
                errno.ENOTDIR,
                errno.EEXIST,
                errno.EILSEQ,
                errno.EINVAL,
            }:
                raise ImageError(f"the output {output!r} can't be named so: {error.strerror}; rename") from error
            kind = FullError if error.errno in FULL else OutputError
            raise kind(
                f"{str(path)!r} can't be written: {error.strerror}; what is done stays, mend this and run again"
            ) from error

    def holds(self, output: str, sha256: str) -> bool:
        """Whether an output is there with these very bytes."""
        try:
            return hashlib.sha256((self._out / output).read_bytes()).hexdigest() == sha256
        except OSError:
            return False
