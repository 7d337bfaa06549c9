"""Segmentations as COCO writes them: polygons, and run lengths as numbers or as text."""

from __future__ import annotations

import math
from typing import Any

import msgspec

_FIRST, _MORE, _SIGN, _BITS = 48, 0x20, 0x10, 5
"""Run lengths as text: 5 bits a letter, above '0'; the sixth says that a number goes on, the fifth is its last sign."""

Extent = tuple[float, float, float, float]


class SegmentationError(ValueError):
    """A segmentation that can't be decoded; its text says why."""


def extent_of(raw: msgspec.Raw, height: int, width: int) -> Extent | None:
    """Decode a segmentation as far as it takes to trust it.

    Args:
        raw: Its JSON: polygons, or run lengths.
        height: Of the image, in pixels; 0 if not known.
        width: The same.

    Returns:
        Left, top, right and bottom of all polygons, in pixels; None of run lengths.

    Raises:
        SegmentationError: pycocotools could not decode it, or would draw a mask of another size.

    Example:
        >>> extent_of(msgspec.Raw(b"[[1, 2, 5, 2, 5, 8]]"), 10, 10)
        (1.0, 2.0, 5.0, 8.0)
        >>> extent_of(msgspec.Raw(b'{"size": [2, 3], "counts": [4, 2]}'), 2, 3)
    """
    try:
        return _extent(_POLYGONS.decode(raw))
    except msgspec.ValidationError:
        _check_run_lengths(msgspec.json.decode(raw), height, width)
        return None


_POLYGONS = msgspec.json.Decoder(list[list[float]])


def _extent(polygons: list[list[float]]) -> Extent:
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise SegmentationError(f"a polygon of {len(polygon)} numbers, which takes an even number from 6")
    across = [x for polygon in polygons for x in polygon[::2]]
    down = [y for polygon in polygons for y in polygon[1::2]]
    return min(across), min(down), max(across), max(down)


def _check_run_lengths(value: Any, height: int, width: int) -> None:
    if not isinstance(value, dict) or "counts" not in value or "size" not in value:
        kind = "an object without size and counts" if isinstance(value, dict) else "neither polygons nor run lengths"
        raise SegmentationError(kind)
    size, counts = value["size"], value["counts"]
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise SegmentationError(f"a mask of size {size!r}")
    if height and width and size != [height, width]:
        raise SegmentationError(f"a mask of {size[1]}x{size[0]} in an image of {width}x{height}")
    lengths = _spelled(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(isinstance(length, int) and length >= 0 for length in lengths):
        raise SegmentationError("run lengths that are no whole numbers from 0")
    if sum(lengths) != math.prod(size):
        raise SegmentationError(f"run lengths of {sum(lengths)} pixels in a mask of {math.prod(size)}")


def _spelled(text: str) -> list[int]:
    """Run lengths from text; from the third on each is a difference to the one two before."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - _FIRST
        if not 0 <= bits < 64:
            raise SegmentationError(f"run lengths with the letter {letter!r}")
        value |= (bits & 0x1F) << shift
        shift += _BITS
        if not bits & _MORE:
            if bits & _SIGN:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise SegmentationError("run lengths that end within a number")
    return lengths
