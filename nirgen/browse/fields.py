"""Names of slices, fields and tags in FiftyOne (docs/browse.md), and conversion of bounding boxes.

FiftyOne's boxes are x, y, width, height relative to the image's size; the dataset's are in pixels.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nirgen.curation import Action

SCHEMA = 1
INFO = "nirgen"  # entry of a FiftyOne dataset's `info` that holds its origin

GROUP = "group"
NIR, RGB, REAL_NIR = "nir", "rgb", "real_nir"
SLICES = (NIR, RGB, REAL_NIR)
MAIN_SLICES = (NIR, REAL_NIR)  # images of the dataset; classes and boxes are edited here

BOXES = "boxes"
DETECTIONS = f"{BOXES}.detections"
WORST_BOX = "worst_box"
ISSUE = "issue"  # `trouble` with its name, as the badge of a tile

WORST_IMAGES = "worst images"
"""Name of the view that the App opens with."""

SHOWN = ("tags", "_label_tags", ISSUE, "kind", BOXES)
"""Fields that a tile shows; FiftyOne's own setting leaves out tags, so the plugin shows them."""

REJECTED, KEPT, NEEDS_FIX = "rejected", "kept", "needs-fix"

# Action by tag, the gravest first.
IMAGE_ACTIONS: dict[str, Action] = {REJECTED: "reject", NEEDS_FIX: "flag", KEPT: "keep"}
BOX_ACTIONS: dict[str, Action] = {REJECTED: "delete", NEEDS_FIX: "flag", KEPT: "keep"}
TAG_OF: dict[Action, str] = {action: tag for each in (IMAGE_ACTIONS, BOX_ACTIONS) for tag, action in each.items()}

DECIDED = ("decision", "reason", "author")  # filled in by the operators; a box has the last two
PHOTO = "photo"  # `kind` of an RGB image; that of others is generated or real
IDENTITY = ("key", "split", "origin", "kind", "model", "sequence")
OF_BOXES = ("key", "source_category", "flags", "iscrowd", "fidelity", "trouble")  # custom attributes of a box

NEAREST, NEAREST_DISTANCE, DUPLICATE_OF = "nearest", "nearest_distance", "duplicate_of"
OUTLIER, COVERED = "outlier", "covered"
EMBEDDED = (NEAREST, NEAREST_DISTANCE, DUPLICATE_OF, OUTLIER, COVERED)  # of images, filled in from their features

_RESERVED = {"id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "group", "groups", "frames"}


def field_names(attributes: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Return the field name of each attribute of images, whose own name may be any text; names `taken` are in use.

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
    """Return the name of the field that counts the boxes of each class; empty with more than 30 classes.

    Example:
        >>> count_names(["car", "traffic light"])
        {'car': 'count_car', 'traffic light': 'count_traffic_light'}
    """
    names: dict[str, str] = {}
    for category in classes:
        name = "count_" + re.sub(r"\W+", "_", category)
        while name in names.values():
            name += "_"
        names[category] = name
    return names if len(names) <= 30 else {}


Box = tuple[float, float, float, float]  # x, y, width, height

_TOLERANCE = 0.01  # pixels; relative coordinates don't convert back exactly
_DECIMALS = 7  # of relative coordinates: 0.0001 px in an image of 1000 px


class LoadedBox(NamedTuple):
    """A box as it was when it was loaded."""

    label: str  # class
    place: Box  # relative to the image's size


def to_shares(bbox: Sequence[float], width: float, height: float) -> Box:
    """Convert a box from pixels to shares of the image's size.

    Example:
        >>> to_shares((10, 20, 30, 40), 100, 200)
        (0.1, 0.1, 0.3, 0.2)
    """
    x, y, w, h = bbox
    return x / width, y / height, w / width, h / height


def to_pixels(place: Sequence[float], width: int, height: int) -> Box:
    """Convert a box from shares of the image's size to pixels, clipped to the image.

    Example:
        >>> to_pixels((-0.1, 0.1, 0.3, 0.2), 100, 200)
        (0.0, 20.0, 20.0, 40.0)
    """
    x, y, w, h = place
    left, right = (round(share * width, 6) for share in (max(x, 0.0), min(x + w, 1.0)))
    top, bottom = (round(share * height, 6) for share in (max(y, 0.0), min(y + h, 1.0)))
    return left, top, round(right - left, 6), round(bottom - top, 6)


def same_place(one: Sequence[float], other: Sequence[float], size: tuple[int, int]) -> bool:
    """Return True if two relative boxes on an image of `size`, (width, height), differ by less than 0.01 px.

    Example:
        >>> same_place((0.1, 0.1, 0.2, 0.2), (0.100009, 0.1, 0.2, 0.2), (1000, 1000))
        True
    """
    return all(abs(a - b) * pixels < _TOLERANCE for a, b, pixels in zip(one, other, size * 2, strict=True))


def issue_text(trouble: float) -> str:
    """Return the badge of an issue score, with two decimals so that each text can have a colour.

    Example:
        >>> issue_text(0.0873)
        'trouble 0.09'
    """
    return f"trouble {trouble:.2f}"


def encode_loaded(detections: Iterable[Mapping[str, Any]]) -> str:
    """Encode the boxes of a sample as they are loaded: key, class and relative box of each."""
    rows = [
        [one["key"], one["label"], *(round(value, _DECIMALS) for value in one["bounding_box"])] for one in detections
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def decode_loaded(text: object) -> dict[str, LoadedBox] | None:
    """Decode the boxes that were loaded, by key; None if `text` is missing or damaged."""
    if not isinstance(text, str):
        return None
    try:
        return {key: LoadedBox(label, (x, y, w, h)) for key, label, x, y, w, h in json.loads(text)}
    except (ValueError, TypeError):
        return None
