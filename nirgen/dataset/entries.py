"""Match label entries with images by path, never by position; name images in the dataset.

Two paths match if they are equal; else if one is a suffix of the other, `b1c66a42/0001.jpg` of
`train/b1c66a42/0001.jpg`; else by name alone, if the name is unique among images and entries. Entries without an
extension, as in BDD100K's files of 2018, are compared with the images' paths without theirs. What is left matches if
the paths differ only in their spelling (`%20`, Unicode form) or extension, and the name is unique.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, get_args

from nirgen.dataset.plan import Matched
from nirgen.errors import NirgenError
from nirgen.files import name_outputs
from nirgen.images import SUFFIXES
from nirgen.labels.frames import plain_name
from nirgen.translate.plan import Plan
from nirgen.translate.sources import Disk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.plan import Tally
    from nirgen.labels.file import LabelFile, LabelledImage


ASPECT_TOLERANCE = 0.01  # relative difference in aspect ratio that an image and its label entry may have


def find_entries(
    origin: str, images: Sequence[str], labels: LabelFile, tally: Tally
) -> tuple[dict[str, LabelledImage], Matched]:
    """Return the label entries of images, POSIX paths, that have one; entries without an image go to `tally`."""
    entries = {entry.file_name: entry for entry in labels.images}
    matches = match_names(images, list(entries), str(labels.path))
    if images and entries and not matches:
        raise NirgenError(_no_match(labels.path, entries, images, origin))
    tally.add(origin, "without-image", entries.keys() - {entry for entry, _ in matches.values()})
    hows = Counter(how for _, how in matches.values())
    matched = Matched(origin, len(images), len(entries), **{how: hows[how] for how in get_args(How)})
    return {image: entries[entry] for image, (entry, _) in matches.items()}, matched


def labelled_images(folder: Path, entries: Collection[str], where: Path) -> list[str]:
    """Return the images that 'nirgen translate' finds in a folder and that have a label entry, sorted.

    Args:
        folder: It and its subfolders are searched; names are POSIX paths relative to it.
        entries: File names of the label entries.
        where: Label file, for errors.

    Raises:
        NirgenError: The folder has no images, no entry fits any of them, or one fits several.
    """
    images = image_names(folder)
    if not images:
        raise NirgenError(f"{folder}: no folder with images; name that of the labelled images")
    matches = match_names(images, sorted(entries), str(where))
    if not matches:
        raise NirgenError(_no_match(where, entries, images, str(folder)))
    return sorted(matches)


def image_names(folder: Path) -> list[str]:
    """Return the images that 'nirgen translate' finds in a folder, as sorted POSIX paths relative to it."""
    return [item.source for item in Plan(folder, Disk(folder, None), ".png", None) if not item.problem]


def _no_match(labels: Path, entries: Collection[str], images: Collection[str], folder: str) -> str:
    if not entries:
        return f"{labels}: no image has a label entry; name the labels of the images in '{folder}'"
    return (
        f"{labels}: none of its {len(entries)} entries, such as '{min(entries)}', fits any of the {len(images)} images "
        f"of '{folder}', such as '{min(images)}'; name the labels of these images"
    )


def misfit(entry: LabelledImage, width: int, height: int) -> str | None:
    """Return a remark if the aspect ratios of a label entry and its image (in pixels) differ, else None."""
    expected = height * entry.width
    if expected > 0 and abs(width * entry.height - expected) <= ASPECT_TOLERANCE * expected:
        return None
    turned = ", turned by EXIF or not" if (width, height) == (entry.height, entry.width) else ""
    return f"is {width}x{height}, labelled as {entry.width}x{entry.height}{turned}"


How = Literal["exact", "trailing", "name", "stem", "spelling"]


def match_names(images: Sequence[str], entries: Sequence[str], where: str) -> dict[str, tuple[str, How]]:
    """Return (entry, kind of match) for each image that has an entry; `where` names the label file in errors.

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
    without_ending = [
        entry for entry in _rest(entries, _taken(matches)) if PurePosixPath(entry).suffix.lower() not in SUFFIXES
    ]
    matches |= _one_each(_by_trailing(by_stem, without_ending), "stem", where)
    return matches | _by_spelling(images, entries, matches)


def _by_trailing(by_path: Mapping[str, Sequence[str]], entries: Sequence[str]) -> list[tuple[str, str]]:
    """Return (image, entry) where one's path is a suffix of the other's, the longest of several."""
    there = set(entries)
    found = []
    for path, images in by_path.items():
        entry = next((tail for tail in _tails(path) if tail in there), None)
        if entry is not None:
            found += [(image, entry) for image in images]
    for entry in entries:
        path = next((tail for tail in _tails(entry) if tail != entry and tail in by_path), "")
        found += [(image, entry) for image in by_path.get(path, ())]
    return found


def _by_name(
    images: Iterable[str], entries: Iterable[str], matches: Mapping[str, tuple[str, How]]
) -> dict[str, tuple[str, How]]:
    """Return unmatched images whose name is unique, with the entry of that name in another folder."""
    image_names, entry_names = (Counter(map(_name, paths)) for paths in (images, entries))
    left = {_name(entry): entry for entry in _rest(entries, _taken(matches))}
    return {
        image: (left[_name(image)], "name")
        for image in _rest(images, matches)
        if _name(image) in left and image_names[_name(image)] == entry_names[_name(image)] == 1
    }


def _by_spelling(
    images: Iterable[str], entries: Iterable[str], matches: Mapping[str, tuple[str, How]]
) -> dict[str, tuple[str, How]]:
    """Return unmatched images whose name, in its plain form, is unique, with the entry of the same plain path."""
    plain_images, plain_entries = (Counter(map(_name, map(plain_name, paths))) for paths in (images, entries))
    left = {plain_name(entry): entry for entry in _rest(entries, _taken(matches))}
    found: dict[str, tuple[str, How]] = {}
    for image in _rest(images, matches):
        plain = plain_name(image)
        entry = next((left[tail] for tail in _tails(plain) if tail in left), None)
        entry = entry or next((left[path] for path in left if path.endswith(f"/{plain}")), None)
        if entry is not None and plain_images[_name(plain)] == plain_entries[_name(plain)] == 1:
            found[image] = (entry, "spelling")
    return found


def _one_each(pairs: Iterable[tuple[str, str]], how: How, where: str) -> dict[str, tuple[str, How]]:
    """Return (image, entry) pairs as matches, and refuse ambiguous ones."""
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
    """Yield a path and its suffixes, without its first folders.

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


def name_targets(origin: str, names: Sequence[str], codec: str | None) -> list[str]:
    """Return the distinct POSIX paths in the dataset of an input's images, `names` in its folder.

    Extensions of re-encoded images follow `codec` by the rule of translation folders.

    Example:
        >>> name_targets("ranus", ["01/a.tif", "01/b.png", "01/b.tif"], "png")
        ['images/ranus/01/a.png', 'images/ranus/01/b.png.png', 'images/ranus/01/b.tif.png']
    """
    named = names if codec is None else name_outputs(names, f".{codec}")
    return [f"images/{origin}/{name}" for name in named]
