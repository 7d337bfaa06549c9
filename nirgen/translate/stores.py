"""Sources and sinks: folders of this machine, and object stores."""

from __future__ import annotations

import errno
import os
import stat
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nirgen.errors import FullError, ImageError, OutputError
from nirgen.files import FULL, may_pass, retrying, write_whole
from nirgen.translate.manifest import NAME, RUN_NAME
from nirgen.translate.url import Url, exists, reason, sha256_of, unreachable

if TYPE_CHECKING:
    from nirgen.translate.items import Item
    from nirgen.translate.url import Place


# No image within the pixel limit is larger than this many bytes a pixel, plus as much metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 16, 256_000_000
_BAD_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL}


class Source(ABC):
    """Reads images below a folder or URL; called from several threads.

    Args:
        root: The folder or URL that names are relative to.
        pixel_limit: Files larger than any image of so many pixels are refused.
    """

    @staticmethod
    def at(root: Place, pixel_limit: int) -> Source:
        """Return the source of a folder or URL."""
        return UrlSource(root, pixel_limit) if isinstance(root, Url) else FolderSource(root, pixel_limit)

    def __init__(self, root: Place, pixel_limit: int) -> None:
        self.root = root
        self._pixel_limit = pixel_limit

    def has(self, name: str) -> bool:
        """Return True if a source exists, a broken link included."""
        return exists(self.root / name)

    def sha256(self, name: str) -> str | None:
        """Return the sha256 of a source; None if it does not exist or can't be read."""
        return sha256_of(self.root / name)

    def read(self, item: Item) -> bytes:
        """Read a source.

        Raises:
            ImageError: It is missing, unreadable, no regular file, or too large for an image.
        """
        try:
            return retrying(lambda: self.read_once(item))
        except OSError as error:
            raise ImageError(f"{item.source!r} can't be read: {error.strerror}; mend or remove it") from error

    @abstractmethod
    def read_once(self, item: Item) -> bytes:
        """Read a source in one attempt; OSError if it can't be read, else errors as `read`."""

    def check_size(self, item: Item, size: int | None) -> None:
        """Raise ImageError for more bytes than an image can have, or None: no regular file."""
        if size is None:
            raise ImageError(f"{item.source!r} is not a regular file; remove it")
        if size > _BYTES_PER_PIXEL * self._pixel_limit + _METADATA_BYTES:
            raise ImageError(f"{item.source!r} is too large for an image ({size} bytes); remove it")


class FolderSource(Source):
    """Reads images below a folder."""

    def read_once(self, item: Item) -> bytes:  # noqa: D102 - as the base class
        path = self.root / item.source
        assert isinstance(path, Path)
        status = path.stat()
        self.check_size(item, status.st_size if stat.S_ISREG(status.st_mode) else None)
        return path.read_bytes()


class UrlSource(Source):
    """Reads images below a URL.

    An object that can't be read fails alone. A store that does not answer, or whose credentials have expired, ends the
    run, or else every object would fail.
    """

    def read_once(self, item: Item) -> bytes:
        """Read an object; as the base class, or NirgenError if the store does not answer, or refuses everything."""
        url = self.root / item.source
        assert isinstance(url, Url)
        try:
            self.check_size(item, url.size())
            return url.read_bytes()
        except OSError as error:  # `Url` has made its attempts
            if may_pass(error) or not _answers(url):
                raise unreachable(url, error) from error
            raise ImageError(f"{item.source!r} can't be read: {reason(error)}; mend or remove it") from error


def _answers(url: Url) -> bool:
    """Return True if a store still answers a question about another object."""
    try:
        (url.parent / ".nirgen-none").exists()
    except OSError:
        return False
    return True


class Sink(ABC):
    """Stores images below a folder or URL, in the tree of the sources; called from several threads.

    Pickled, it counts from 0.
    """

    @staticmethod
    def at(out: Place) -> Sink:
        """Return the sink of a folder or URL."""
        return UrlSink(out) if isinstance(out, Url) else FolderSink(out)

    def __init__(self, out: Place) -> None:
        self.out = out
        self.images = 0
        self.stored_bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[Place]]:
        return type(self), (self.out,)

    def write(self, item: Item, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            ImageError: The file system can't hold this name.
            FullError: There is no space left.
            OutputError: The place can't be written.
        """
        self.store(item.output, data)
        with self._lock:
            self.images += 1
            self.stored_bytes += len(data)

    def has(self, name: str) -> bool:
        """Return True if OUT has a file of this name."""
        return exists(self.out / name)

    def holds(self, output: str, sha256: str) -> bool:
        """Return True if an output exists with this content."""
        return sha256_of(self.out / output) == sha256

    @abstractmethod
    def store(self, output: str, data: bytes) -> None:
        """Store an output without counting it; errors as `write`."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Return True if OUT has no files or folders."""

    @abstractmethod
    def count(self) -> int:
        """Count the files in OUT, without hidden ones, the manifest and `run.json`."""


class FolderSink(Sink):
    """Stores images below a folder."""

    out: Path

    def store(self, output: str, data: bytes) -> None:  # noqa: D102
        path = self.out / output
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            retrying(lambda: write_whole(path, data))
        except OSError as error:
            if error.errno in _BAD_NAME:
                raise ImageError(f"the output {output!r} can't be named so: {error.strerror}; rename") from error
            kind = FullError if error.errno in FULL else OutputError
            raise kind(
                f"{str(path)!r} can't be written: {error.strerror}; what is done stays, mend this and run again"
            ) from error

    def is_empty(self) -> bool:  # noqa: D102
        return not self.out.is_dir() or next(self.out.iterdir(), None) is None

    def count(self) -> int:  # noqa: D102
        count = 0
        for folder, folders, names in os.walk(self.out):
            folders[:] = [name for name in folders if not name.startswith(".")]
            count += sum(_is_output(name, top=Path(folder) == self.out) for name in names)
        return count


class UrlSink(Sink):
    """Stores images below a URL."""

    out: Url

    def store(self, output: str, data: bytes) -> None:  # noqa: D102
        try:
            (self.out / output).write_bytes(data)
        except OSError as error:
            raise unwritable(self.out / output, error) from error

    def is_empty(self) -> bool:  # noqa: D102
        try:
            return not self.out.entries()
        except OSError as error:
            raise unreachable(self.out, error) from error

    def count(self) -> int:  # noqa: D102
        count, folders = 0, [self.out]
        while folders:
            folder = folders.pop()
            for entry in folder.entries():
                if not entry.is_folder:
                    count += _is_output(entry.name, top=folder == self.out)
                elif not entry.name.startswith("."):
                    folders.append(folder / entry.name)
        return count


def _is_output(name: str, *, top: bool) -> bool:
    return not name.startswith(".") and not (top and name in {NAME, RUN_NAME})


def unwritable(place: Url, error: OSError) -> OutputError:
    """Return the error of a store that refuses a write."""
    what = "credentials" if isinstance(error, PermissionError) else "bucket's name, the credentials and the connection"
    return OutputError(
        f"{str(place)!r} can't be written: {reason(error)}; what is done stays; check the {what}, and run again"
    )
