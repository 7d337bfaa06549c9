"""Names of sources, folder by folder: from a disk, a store, or a list file.

Only the names of the folders that a walk is in are held at once. What must not be translated (a translation folder, or
one that lies in OUT) is refused where it is met.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nirgen.errors import ImageError, NirgenError, OutputError, nearest
from nirgen.images import SUFFIXES
from nirgen.translate import journal, manifest
from nirgen.translate.url import Url, is_url, lies_in, unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nirgen.translate.url import Place


def find_sources(source: Place | None, out: Place, listing: Path | None) -> tuple[Place, Tree, str]:
    """Find where the sources' names come from.

    Args:
        source: A folder or an image file. With a listing: the folder that the listed names are relative to; None for
            the listing's own folder.
        out: The output folder, which need not exist.
        listing: A text file with one path a line.

    Returns:
        The folder that the names are relative to, the names, and what to call them.

    Raises:
        NirgenError: There is nothing of that name, source and output folders overlap, or the sources are outputs.
    """
    if listing is not None:
        root = listing.parent if source is None else source
        names = read_listing(listing, root)
        _require_folder(root)
        return root, _named(root, names, out), f"the list {str(listing)!r}"
    if source is None:
        raise NirgenError("nothing to translate: give a folder, an image file, or a list of files")
    if _is_folder(source):
        _check_apart(source, out)
        return (
            source,
            UrlTree(source) if isinstance(source, Url) else Disk(source, out if isinstance(out, Path) else None),
            repr(str(source)),
        )
    _require_existing(source)
    return source.parent, _named(source.parent, [source.name], out), repr(str(source))


def _named(root: Place, names: list[str], out: Place) -> Names:
    tree = Names(root, names, out)
    for folder in tree.folders():
        if isinstance(folder, Url):
            _check_url(folder)
        else:
            check_no_translation(folder)
    return tree


def _check_url(folder: Url) -> None:
    try:
        refuse_translation(folder, {entry.name for entry in folder.entries()})
    except OSError as error:
        raise unreachable(folder, error) from error


def _is_folder(source: Place) -> bool:
    return _kind(source) == "folder" if isinstance(source, Url) else source.is_dir()


def _kind(url: Url) -> str | None:
    try:
        return url.kind()
    except OSError as error:
        raise unreachable(url, error) from error


def _require_existing(source: Place) -> None:
    if isinstance(source, Url):
        if _kind(source) is None:
            raise NirgenError(f"{str(source)!r} does not exist; check the names of bucket and folder")
        return
    if not (source.exists() or source.is_symlink()):
        siblings = os.listdir(source.parent) if source.parent.is_dir() else []  # noqa: PTH208 - names are what is needed
        raise NirgenError(f"{str(source)!r} does not exist{nearest(source.name, siblings)}")


def _require_folder(root: Place) -> None:
    _require_existing(root)
    if not _is_folder(root):
        raise NirgenError(
            f"{str(root)!r} is not a folder; with a list, SRC is the folder that the listed names are relative to"
        )


def _check_apart(root: Place, out: Place) -> None:
    """Refuse folders that overlap: outputs would become sources of the next run."""
    inside, around = lies_in(out, root), lies_in(root, out)
    if inside and around:
        raise OutputError(f"OUT {str(out)!r} is SRC itself; use another folder")
    if inside:
        raise OutputError(f"OUT {str(out)!r} lies inside SRC {str(root)!r}; use a folder outside of it")
    if around:
        raise OutputError(f"SRC {str(root)!r} lies inside OUT {str(out)!r}; use another OUT")


@dataclass(slots=True)
class Tally:
    """What a walk left aside.

    Attributes:
        other_files: How many files whose endings are not those of images.
        hidden: How many files and folders whose names begin with a dot.
        loops: Symbolic links to a folder above them; relative to the root.
    """

    other_files: int = 0
    hidden: int = 0
    loops: list[str] = field(default_factory=list)


class Folders(ABC):
    """Sources in a folder and the folders below it, each of which is read when a walk comes to it."""

    @abstractmethod
    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """The names of the sources and of the folders in a folder."""

    def has_sources(self, prefix: str) -> bool:
        """Whether there are sources in a folder, or below it."""
        files, folders = self.entries(prefix, Tally())
        return bool(files) or any(self.has_sources(f"{prefix}{name}/") for name in folders)


class Disk(Folders):
    """A folder, recursively; symbolic links are followed, except back to a folder that holds them.

    Args:
        root: The folder.
        out: The output folder, which must not be met; it need not exist. None if it is elsewhere.
    """

    def __init__(self, root: Path, out: Path | None) -> None:
        self._root = root
        self._out = out

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """The names of the sources and of the folders in a folder; nothing of one that is gone, or a loop.

        Raises:
            ImageError: The folder can't be listed.
            OutputError: It is a translation folder, or OUT.
        """
        folder = self._root / prefix
        identity = _identity(folder)
        if identity is None or (prefix and _is_loop(self._root, prefix, identity)):
            if identity is not None:
                tally.loops.append(prefix.rstrip("/"))
            return [], []
        if self._out is not None and identity == _identity(self._out):
            raise OutputError(
                f"a link at {prefix.rstrip('/')!r} leads from the sources into OUT; remove it or use another OUT"
            )
        check_no_translation(folder)
        return sort_out(_scan(folder), tally)


class Names:
    """Sources that are named one by one.

    Args:
        root: The folder that the names are relative to.
        names: POSIX paths; those that come twice count once.
        out: The output folder, where none of them must lie.
    """

    def __init__(self, root: Place, names: Iterable[str], out: Place) -> None:
        self._root = root
        self._out = out
        self._files: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, set[str]] = defaultdict(set)
        for name in sorted(set(names)):
            folder, slash, stem = name.rpartition("/")
            self._files[folder + slash].append(stem)
            self._add_folder(folder + slash)

    def _add_folder(self, prefix: str) -> None:
        while prefix:
            above, slash, name = prefix.rstrip("/").rpartition("/")
            self._folders[above + slash].add(name)
            prefix = above + slash

    def folders(self) -> Iterator[Place]:
        """All folders on the way to the sources, from the root down."""
        yield self._root
        yield from (
            self._root / f"{prefix}{name}" for prefix in sorted(self._folders) for name in self._folders[prefix]
        )

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:  # noqa: ARG002 - nothing is left aside
        """The names of the sources and of the folders in a folder.

        Raises:
            OutputError: The sources lie in OUT.
        """
        files = self._files.get(prefix, [])
        if files:
            folder = self._root / prefix
            if lies_in(folder, self._out):
                raise OutputError(f"the sources in {str(folder)!r} lie inside OUT {str(self._out)!r}; use another OUT")
        return files, sorted(self._folders.get(prefix, ()))

    def has_sources(self, prefix: str) -> bool:  # noqa: ARG002 - no folder is known but for its sources
        """Whether there are sources in a folder, or below it."""
        return True


def sort_out(found: Iterable[tuple[str, bool]], tally: Tally) -> tuple[list[str], list[str]]:
    """The sources and the folders among the names in a folder.

    Args:
        found: Names, and whether each is a folder.
        tally: Counts what is left aside.
    """
    files, folders = [], []
    for name, is_folder in found:
        if name.startswith("."):
            tally.hidden += 1
        elif is_folder:
            folders.append(name)
        elif os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 - a million times faster than paths are
            files.append(name)
        else:
            tally.other_files += 1
    return files, folders


def check_no_translation(folder: Path) -> None:
    """Refuse a folder whose images are NIR already.

    Raises:
        OutputError: It is a translation folder.
    """
    if (folder / journal.FOLDER).is_dir() or manifest.is_manifest(folder / manifest.NAME):
        raise OutputError(
            f"{str(folder)!r} is a translation folder, and its images are NIR already; move it out of the sources"
        )


def _scan(folder: Path) -> Iterator[tuple[str, bool]]:
    """The names in a folder, and whether each is one; nothing of a folder that is gone meanwhile."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name, _entry_is_folder(entry)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ImageError(
            f"the folder {str(folder)!r} can't be listed ({error.strerror}); mend its permissions"
        ) from error


