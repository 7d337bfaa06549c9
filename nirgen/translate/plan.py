"""What a run is going to translate, and what the outputs will be called.

The sources are a folder (recursively, in sorted order, symbolic links followed), a single file, or a list of files.
Names of outputs derive from the names of sources:

1. `a/b.jpg` becomes `a/b.png`.
2. Sources in one folder whose outputs would share a name (letter case and Unicode form aside) all keep their endings:
   `x.jpg` and `x.png` become `x.jpg.png` and `x.png.png`. So does a source whose output would be named as a folder is.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nirgen.errors import ImageError, NirgenError, OutputError, nearest
from nirgen.images import SUFFIXES
from nirgen.translate import journal, manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAME_LIMIT_BYTES = 255


@dataclass(frozen=True)
class Item:
    """One source and its output.

    Attributes:
        source: POSIX path relative to the plan's root. Names that are not UTF-8 are written with escapes.
        path: Where the source is.
        output: POSIX path relative to the output folder.
        problem: Why this source can't be translated whatever its content, in one line; empty if it can.
    """

    source: str
    path: Path
    output: str
    problem: str = ""


@dataclass(frozen=True)
class Plan:
    """All that a run is going to do, in the order of `source`.

    Attributes:
        root: The folder that the sources' names are relative to.
        items: The sources, at least one.
        other_files: How many files were left aside because their endings are not those of images.
        hidden: How many files and folders were left aside because their names begin with a dot.
        loops: Symbolic links to a folder above them, which were not followed; relative to the root.
    """

    root: Path
    items: tuple[Item, ...]
    other_files: int = 0
    hidden: int = 0
    loops: tuple[str, ...] = ()


@dataclass
class _Listing:
    """What walking a folder found."""

    files: list[str] = field(default_factory=list)
    other_files: int = 0
    hidden: int = 0
    loops: list[str] = field(default_factory=list)


def make_plan(source: Path | None, out: Path, suffix: str, *, listing: Path | None = None) -> Plan:
    """Find the sources and name their outputs; nothing is written.

    Args:
        source: A folder or an image file. With a listing: the folder that the listed names are relative to; None for
            the listing's own folder.
        out: The output folder, which need not exist.
        suffix: Ending of the outputs, such as `.png`.
        listing: A text file with one path a line, which may be absolute if it lies in the folder.

    Returns:
        The plan.

    Raises:
        NirgenError: There is nothing to translate, source and output folders overlap, or the sources are outputs.
    """
    if listing is not None:
        root = listing.parent if source is None else source
        found = _Listing(files=_read_listing(listing, root))
        _require_folder(root)
        _check_no_translations(root, found.files)
        where = f"the list {str(listing)!r}"
    elif source is None:
        raise NirgenError("nothing to translate: give a folder, an image file, or a list of files")
    elif source.is_dir():
        root, where = source, repr(str(source))
        _check_apart(root, out)
        found = _walk(root, out)
    else:
        _require_existing(source)
        root, where = source.parent, repr(str(source))
        found = _Listing(files=[source.name])
        _check_no_translations(root, found.files)
    if not found.files:
        raise NirgenError(
            f"no images in {where} ({found.other_files} other files, {found.hidden} hidden); "
            f"known endings: {' '.join(sorted(SUFFIXES))}"
        )
    _check_outside(root, found.files, out)
    return Plan(root, _items(root, found.files, suffix), found.other_files, found.hidden, tuple(found.loops))


def name_outputs(sources: Sequence[str], suffix: str) -> list[str]:
    """The outputs' names, by the rules of this module.

    Args:
        sources: Distinct POSIX paths.
        suffix: Ending of the outputs, such as `.png`.

    Returns:
        As many distinct paths, in the same order.

    Example:
        >>> name_outputs(["a/b.jpg", "x.jpg", "X.png"], ".png")
        ['a/b.png', 'x.jpg.png', 'X.png.png']
    """
    folders = {_key(str(folder)) for source in sources for folder in PurePosixPath(source).parents}
    names = [_short_name(source, suffix) for source in sources]
    while True:
        takers = Counter(_key(name) for name in names)
        lengthened = False
        for index, (source, name) in enumerate(zip(sources, names, strict=True)):
            taken = takers[_key(name)] > 1 or _key(name) in folders
            if taken and name != source + suffix:
                names[index] = source + suffix
                lengthened = True
        if not lengthened:
            return names


def _short_name(source: str, suffix: str) -> str:
    folder, slash, name = source.rpartition("/")
    stem = PurePosixPath(name).stem
    return f"{folder}{slash}{stem}{suffix}"


def _key(path: str) -> str:
    """What is equal for names that some file system takes for the same; folders are the file system's own matter."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + unicodedata.normalize("NFC", name).casefold()


def _items(root: Path, sources: Iterable[str], suffix: str) -> tuple[Item, ...]:
    ordered = sorted(set(sources))
    outputs = name_outputs(ordered, suffix)
    folders = {str(folder) for source in ordered for folder in PurePosixPath(source).parents}
    items = [
        Item(_utf8(source), root / source, _utf8(output), _problem(source, output, folders))
        for source, output in zip(ordered, outputs, strict=True)
    ]
    return tuple(sorted(items, key=lambda item: item.source))


