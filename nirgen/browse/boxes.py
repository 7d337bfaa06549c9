"""Boxes as FiftyOne has them, in shares of the image's size, and as the dataset has them, in pixels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Place = tuple[float, float, float, float]
"""x, y, width, height."""

TOLERANCE = 0.01
"""In pixels: two boxes that differ by less are one. Shares of a size don't come back as the very same pixels."""

_DECIMALS = 7  # of shares: 0.0001 px of an image of 1000 px


class Loaded(NamedTuple):
    """What a box was when it was loaded.

    Attributes:
        label: Its class.
        place: In shares of the image's size.
    """

    label: str
    place: Place


def to_shares(bbox: Sequence[float], width: float, height: float) -> Place:
    """A box in pixels of an image, as shares of its size.

    Example:
        >>> to_shares((10, 20, 30, 40), 100, 200)
        (0.1, 0.1, 0.3, 0.2)
    """
    x, y, w, h = bbox
    return x / width, y / height, w / width, h / height


def to_pixels(place: Sequence[float], width: int, height: int) -> Place:
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


def decode_loaded(text: object) -> dict[str, Loaded] | None:
    """The boxes that were loaded, by key; None if it can't be told any more."""
    if not isinstance(text, str):
        return None
    try:
        return {key: Loaded(label, (x, y, w, h)) for key, label, x, y, w, h in json.loads(text)}
    except (ValueError, TypeError):
        return None