def _entry_is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself is a file that can't be read, and will be a row that says so
        return False


def _is_loop(root: Path, prefix: str, identity: tuple[int, int]) -> bool:
    """Whether a folder is one of those that lead to it."""
    parts = prefix.rstrip("/").split("/")
    above = (root.joinpath(*parts[:depth]) for depth in range(len(parts)))
    return any(_identity(folder) == identity for folder in above)


def _identity(folder: Path) -> tuple[int, int] | None:
    """What two paths of one folder have in common; None if there is no such folder."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def read_listing(listing: Path, root: Place) -> list[str]:
    """The listed paths, relative to the root; blank lines are skipped."""
    try:
        text = listing.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise NirgenError(f"the list {str(listing)!r} can't be read ({error.strerror})") from error
    if "\0" in text:
        raise NirgenError(f"the list {str(listing)!r} is not a text file with one path a line")
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [_relative(line, root, listing) for line in lines if line]


def _relative(line: str, root: Place, listing: Path) -> str:
    if isinstance(root, Url):
        name = posixpath.normpath(line.removeprefix(f"{root}/"))
        if is_url(line.removeprefix(f"{root}/")) or name.startswith(("/", "../")) or name in {".", ".."}:
            raise NirgenError(
                f"{line!r} in {str(listing)!r} is not in {str(root)!r}; give the folder that has it as SRC"
            )
        return name
    base = os.path.abspath(root)  # noqa: PTH100 - resolving would follow links, and names are those that were given
    path = os.path.normpath(os.path.join(base, line))  # noqa: PTH118
    if os.path.commonpath([base, path]) != base or path == base:
        raise NirgenError(
            f"{line!r} in {str(listing)!r} is not in {base!r}; give the folder that has all of them as SRC"
        )
    return Path(path).relative_to(base).as_posix()


class Tree(Protocol):
    """Names of sources, folder by folder."""

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """The names of the sources and of the folders in a folder.

        Args:
            prefix: The folder's path and a slash; empty for the root.
            tally: Counts what is left aside.
        """
        ...

    def has_sources(self, prefix: str) -> bool:
        """Whether there are sources in a folder, or below it."""
        ...


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
