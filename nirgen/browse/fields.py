"""Names of slices, fields and tags in FiftyOne (docs/browse.md), and boxes as FiftyOne has them.

FiftyOne's boxes are x, y, width, height as shares of the image's size; the dataset's are in pixels.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nirgen.curation import Action


SCHEMA = 1
INFO = "nirgen"
"""The entry of a dataset's `info` that says what it was loaded from."""

GROUP = "group"
NIR, RGB, REAL_NIR = "nir", "rgb", "real_nir"
SLICES = (NIR, RGB, REAL_NIR)
MAIN_SLICES = (NIR, REAL_NIR)
"""The slices that hold images of the dataset; the decisions on these rule."""

BOXES = "boxes"
DETECTIONS = f"{BOXES}.detections"
WORST_BOX = "worst_box"
COUNT = "count_"
MOST_COUNTED = 30
"""With more classes than these the counts of each have no field."""

REJECTED, KEPT, NEEDS_FIX = "rejected", "kept", "needs-fix"

IMAGE_ACTIONS: dict[str, Action] = {REJECTED: "reject", NEEDS_FIX: "flag", KEPT: "keep"}
BOX_ACTIONS: dict[str, Action] = {REJECTED: "delete", NEEDS_FIX: "flag", KEPT: "keep"}
"""What a tag decides; of several the first counts."""

TAG_OF: dict[Action, str] = {action: tag for each in (IMAGE_ACTIONS, BOX_ACTIONS) for tag, action in each.items()}

DECIDED = ("decision", "reason", "author")
"""Fields that the curator's operators fill in; a box has the last two."""

IDENTITY = ("key", "split", "origin", "kind", "model", "sequence")
OF_BOXES = ("key", "source_category", "flags", "iscrowd", "fidelity", "trouble")
"""Attributes of a box that come from the dataset, besides its class, its place and its tags."""

_RESERVED = {"id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "group", "groups", "frames"}


def field_names(attributes: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Names of fields for attributes of images, which may be any text.

    Args:
        attributes: The attributes' own names.
        taken: Names of fields that mean something else.

    Returns:
        The fields' names, by attribute.

    Example:
        >>> field_names(["weather", "time of day", "key"], ["key"])
        {'key': 'attribute_key', 'time of day': 'time_of_day', 'weather': 'weather'}
    """
    names: dict[str, str] = {}
    for attribute in sorted(attributes):
        name = re.sub(r"\W+", "_", attribute).strip("_") or "attribute"
        while name in _RESERVED or name in taken or name in names.values():
            name = f"attribute_{name}"
        names[attribute] = name
    return names


def count_names(classes: Iterable[str]) -> dict[str, str]:
    """The fields that count the boxes of each class, by class; none where there are too many.

    Example:
        >>> count_names(["car", "traffic light"])
        {'car': 'count_car', 'traffic light': 'count_traffic_light'}
    """
    wanted = list(classes)
    if len(wanted) > MOST_COUNTED:
        return {}
    names: dict[str, str] = {}
    for category in wanted:
        name = COUNT + re.sub(r"\W+", "_", category)
        while name in names.values():
            name += "_"
        names[category] = name
    return names


Box = tuple[float, float, float, float]
"""x, y, width, height."""

TOLERANCE = 0.01
"""In pixels: two boxes that differ by less are one. Shares of a size don't come back as the very same pixels."""

_DECIMALS = 7  # of shares: 0.0001 px of an image of 1000 px


class LoadedBox(NamedTuple):
    """What a box was when it was loaded.

    Attributes:
        label: Its class.
        place: In shares of the image's size.
    """

    label: str
    place: Box


def to_shares(bbox: Sequence[float], width: float, height: float) -> Box:
    """A box in pixels of an image, as shares of its size.

    Example:
        >>> to_shares((10, 20, 30, 40), 100, 200)
        (0.1, 0.1, 0.3, 0.2)
    """
    x, y, w, h = bbox
    return x / width, y / height, w / width, h / height


def to_pixels(place: Sequence[float], width: int, height: int) -> Box:
    """A box in shares of an image's size, in its pixels and cut at its borders.

    Example:
        >>> to_pixels((-0.1, 0.1, 0.3, 0.2), 100, 200)
        (0.0, 20.0, 20.0, 40.0)
    """
    x, y, w, h = place
    left, right = max(x, 0.0) * width, min(x + w, 1.0) * width
    top, bottom = max(y, 0.0) * height, min(y + h, 1.0) * height
    left, right, top, bottom = (round(value, 6) for value in (left, right, top, bottom))
    return left, top, round(right - left, 6), round(bottom - top, 6)


def same_place(one: Sequence[float], other: Sequence[float], size: tuple[int, int]) -> bool:
    """Whether two boxes, in shares of an image's size, are one.

    Args:
        one: x, y, width, height.
        other: The same.
        size: Width and height of the image in pixels.

    Example:
        >>> same_place((0.1, 0.1, 0.2, 0.2), (0.100009, 0.1, 0.2, 0.2), (1000, 1000))
        True
    """
    sizes = size * 2
    return all(abs(a - b) * pixels < TOLERANCE for a, b, pixels in zip(one, other, sizes, strict=True))


def encode_loaded(detections: Iterable[Mapping[str, Any]]) -> str:
    """What is kept beside the boxes of a sample: which there were when it was loaded, and what they were."""
    rows = [
        [one["key"], one["label"], *(round(value, _DECIMALS) for value in one["bounding_box"])] for one in detections
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def decode_loaded(text: object) -> dict[str, LoadedBox] | None:
    """The boxes that were loaded, by key; None if it can't be told any more."""
    if not isinstance(text, str):
        return None
    try:
        return {key: LoadedBox(label, (x, y, w, h)) for key, label, x, y, w, h in json.loads(text)}
    except (ValueError, TypeError):
        return None
