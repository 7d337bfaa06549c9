"""The label entries of one input, matched with its images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.dataset.matching import match_names
from nirgen.dataset.plan import Matched
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.dataset.tally import Tally
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
