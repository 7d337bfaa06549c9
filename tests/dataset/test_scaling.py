from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from nirgen.dataset.scaling import Scaling

HALF = Scaling(0.5, 0.5, 8, 6)


def rle_of(pixels: np.ndarray) -> dict[str, object]:
    encoded = rle_tools.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def pixels_of(rle: dict[str, object]) -> np.ndarray:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools' own, of numpy 2
        return rle_tools.decode(rle)


def box_with(**values: object) -> dict[str, object]:
    return {"bbox": [2, 4, 8, 4], "area": 32, "iscrowd": 0, **values}


def test_sides_are_scaled_each_by_their_own_factor(small_plan) -> None:
    image = replace(small_plan.images[0], width=90, height=10)  # labelled at 60x40
    assert Scaling.of(image) == Scaling(1.5, 0.25, 90, 10)
    assert str(Scaling.of(image)) == "scaled 1.5x0.25"
    assert Scaling.of(image).annotation(box_with())["bbox"] == [3.0, 1.0, 12.0, 1.0]


def test_an_image_of_its_labels_size_needs_no_scaling(small_plan) -> None:
    assert Scaling.of(small_plan.images[4]).identity
    assert Scaling.of(replace(small_plan.images[0], labels=None)).identity


def test_the_area_of_a_box_is_that_of_the_box_as_written() -> None:
    third = Scaling(1 / 3, 1 / 3, 100, 100)
    assert third.annotation({"bbox": [1, 1, 10, 10], "area": 100}) == {
        "bbox": [0.333, 0.333, 3.334, 3.334],
        "area": 11.116,
    }


def test_a_box_that_reaches_the_border_ends_there() -> None:
    scaling = Scaling(2 / 3, 2 / 3, 667, 10)  # 1000.5 * 2 / 3 = 667.0003...
    assert scaling.annotation({"bbox": [0, 0, 1000.6, 15], "area": 1})["bbox"] == [0.0, 0.0, 667.0, 10.0]


@pytest.mark.parametrize("bbox", [[5, 5, 0.0009, 9], [5, 5, 9, 0.0001], [16, 5, 3, 3], [5, 5, 0.04, 0.04]])
def test_a_box_without_width_or_height_is_nothing(bbox: list[float]) -> None:
    assert HALF.annotation(box_with(bbox=bbox)) is None


def test_polygons_and_their_area_grow_with_the_image() -> None:
    scaled = Scaling(2, 3, 100, 100).annotation(box_with(segmentation=[[2, 4, 10, 4, 10, 8.1111]], area=16))
    assert scaled["segmentation"] == [[4, 12, 20, 12, 20, 24.333]]
    assert scaled["area"] == 96


@pytest.mark.parametrize("compressed", [True, False])
def test_a_mask_is_sampled_at_the_nearest_pixels(compressed: bool) -> None:
    pixels = np.zeros((12, 16), np.uint8)
    pixels[4:8, 2:10] = 1
    rle = rle_of(pixels) if compressed else {"size": [12, 16], "counts": [28, *[4, 8] * 7, 4, 76]}
    scaled = HALF.annotation(box_with(segmentation=rle, iscrowd=1))
    half = np.zeros((6, 8), np.uint8)
    half[2:4, 1:5] = 1
    assert np.array_equal(pixels_of(scaled["segmentation"]), half)
    assert (scaled["area"], scaled["bbox"]) == (8, [1.0, 2.0, 4.0, 2.0])


def test_a_mask_that_has_no_pixel_left_leaves_its_box() -> None:
    pixels = np.zeros((12, 16), np.uint8)
    pixels[4, 2] = 1  # sampled are the odd rows and columns
    scaled = HALF.annotation({"bbox": [2, 4, 1, 1], "area": 1, "segmentation": rle_of(pixels)})
    assert scaled == {"bbox": [1.0, 2.0, 0.5, 0.5], "area": 0.25}


def test_keypoints_move_and_keep_their_visibility() -> None:
    assert HALF.annotation(box_with(keypoints=[10, 20, 2, 0, 0, 0]))["keypoints"] == [5, 10, 2, 0, 0, 0]


def test_other_keys_stay() -> None:
    assert HALF.annotation(box_with(track=[1, 2]))["track"] == [1, 2]