def _utf8(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _problem(source: str, output: str, folders: set[str]) -> str:
    """Why a source's name forbids translating it; empty if it doesn't."""
    if _utf8(source) != source:
        return f"{source!r} has a name that is not UTF-8; rename it"
    length = len(PurePosixPath(output).name.encode())
    if length > NAME_LIMIT_BYTES:
        return f"{source!r} gives an output name of {length} bytes, over the limit of {NAME_LIMIT_BYTES}; rename it"
    if output in folders:
        return f"{source!r} gives an output with the name of the folder {output!r}; rename one of them"
    return ""


def _walk(root: Path, out: Path) -> _Listing:
    """List a folder recursively, following symbolic links except back to a folder that holds them."""
    found = _Listing()
    forbidden = _identity(out)
    _walk_folder(root, "", (), found, forbidden)
    return found


def _walk_folder(
    folder: Path, prefix: str, above: tuple[tuple[int, int], ...], found: _Listing, forbidden: tuple[int, int] | None
) -> None:
    identity = _identity(folder)
    if identity is None or identity in above:
        found.loops.append(prefix.rstrip("/"))
        return
    if identity == forbidden:
        raise OutputError(
            f"a link at {prefix.rstrip('/')!r} leads from the sources into OUT; remove it or use another OUT"
        )
    _check_no_translation(folder)
    for entry in _entries(folder):
        if entry.name.startswith("."):
            found.hidden += 1
        elif _is_folder(entry):
            _walk_folder(Path(entry.path), f"{prefix}{entry.name}/", (*above, identity), found, forbidden)
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            found.files.append(prefix + entry.name)
        else:
            found.other_files += 1


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ImageError(
            f"the folder {str(folder)!r} can't be listed ({error.strerror}); mend its permissions"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself is a file that can't be read, and will be a row that says so
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    """What two paths of one folder have in common; None if there is no such folder."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _read_listing(listing: Path, root: Path) -> list[str]:
    """The listed paths, relative to the root; blank lines are skipped."""
    try:
        text = listing.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise NirgenError(f"the list {str(listing)!r} can't be read ({error.strerror})") from error
    if "\0" in text:
        raise NirgenError(f"the list {str(listing)!r} is not a text file with one path a line")
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [_relative(line, root, listing) for line in lines if line]


def _relative(line: str, root: Path, listing: Path) -> str:
    base = os.path.abspath(root)  # noqa: PTH100 - resolving would follow links, and names are those that were given
    path = os.path.normpath(os.path.join(base, line))  # noqa: PTH118
    if os.path.commonpath([base, path]) != base or path == base:
        raise NirgenError(
            f"{line!r} in {str(listing)!r} is not in {base!r}; give the folder that has all of them as SRC"
        )
    return Path(path).relative_to(base).as_posix()


def _require_existing(source: Path) -> None:
    if not (source.exists() or source.is_symlink()):
        siblings = os.listdir(source.parent) if source.parent.is_dir() else []  # noqa: PTH208 - names are what is needed
        raise NirgenError(f"{str(source)!r} does not exist{nearest(source.name, siblings)}")


def _require_folder(root: Path) -> None:
    _require_existing(root)
    if not root.is_dir():
        raise NirgenError(
            f"{str(root)!r} is not a folder; with a list, SRC is the folder that the listed names are relative to"
        )


def _check_apart(root: Path, out: Path) -> None:
    """Refuse folders that overlap: outputs would become sources of the next run."""
    source, target = root.resolve(), out.resolve()
    if source == target:
        raise OutputError(f"OUT {str(out)!r} is SRC itself; use another folder")
    if source in target.parents:
        raise OutputError(f"OUT {str(out)!r} lies inside SRC {str(root)!r}; use a folder outside of it")
    if target in source.parents:
        raise OutputError(f"SRC {str(root)!r} lies inside OUT {str(out)!r}; use another OUT")


def _check_no_translations(root: Path, sources: Iterable[str]) -> None:
    """The same for the folders of sources that are named one by one, from the root down."""
    folders = {root / folder for source in sources for folder in PurePosixPath(source).parents}
    for folder in sorted(folders):
        _check_no_translation(folder)


def _check_no_translation(folder: Path) -> None:
    """Refuse a folder whose images are NIR already."""
    if (folder / journal.FOLDER).is_dir() or manifest.is_manifest(folder / manifest.NAME):
        raise OutputError(
            f"{str(folder)!r} is a translation folder, and its images are NIR already; move it out of the sources"
        )


def _check_outside(root: Path, sources: Iterable[str], out: Path) -> None:
    """Refuse sources that lie inside the output folder, or beside its files."""
    target = out.resolve()
    folders = {(root / source).parent for source in sources}
    for folder in sorted(folders):
        resolved = folder.resolve()
        if resolved == target or target in resolved.parents:
            raise OutputError(f"the sources in {str(folder)!r} lie inside OUT {str(out)!r}; use another OUT")
