"""Where images come from and go to: all that the engine knows of storage."""

from __future__ import annotations

import errno
import hashlib
import stat
from typing import TYPE_CHECKING, Protocol

from nirgen.errors import ImageError, OutputError
from nirgen.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.translate.plan import Item

# No image within the pixel limit is larger than this many bytes a pixel and as much for its metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 16, 256_000_000


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
            status = item.path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"{item.source!r} is not a regular file; remove it")
            if status.st_size > self._limit_bytes:
                raise ImageError(f"{item.source!r} is too large for an image ({status.st_size} bytes); remove it")
            return item.path.read_bytes()
        except OSError as error:
            raise ImageError(f"{item.source!r} can't be read: {error.strerror}; mend or remove it") from error


class FolderSink:
    """Images in an output folder, mirroring the tree of the sources.

    Args:
        out: The folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out

    def write(self, item: Item, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            ImageError: The file system has no place for this name.
            OutputError: The folder can't be written.
        """
        path = self._out / item.output
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        except OSError as error:
            if error.errno in {
                errno.ENAMETOOLONG,
                errno.EISDIR,
                errno.ENOTDIR,
                errno.EEXIST,
                errno.EILSEQ,
                errno.EINVAL,
            }:
                raise ImageError(f"the output {item.output!r} can't be named so: {error.strerror}; rename") from error
            raise OutputError(
                f"{str(path)!r} can't be written: {error.strerror}; what is done stays, mend this and run again"
            ) from error

    def holds(self, output: str, sha256: str) -> bool:
        """Whether an output is there with these very bytes."""
        try:
            return hashlib.sha256((self._out / output).read_bytes()).hexdigest() == sha256
        except OSError:
            return False
