"""Sources and outputs in object stores: what `listing` and `storage` are for folders."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from nirgen.errors import ImageError, OutputError
from nirgen.translate import journal, manifest
from nirgen.translate.listing import Folders, sort_out
from nirgen.translate.storage import CountingSink, FileSource, may_pass
from nirgen.translate.url import Url, reason, sha256_of, unreachable

if TYPE_CHECKING:
    from nirgen.translate.listing import Tally
    from nirgen.translate.plan import Item


class UrlTree(Folders):
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
        return sort_out(((entry.name, entry.is_folder) for entry in found), tally)


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
