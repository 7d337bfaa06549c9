"""Sources and sinks: folders of this machine, and object stores."""

from __future__ import annotations

import errno
import os
import stat
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nirgen import runlog
from nirgen.errors import FullError, ImageError, OutputError
from nirgen.files import FULL, may_pass, read_bytes, retrying
from nirgen.images import PREVIEW, is_preview
from nirgen.translate.folder import OpenFolder, replaced
from nirgen.translate.manifest import NAME, PAIRS
from nirgen.translate.url import Place, Url, exists, reading, reason, sha256_of, unreachable, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.translate.items import Item

# No image within the pixel limit is larger than this many bytes a pixel, plus as much metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 16, 256_000_000
_BAD_NAME = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL}


class Source(ABC):
    """Reads images of at most `pixel_limit` pixels below a folder or URL; called by several threads."""

    @staticmethod
    def at(root: Place, pixel_limit: int) -> Source:
        """Return the source of a folder or URL."""
        return (UrlSource if isinstance(root, Url) else FolderSource)(root, pixel_limit)

    def __init__(self, root: Place, pixel_limit: int) -> None:
        self.root = root
        self._pixel_limit = pixel_limit

    def has(self, name: str) -> bool:
        """Return True if a source exists, a broken link included."""
        return exists(self.root / name)

    def sha256(self, name: str) -> str | None:
        """Return the sha256 of a source; None if it does not exist or can't be read."""
        return sha256_of(self.root / name)

    def read(self, item: Item, hold: Callable[[int], None] = lambda _: None) -> bytes:
        """Read a source; ImageError if it is missing, unreadable, no regular file, or too large for an image.

        `hold` is called with its bytes before they are read, and may wait until there is memory for them.
        """
        try:
            return retrying(lambda: self.read_once(item, hold))
        except OSError as error:
            raise ImageError(f"{item.source!r} can't be read: {error.strerror}; mend or remove it") from error

    @abstractmethod
    def read_once(self, item: Item, hold: Callable[[int], None] = lambda _: None) -> bytes:
        """Read a source in one attempt; OSError if it can't be read, else errors as `read`."""

    def check_size(self, item: Item, size: int | None) -> int:
        """Return the bytes of a source; ImageError for more than an image can have, or None: no regular file."""
        if size is None:
            raise ImageError(f"{item.source!r} is not a regular file; remove it")
        if size > _BYTES_PER_PIXEL * self._pixel_limit + _METADATA_BYTES:
            raise ImageError(f"{item.source!r} is too large for an image ({size} bytes); remove it")
        return size


class FolderSource(Source):
    """Reads images below a folder."""

    def read_once(self, item: Item, hold: Callable[[int], None] = lambda _: None) -> bytes:  # noqa: D102
        path = self.root / item.source
        assert isinstance(path, Path)
        status = path.stat()
        hold(self.check_size(item, status.st_size if stat.S_ISREG(status.st_mode) else None))
        return read_bytes(path)


class UrlSource(Source):
    """Reads images below a URL.

    An object that can't be read fails alone; NirgenError ends the run where the store does not answer, or refuses all.
    """

    def read_once(self, item: Item, hold: Callable[[int], None] = lambda _: None) -> bytes:  # noqa: D102
        url = self.root / item.source
        assert isinstance(url, Url)
        try:
            hold(self.check_size(item, url.size()))
            return url.read_bytes()
        except OSError as error:  # `Url` has made its attempts
            if may_pass(error):
                raise unreachable(url, error) from error
            try:
                (url.parent / ".nirgen-none").exists()  # does the store answer about another object?
            except OSError:
                raise unreachable(url, error) from error
            raise ImageError(f"{item.source!r} can't be read: {reason(error)}; mend or remove it") from error


