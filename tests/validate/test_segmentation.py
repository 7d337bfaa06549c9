from __future__ import annotations

import msgspec
import numpy as np
import pytest
from pycocotools import mask as tools

from nirgen.validate.segmentation import SegmentationError, extent_of


def extent(value: object, height: int = 20, width: int = 30) -> object:
    return extent_of(msgspec.Raw(msgspec.json.encode(value)), height, width)


@pytest.mark.parametrize("seed", range(5))
def test_what_pycocotools_encodes_is_sound(seed: int) -> None:
    mask = (np.random.default_rng(seed).random((20, 30)) < 0.3).astype(np.uint8)
    encoded = tools.encode(np.asfortranarray(mask))
    assert extent({"size": encoded["size"], "counts": encoded["counts"].decode()}) is None


def test_run_lengths_as_numbers_are_sound() -> None:
    assert extent({"size": [20, 30], "counts": [100, 200, 300]}) is None


def test_the_extent_of_polygons_holds_all_of_them() -> None:
    assert extent([[1, 2, 5, 2, 5, 8], [10, 1, 12, 1, 12, 3]]) == (1, 1, 12, 8)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2, 3, 4]], "a polygon of 4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon of 7 numbers"),
        ([[1, 2, 3, 4, 5, "6"]], "neither polygons nor run lengths"),
        ("polygon", "neither polygons nor run lengths"),
        ({"counts": [600]}, "an object without size and counts"),
        ({"size": [30, 20], "counts": [600]}, "a mask of 20x30 in an image of 30x20"),
        ({"size": [20, 0], "counts": [600]}, "a mask of size"),
        ({"size": [20, 30], "counts": [100, 200]}, "run lengths of 300 pixels in a mask of 600"),
        ({"size": [20, 30], "counts": [700, -100]}, "no whole numbers from 0"),
        ({"size": [20, 30], "counts": "\u00e9"}, "the letter"),
        ({"size": [20, 30], "counts": "P"}, "end within a number"),
    ],
)
def test_what_pycocotools_can_not_decode_is_refused(value: object, message: str) -> None:
    with pytest.raises(SegmentationError, match=message):
        extent(value)
