"""Names of sources, folder by folder: from a disk, a store, or a list file.

Only the names in the folders that a walk is in are held at once. What must not be translated (a translation folder, or
a folder in OUT) is refused where it is met.
"""

from __future__ import annotations

import glob
import io
import os
import posixpath
import stat
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nirgen.errors import ImageError, NirgenError, OutputError, counted, nearest
from nirgen.files import read_bytes
from nirgen.images import PASSED_FOLDERS, SUFFIXES
from nirgen.translate.journal import FOLDER
from nirgen.translate.manifest import NAME, is_manifest
from nirgen.translate.url import Place, Url, exists, is_url, lies_in, reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def find_sources(
    source: Place | None, out: Place, listing: Path | None, files: Sequence[Path] = ()
) -> tuple[Place, Tree, str]:
    """Return the root of the sources, their names, and a description for errors; all else as for `make_plan`."""
    if files:
        return *_root_of(files, out), f"the {counted(len(files), 'source')}"
    if listing is not None:
        root = listing.parent if source is None else source
        names = read_listing(listing, root)
        if _kind(root) != "folder":
            raise NirgenError(
                f"{str(root)!r} is not a folder; with a list, SRC is the folder that the listed names are relative to"
            )
        return root, Names.checked(root, names, out), f"the list {str(listing)!r}"
    if source is None:
        raise NirgenError("nothing to translate: give a folder, an image file, or a list of files")
    if _kind(source) != "folder":
        return source.parent, Names.checked(source.parent, [source.name], out), repr(str(source))
    inside, around = lies_in(out, source), lies_in(source, out)  # outputs would become sources of the next run
    if inside and around:
        raise OutputError(f"OUT {str(out)!r} is SRC itself; use another folder")
    if inside:
        raise OutputError(f"OUT {str(out)!r} lies inside SRC {str(source)!r}; use a folder outside of it")
    if around:
        raise OutputError(f"SRC {str(source)!r} lies inside OUT {str(out)!r}; use another OUT")
    tree = UrlTree(source) if isinstance(source, Url) else Disk(source, out if isinstance(out, Path) else None)
    return source, tree, repr(str(source))


def _root_of(files: Sequence[Path], out: Place) -> tuple[Path, Names]:
    """Return the folder that all of several image files are in, and their names in it."""
    for file in files:
        if _kind(file) == "folder":
            raise NirgenError(f"{str(file)!r} is a folder; give one folder, or image files alone, and then OUT")
    absolute = [os.path.abspath(file) for file in files]  # noqa: PTH100 - resolving would follow links
    root = Path(os.path.commonpath([os.path.dirname(path) for path in absolute]))  # noqa: PTH120
    return root, Names.checked(root, [Path(path).relative_to(root).as_posix() for path in absolute], out)


def expanded(path: str) -> list[Path]:
    """Return the files that a path stands for: itself, or those that match it if it is a pattern and no file.

    Raises:
        NirgenError: No file matches.
    """
    if os.path.lexists(path) or not any(sign in path for sign in "*?["):
        return [Path(path)]
    found = sorted(Path(each) for each in glob.glob(path, recursive=True))  # noqa: PTH207 - of a whole path
    if not found:
        raise NirgenError(f"no file matches {path!r}; name a folder or image files")
    return found


def _kind(place: Place) -> str:
    """Return `folder` or another kind; refuse a place that does not exist."""
    if isinstance(place, Path):
        if exists(place):
            return "folder" if place.is_dir() else "file"
        siblings = os.listdir(place.parent) if place.parent.is_dir() else []  # noqa: PTH208 - names are needed
        raise NirgenError(f"{str(place)!r} does not exist{nearest(place.name, siblings)}")
    with reading(place):
        kind = place.kind()
    if kind is None:
        raise NirgenError(f"{str(place)!r} does not exist; check the names of bucket and folder")
    return kind


def refuse_translation(folder: Place, names: set[str] | None = None) -> None:
    """Raise OutputError for a translation folder; `names` are the entries of a URL that was listed already."""
    if isinstance(folder, Path):
        ours = (folder / FOLDER).is_dir() or ((folder / NAME).is_file() and is_manifest(folder / NAME))
    else:
        with reading(folder):
            names = {entry.name for entry in folder.entries()} if names is None else names
            ours = FOLDER in names or (NAME in names and is_manifest(io.BytesIO((folder / NAME).read_bytes())))
    if ours:
        raise OutputError(
            f"{str(folder)!r} is a translation folder, and its images are NIR already; move it out of the sources"
        )


def named(left_aside: Iterable[tuple[str, int]]) -> str:
    """Return what is left aside as text.

    Example:
        >>> named([(".heic", 3), (".txt", 1)])
        '3 .heic, 1 .txt'
    """
    return ", ".join(f"{count} {what}" for what, count in left_aside)


@dataclass(slots=True)
class Tally:
    """Files and folders that a walk skipped."""

    other_files: int = 0  # whose endings are not those of images
    left: Counter[str] = field(default_factory=Counter, compare=False)  # of these and of folders, by ending or name
    hidden: int = 0  # files and folders whose names begin with a dot
    loops: list[str] = field(default_factory=list)  # links to a folder above them, relative to the root

    @property
    def left_aside(self) -> tuple[tuple[str, int], ...]:
        """Endings of other files, and names of folders that systems keep, with their numbers."""
        return tuple(sorted(self.left.items(), key=lambda each: (-each[1], each[0])))


class Tree(Protocol):
    """Names of sources, folder by folder."""

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """List a folder's sources and folders; `prefix` is its path and a slash, or empty; count skipped entries."""


