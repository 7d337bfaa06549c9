"""Reading sources from, and writing outputs to, folders and object stores."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from nirgen.errors import FullError, ImageError, OutputError
from nirgen.files import FULL, may_pass, retrying, write_whole
from nirgen.translate import manifest
from nirgen.translate import manifest as manifests
from nirgen.translate.manifest import RUN_NAME
from nirgen.translate.url import Url, reason, sha256_of, unreachable

if TYPE_CHECKING:
    from nirgen.translate.items import Item
    from nirgen.translate.url import Place


# No image within the pixel limit is larger than this many bytes a pixel and as much for its metadata.
_BYTES_PER_PIXEL, _METADATA_BYTES = 16, 256_000_000


_Place = TypeVar("_Place")


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


class UrlSource(FileSource):
    """Objects of a store.

    One that can't be read fails alone. A store that is gone, or whose credentials have expired, ends the run, or else
    all that is left would fail.
    """

    def read_once(self, item: Item) -> bytes:
        """The whole object.

        Raises:
            ImageError: It can't be read, is a folder, or too large for an image.
            NirgenError: The store does not answer, or refuses everything.
        """
        assert isinstance(item.path, Url)
        try:
            size = item.path.size()
            self.check_size(item, size)
            return item.path.read_bytes()
        except OSError as error:  # `Url` has tried again already
            if may_pass(error) or not _answers(item.path):
                raise unreachable(item.path, error) from error
            raise ImageError(f"{item.source!r} can't be read: {reason(error)}; mend or remove it") from error


def _answers(url: Url) -> bool:
    """Whether a store still says of something else whether it is there."""
    try:
        (url.parent / ".nirgen-none").exists()
    except OSError:
        return False
    return True


class UrlSink(CountingSink[Url]):
    """Images in a folder of a store."""

    def store(self, output: str, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            OutputError: The store did not answer, or refused.
        """
        target = self._out / output
        try:
            target.write_bytes(data)
        except OSError as error:
            raise unwritable(target, error) from error

    def holds(self, output: str, sha256: str) -> bool:
        """Whether an output is there with these very bytes."""
        return sha256_of(self._out / output) == sha256


def unwritable(place: Url, error: OSError) -> OutputError:
    """What to say of a store that does not take what is put there."""
    what = "credentials" if isinstance(error, PermissionError) else "bucket's name, the credentials and the connection"
    return OutputError(
        f"{str(place)!r} can't be written: {reason(error)}; what is done stays; check the {what}, and run again"
    )


def count_objects(out: Url) -> int:
    """How many objects a translation folder has, manifest, run.json and hidden ones aside.

    Raises:
        OSError: The store did not answer, or refused.
    """
    own, count, folders = {manifest.NAME, "run.json"}, 0, [out]
    while folders:
        folder = folders.pop()
        for entry in folder.entries():
            if entry.name.startswith("."):
                continue
            if entry.is_folder:
                folders.append(folder / entry.name)
            else:
                count += folder != out or entry.name not in own
    return count


def count_outputs(out: Place) -> int:
    """Return the number of files in a translation folder or under its URL, nirgen's own and hidden ones left out."""
    return count_objects(out) if isinstance(out, Url) else count_files(out)


def count_files(out: Path) -> int:
    """How many files a translation folder has, manifest, run.json and hidden ones aside."""
    count = 0
    for folder, folders, names in os.walk(out):
        folders[:] = [name for name in folders if not name.startswith(".")]
        own = {manifests.NAME, RUN_NAME} if Path(folder) == out else set()
        count += sum(not name.startswith(".") and name not in own for name in names)
    return count
