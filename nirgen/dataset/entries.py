"""Label entries matched with images by path, never by position; names of images in the dataset.

Label files and image folders rarely agree on where paths begin. So two paths match if they are equal; else if one is
a suffix of the other, `b1c66a42/0001.jpg` of `train/b1c66a42/0001.jpg`; else by the name alone, where no second image
and no second entry has it. Entries without an extension, as BDD100K's files of 2018 have them, are compared with the
images' paths without theirs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from nirgen.dataset.plan import Matched
from nirgen.errors import NirgenError
from nirgen.images import SUFFIXES
from nirgen.translate.plan import name_outputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nirgen.dataset.plan import Tally
    from nirgen.labels.file import LabelFile, LabelledImage


ASPECT_TOLERANCE = 0.01
"""By how much of itself the ratio of width to height may differ between an image and its label entry."""


@dataclass(frozen=True)
class Entries:
    """Which images have which entry.

    Attributes:
        of: The entry of each image that has one.
        matched: How they were found.
    """

    of: Mapping[str, LabelledImage]
    matched: Matched


def find_entries(origin: str, images: Sequence[str], labels: LabelFile, tally: Tally) -> Entries:
    """Find the label entries of images.

    Args:
        origin: The input.
        images: POSIX paths.
        labels: Their labels.
        tally: Where entries without an image are counted.

    Returns:
        The entries.

    Raises:
        NirgenError: An entry fits several images or an image several entries; or no entry fits any image.
    """
    entries = {entry.file_name: entry for entry in labels.images}
    matches = match_names(images, list(entries), str(labels.path))
    if images and entries and not matches:
        raise NirgenError(
            f"{labels.path}: none of its {len(entries)} entries, such as '{min(entries)}', fits any of the "
            f"{len(images)} images of '{origin}', such as '{min(images)}'; name the labels of these images"
        )
    tally.add(origin, "without-image", entries.keys() - {entry for entry, _ in matches.values()})
    hows = Counter(how for _, how in matches.values())
    matched = Matched(origin, len(images), len(entries), hows["exact"], hows["trailing"], hows["name"], hows["stem"])
    return Entries({image: entries[entry] for image, (entry, _) in matches.items()}, matched)


def misfit(entry: LabelledImage, width: int, height: int) -> str | None:
    """Why boxes of a label entry can't be put on an image.

    Args:
        entry: The label entry.
        width: Of the image that was labelled, as it is now, in pixels.
        height: The same.

    Returns:
        A remark of both sizes, or None if the image is the labelled one, at its size or another one.
    """
    expected = height * entry.width
    if expected > 0 and abs(width * entry.height - expected) <= ASPECT_TOLERANCE * expected:
        return None
    turned = ", turned by EXIF or not" if (width, height) == (entry.height, entry.width) else ""
    return f"is {width}x{height}, labelled as {entry.width}x{entry.height}{turned}"


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


def name_targets(origin: str, names: Sequence[str], codec: str | None) -> list[str]:
    """Where the images of an input go.

    Args:
        origin: The input.
        names: Distinct POSIX paths in its folder.
        codec: What they will be encoded in anew, or None; the endings follow it, by the rule of translation folders.

    Returns:
        As many distinct POSIX paths in the dataset, in the same order.

    Example:
        >>> name_targets("ranus", ["01/a.tif", "01/b.png", "01/b.tif"], "png")
        ['images/ranus/01/a.png', 'images/ranus/01/b.png.png', 'images/ranus/01/b.tif.png']
    """
    named = names if codec is None else name_outputs(names, f".{codec}")
    return [f"images/{origin}/{name}" for name in named]