class Sink(ABC):
    """Stores images below a folder or URL, and counts them, from 0 where it is unpickled; called by several threads."""

    @staticmethod
    def at(out: Place) -> Sink:
        """Return the sink of a folder or URL."""
        return UrlSink(out) if isinstance(out, Url) else FolderSink(out)

    def __init__(self, out: Place) -> None:
        self.out = out
        self.images = 0
        self.stored_bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), (self.out,)

    @abstractmethod
    def open(self) -> None:
        """Begin to store in a place that exists: if it is another one later, nothing is written to that."""

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
    def names(self, folder: str) -> set[str]:
        """Return the names of the files in a folder of OUT, `""` being OUT; empty if there is no such folder."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Return True if OUT has no files or folders."""

    @abstractmethod
    def count(self) -> int:
        """Count the files in OUT, without hidden ones, records (manifest, pairs, `run.json`) and preview."""


class FolderSink(Sink):
    """Stores images below a folder, which it holds open; nothing is stored through a link, or in another folder."""

    out: Path

    def __init__(self, out: Path, identity: tuple[int, int] | None = None) -> None:
        """Store in a folder; with `identity`, in that one alone, for this sink's copies in other processes."""
        super().__init__(out)
        self._identity = identity
        self._folder: OpenFolder | None = None

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), (self.out, self._identity)

    def open(self) -> None:  # noqa: D102
        with self._lock:
            if self._folder is None:
                self._folder = OpenFolder(self.out, self._identity)
                self._identity = self._folder.identity

    def store(self, output: str, data: bytes) -> None:  # noqa: D102
        try:
            if self._folder is None:
                if self._identity is None:
                    self.out.mkdir(parents=True, exist_ok=True)
                self.open()
            folder = self._folder
            assert folder is not None
            retrying(lambda: folder.write(output, data))
        except OSError as error:
            if error.errno in _BAD_NAME:
                raise ImageError(f"the output {output!r} can't be named so: {error.strerror}; rename") from error
            if isinstance(error, FileNotFoundError) and self._folder is not None:
                raise replaced(self.out) from error
            kind = FullError if error.errno in FULL else OutputError
            raise kind(
                f"{str(self.out / output)!r} can't be written: {error.strerror}; what is done stays, mend this and "
                "run again"
            ) from error

    def names(self, folder: str) -> set[str]:  # noqa: D102
        try:
            with os.scandir(self.out / folder) as entries:
                return {entry.name for entry in entries if entry.is_file()}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def is_empty(self) -> bool:  # noqa: D102
        return not self.out.is_dir() or next(self.out.iterdir(), None) is None

    def count(self) -> int:  # noqa: D102
        count = 0
        for folder, folders, names in os.walk(self.out):
            folders[:] = [name for name in folders if not name.startswith(".")]
            count += sum(_is_output(name, top=Path(folder) == self.out) for name in names)
        count -= is_preview(self.out / PREVIEW)
        return count


class UrlSink(Sink):
    """Stores images below a URL."""

    out: Url

    def open(self) -> None:
        """Do nothing: a URL is the same place for ever."""

    def store(self, output: str, data: bytes) -> None:  # noqa: D102
        with writing(self.out / output):
            (self.out / output).write_bytes(data)

    def names(self, folder: str) -> set[str]:  # noqa: D102
        place = self.out / folder if folder else self.out
        with reading(place):
            return {entry.name for entry in place.entries() if not entry.is_folder}

    def is_empty(self) -> bool:  # noqa: D102
        with reading(self.out):
            return not self.out.entries()

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
    return not name.startswith(".") and not (top and name in {NAME, PAIRS, runlog.NAME})


class Listing:
    """The files of a sink, a folder at a time; for names in the order of their sources."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._names: dict[str, set[str]] = {}  # of the present folder and those above it

    def has(self, output: str) -> bool:
        """Return True if there is a file of this name."""
        folder, _, name = output.rpartition("/")
        if folder not in self._names:
            above = {each: names for each, names in self._names.items() if f"{folder}/".startswith(each and f"{each}/")}
            self._names = {**above, folder: self._sink.names(folder)}
        return name in self._names[folder]
