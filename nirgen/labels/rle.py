"""Run lengths of masks, as COCO has them: counts of pixels, columns first, that are outside and inside by turns.

pycocotools allocates what run lengths claim, and crashes at some that are wrong; so they are checked before.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pycocotools import mask as rle_tools

from nirgen.images import PIXEL_LIMIT

if TYPE_CHECKING:
    from nirgen.labels.frames import Box


# COCO's compressed run lengths: 5 bits a letter from '0'; the sixth bit continues the number, the fifth is its sign.
_FIRST, _MORE, _SIGN, _BITS = 48, 0x20, 0x10, 5
_LETTERS = 7  # of a number below 2^32 and its sign


def check_rle(value: Any) -> dict[str, Any]:
    """Return run lengths in the form that pycocotools decodes; ValueError if it could not, or at too many pixels."""
    if not isinstance(value, dict) or "counts" not in value or "size" not in value:
        kind = "an object without size and counts" if isinstance(value, dict) else "neither polygons nor run lengths"
        raise ValueError(kind)
    size, counts = value["size"], value["counts"]
    if not isinstance(size, list) or len(size) != 2 or not all(_is_whole(side) and side > 0 for side in size):
        raise ValueError(f"a mask of size {size!r:.60}")
    if math.prod(size) > PIXEL_LIMIT:
        raise ValueError(f"a mask of {size[1]}x{size[0]}, over the limit of {PIXEL_LIMIT} pixels")
    lengths = _decompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(_is_whole(length) and length >= 0 for length in lengths):
        raise ValueError("run lengths that are no whole numbers from 0")
    if sum(lengths) != math.prod(size):
        raise ValueError(f"run lengths of {sum(lengths)} pixels in a mask of {math.prod(size)}")
    if isinstance(counts, str):
        return {"size": size, "counts": counts.encode()}
    compressed: dict[str, Any] = rle_tools.frPyObjects({"size": size, "counts": counts}, *size)
    return compressed


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _decompressed(text: str) -> list[int]:
    """Decode run lengths; from the fourth on, each is stored as the difference to the one two before."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - _FIRST
        if not 0 <= bits < 64:
            raise ValueError(f"run lengths with the letter {letter!r}")
        if shift == _LETTERS * _BITS:
            raise ValueError(f"run lengths with a number of over {_LETTERS} letters")
        value |= (bits & 0x1F) << shift
        shift += _BITS
        if not bits & _MORE:
            if bits & _SIGN:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("run lengths that end within a number")
    return lengths


def rle_box(value: Any) -> Box:
    """Return the box around a mask, in pixels; ValueError as `check_rle`.

    Example:
        >>> rle_box({"size": [4, 5], "counts": [5, 2, 2, 2, 9]})
        (1.0, 1.0, 2.0, 2.0)
    """
    x, y, width, height = rle_tools.toBbox(check_rle(value)).tolist()
    return x, y, width, height
