"""Sources and outputs in object stores: what `listing` and `storage` are for folders."""

from __future__ import annotations

import io
import threading
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nirgen.errors import ImageError, OutputError
from nirgen.images import SUFFIXES
from nirgen.translate import journal, manifest
from nirgen.translate.listing import Tally
from nirgen.translate.storage import FileSource
from nirgen.translate.url import Url, reason, sha256_of, unreachable

if TYPE_CHECKING:
    from nirgen.translate.plan import Item


class UrlTree:
    """A folder of a store, recursively; each folder is listed when a walk comes to it.

    Args:
        root: The folder.
    """

    def __init__(self, root: Url) -> None:
        self._root = root

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """The names of the sources and of the folders in a folder.

        Raises:
            NirgenError: The store did not answer, or refused.
            OutputError: It is a translation folder.
        """
        folder = self._root / prefix
        try:
            found = folder.entries()
        except OSError as error:
            raise unreachable(folder, error) from error
        refuse_translation(folder, {entry.name for entry in found})
        files, folders = [], []
        for entry in found:
            if entry.name.startswith("."):
                tally.hidden += 1
            elif entry.is_folder:
                folders.append(entry.name)
            elif PurePosixPath(entry.name).suffix.lower() in SUFFIXES:
                files.append(entry.name)
            else:
                tally.other_files += 1
        return files, folders

    def has_sources(self, prefix: str) -> bool:
        """Whether there are sources in a folder, or below it."""
        files, folders = self.entries(prefix, Tally())
        return bool(files) or any(self.has_sources(f"{prefix}{name}/") for name in folders)


def refuse_translation(folder: Url, names: set[str]) -> None:
    """Refuse a folder whose images are NIR already.

    Args:
        folder: The folder.
        names: What lies in it.

    Raises:
        OutputError: It is a translation folder.
        NirgenError: The store did not answer, or refused.
    """
    ours = journal.FOLDER in names
    if not ours and manifest.NAME in names:
        try:
            ours = manifest.is_manifest(io.BytesIO((folder / manifest.NAME).read_bytes()))
        except OSError as error:
            raise unreachable(folder, error) from error
    if ours:
        raise OutputError(
            f"{str(folder)!r} is a translation folder, and its images are NIR already; move it out of the sources"
        )


class UrlSource(FileSource):
    """Objects of a store."""

    def read_once(self, item: Item) -> bytes:
        """The whole object.

        Raises:
            OSError: It can't be read.
            ImageError: It is a folder, or too large for an image.
        """
        assert isinstance(item.path, Url)
        try:
            size = item.path.size()
            self.check_size(item, size)
            return item.path.read_bytes()
        except OSError as error:  # `Url` has tried again already
            raise ImageError(f"{item.source!r} can't be read: {reason(error)}; mend or remove it") from error


class UrlSink:
    """Images in a folder of a store, mirroring the tree of the sources.

    Args:
        out: The folder.

    Attributes:
        images: How many it has stored.
        bytes: How large they are together.
    """

    def __init__(self, out: Url) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.images = 0
        self.bytes = 0

    def __reduce__(self) -> tuple[type[UrlSink], tuple[Url]]:
        return UrlSink, (self._out,)

    def write(self, item: Item, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            OutputError: The store did not answer, or refused.
        """
        target = self._out / item.output
        try:
            target.write_bytes(data)
        except OSError as error:
            raise unwritable(target, error) from error
        with self._lock:
            self.images += 1
            self.bytes += len(data)

    def holds(self, output: str, sha256: str) -> bool:
        """Whether an output is there with these very bytes."""
        return sha256_of(self._out / output) == sha256


def unwritable(place: Url, error: OSError) -> OutputError:
    """What to say of a store that does not take what is put there."""
    return OutputError(
        f"{str(place)!r} can't be written: {reason(error)}; what is done stays; "
        "check the bucket's name, the credentials and the connection, and run again"
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
