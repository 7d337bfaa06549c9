"""Which label entry belongs to which image: by their paths, never by position.

Label files and image folders rarely agree on where paths begin. So two paths match if they are equal; else if one is
what the other ends in, `b1c66a42/0001.jpg` in `train/b1c66a42/0001.jpg`; else by the name alone, where no second image
and no second entry has it. Entries without an ending, as BDD100K's files of 2018 have them, are compared with the
images' paths less their endings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from nirgen.errors import NirgenError
from nirgen.images import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

How = Literal["exact", "trailing", "name", "stem"]


def match_names(images: Sequence[str], entries: Sequence[str], where: str) -> dict[str, tuple[str, How]]:
    """Match images with label entries.

    Args:
        images: Distinct POSIX paths.
        entries: Distinct POSIX paths.
        where: What the entries are in, for the error.

    Returns:
        For each image that has an entry the entry, and how it was found.

    Raises:
        NirgenError: An image fits several entries, or an entry several images.

    Example:
        >>> match_names(["train/a.jpg", "train/b.jpg"], ["a.jpg", "x/c.jpg"], "labels.json")
        {'train/a.jpg': ('a.jpg', 'trailing')}
    """
    there = set(entries)
    matches: dict[str, tuple[str, How]] = {image: (image, "exact") for image in images if image in there}
    by_path = {path: [path] for path in _rest(images, matches)}
    matches |= _one_each(_by_trailing(by_path, _rest(entries, _taken(matches))), "trailing", where)
    matches |= _by_name(images, entries, matches)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in _rest(images, matches):
        by_stem[str(PurePosixPath(image).with_suffix(""))].append(image)
    without_ending = [entry for entry in _rest(entries, _taken(matches)) if not _has_ending(entry)]
    matches |= _one_each(_by_trailing(by_stem, without_ending), "stem", where)
    return matches


def _by_trailing(images: Mapping[str, Sequence[str]], entries: Sequence[str]) -> list[tuple[str, str]]:
    """Images and entries of which one's path is what the other's ends in; of several the longest.

    Args:
        images: By what their entries' paths are compared with.
        entries: Paths.
    """
    there = set(entries)
    found = []
    for path, bearers in images.items():
        entry = next((tail for tail in _tails(path) if tail in there), None)
        if entry is not None:
            found += [(image, entry) for image in bearers]
    for entry in entries:
        path = next((tail for tail in _tails(entry) if tail != entry and tail in images), "")
        found += [(image, entry) for image in images.get(path, ())]
    return found


def _by_name(
    images: Iterable[str], entries: Iterable[str], matches: Mapping[str, tuple[str, How]]
) -> dict[str, tuple[str, How]]:
    """Images and entries that are left and share a name that nothing else has, in folders that differ."""
    image_names, entry_names = (Counter(map(_name, paths)) for paths in (images, entries))
    left = {_name(entry): entry for entry in _rest(entries, _taken(matches))}
    return {
        image: (left[_name(image)], "name")
        for image in _rest(images, matches)
        if _name(image) in left and image_names[_name(image)] == entry_names[_name(image)] == 1
    }


def _one_each(pairs: Iterable[tuple[str, str]], how: How, where: str) -> dict[str, tuple[str, How]]:
    """Pairs as matches, once no image and no entry is in two of them."""
    entry_of: dict[str, str] = {}
    image_of: dict[str, str] = {}
    for image, entry in pairs:
        other_image, other_entry = image_of.setdefault(entry, image), entry_of.setdefault(image, entry)
        if other_image != image:
            raise NirgenError(
                f"{where}: '{entry}' may be '{other_image}' or '{image}'; name it with its folder in the labels, or "
                "take away one"
            )
        if other_entry != entry:
            raise NirgenError(
                f"{where}: both '{other_entry}' and '{entry}' may be '{image}'; put the images into the folders that "
                "the labels name"
            )
    return {image: (entry, how) for image, entry in entry_of.items()}


def _tails(path: str) -> Iterator[str]:
    """A path, and what is left of it as its first folders are taken off.

    Example:
        >>> list(_tails("a/b/c.jpg"))
        ['a/b/c.jpg', 'b/c.jpg', 'c.jpg']
    """
    while path:
        yield path
        path = path.partition("/")[2]


def _rest(paths: Iterable[str], matched: Iterable[str]) -> list[str]:
    gone = set(matched)
    return [path for path in paths if path not in gone]


def _taken(matches: Mapping[str, tuple[str, How]]) -> set[str]:
    return {entry for entry, _ in matches.values()}


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _has_ending(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in SUFFIXES