def has_sources(tree: Tree, prefix: str) -> bool:
    """Return True if there are sources in a folder or below it."""
    files, folders = tree.entries(prefix, Tally())
    return bool(files) or any(has_sources(tree, f"{prefix}{name}/") for name in folders)


class Disk:
    """A folder, recursively; symbolic links are followed, except back to a folder that holds them, and into OUT."""

    def __init__(self, root: Path, out: Path | None) -> None:
        self._root = root
        self._out = out

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """List a folder; empty if it is gone, or a loop."""
        folder = self._root / prefix
        identity = _identity(folder)
        if identity is None:
            return [], []
        parts = prefix.split("/")[:-1]
        if any(_identity(self._root.joinpath(*parts[:depth])) == identity for depth in range(len(parts))):
            tally.loops.append(prefix.rstrip("/"))
            return [], []
        if self._out is not None and identity == _identity(self._out):
            raise OutputError(
                f"a link at {prefix.rstrip('/')!r} leads from the sources into OUT; remove it or use another OUT"
            )
        refuse_translation(folder)
        return _sort_out(_scan(folder), tally)


class UrlTree:
    """A folder of a store, recursively."""

    def __init__(self, root: Url) -> None:
        self._root = root

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """List a folder; NirgenError if the store does not answer, or refuses."""
        folder = self._root / prefix
        with reading(folder):
            found = folder.entries()
        refuse_translation(folder, {entry.name for entry in found})
        return _sort_out(((entry.name, entry.is_folder) for entry in found), tally)


class Names:
    """Sources that are named one by one, by POSIX paths relative to a root; duplicates count once."""

    def __init__(self, root: Place, names: Iterable[str], out: Place) -> None:
        self._root = root
        self._out = out
        self._files: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, set[str]] = defaultdict(set)
        for name in sorted(set(names)):
            folder, slash, stem = name.rpartition("/")
            self._files[folder + slash].append(stem)
            while folder:
                above, slash, last = folder.rpartition("/")
                self._folders[above + slash].add(last)
                folder = above

    @classmethod
    def checked(cls, root: Place, names: Iterable[str], out: Place) -> Names:
        """Return the named sources, none of them in a translation folder."""
        tree = cls(root, names, out)
        for folder in tree.folders():
            refuse_translation(folder)
        return tree

    def folders(self) -> Iterator[Place]:
        """Yield all folders on the way to the sources, from the root down."""
        yield self._root
        for prefix in sorted(self._folders):
            yield from (self._root / f"{prefix}{name}" for name in self._folders[prefix])

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:  # noqa: ARG002 - nothing is skipped
        """List a folder."""
        files = self._files.get(prefix, [])
        if files and lies_in(self._root / prefix, self._out):
            raise OutputError(
                f"the sources in {str(self._root / prefix)!r} lie inside OUT {str(self._out)!r}; use another OUT"
            )
        return files, sorted(self._folders.get(prefix, ()))


def _sort_out(found: Iterable[tuple[str, bool]], tally: Tally) -> tuple[list[str], list[str]]:
    """Return the sources and the folders among a folder's (name, is folder), and count the rest."""
    files, folders = [], []
    for name, is_folder in found:
        if name.startswith("."):
            tally.hidden += 1
        elif is_folder and name in PASSED_FOLDERS:
            tally.left[f"folder {name}"] += 1
        elif is_folder:
            folders.append(name)
        elif (ending := os.path.splitext(name)[1].lower()) in SUFFIXES:  # noqa: PTH122 - much faster than Path
            files.append(name)
        else:
            tally.other_files += 1
            tally.left[ending or "without ending"] += 1
    return files, folders


def _scan(folder: Path) -> Iterator[tuple[str, bool]]:
    """(name, is folder) of a folder's entries; none if it is gone meanwhile."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    is_folder = entry.is_dir()
                except OSError:  # a link to itself: a file that can't be read, which becomes a failed row
                    is_folder = False
                yield entry.name, is_folder
    except FileNotFoundError:
        return
    except OSError as error:
        raise ImageError(
            f"the folder {str(folder)!r} can't be listed ({error.strerror}); mend its permissions"
        ) from error


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode, equal for all paths of one folder; None if it does not exist."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def read_listing(listing: Path, root: Place) -> list[str]:
    """Return the listed paths relative to the root; blank lines are skipped."""
    try:
        text = read_bytes(listing).decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise NirgenError(f"the list {str(listing)!r} can't be read ({error.strerror})") from error
    if "\0" in text:
        raise NirgenError(f"the list {str(listing)!r} is not a text file with one path a line")
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [_relative(line, root, listing) for line in lines if line]


def _relative(line: str, root: Place, listing: Path) -> str:
    if isinstance(root, Url):
        rest = line.removeprefix(f"{root}/")
        name = posixpath.normpath(rest)
        if is_url(rest) or name.startswith(("/", "../")) or name in {".", ".."}:
            raise NirgenError(
                f"{line!r} in {str(listing)!r} is not in {str(root)!r}; give the folder that has it as SRC"
            )
        return name
    base = os.path.abspath(root)  # noqa: PTH100 - resolving would follow links; names stay as given
    path = os.path.normpath(os.path.join(base, line))  # noqa: PTH118
    if os.path.commonpath([base, path]) != base or path == base:
        raise NirgenError(
            f"{line!r} in {str(listing)!r} is not in {base!r}; give the folder that has all of them as SRC"
        )
    return Path(path).relative_to(base).as_posix()
