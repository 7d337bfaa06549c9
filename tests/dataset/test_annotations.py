from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from nirgen.dataset.annotations import Scaling, image_entries, label_images


def test_ids_are_from_one_over_all_splits_in_the_order_of_the_keys(small_plan) -> None:
    found = list(label_images(small_plan))
    assert [labelled.id for labelled in found] == [1, 2, 3, 4, 5, 6, 7]
    boxes = [box.coco for labelled in found for box in labelled.boxes]
    assert [(box["id"], box["image_id"], box["key"]) for box in boxes] == [
        (1, 1, "bdd/a.jpg#10"),
        (2, 1, "bdd/a.jpg#3"),
        (3, 1, "bdd/a.jpg#7"),
        (4, 4, "bdd/n/d.jpg#1"),
        (5, 5, "ranus/01/a.png#1"),
        (6, 6, "ranus/02/b.png#2"),
        (7, 6, "ranus/02/b.png#3"),
        (8, 6, "ranus/02/b.png#4"),
        (9, 7, "ranus/03/c.jpg#5"),
    ]


def test_boxes_of_a_generated_image_have_its_size(small_plan) -> None:
    truck = next(label_images(small_plan)).boxes[2]
    assert truck.coco == {
        "id": 3,
        "image_id": 1,
        "category_id": 3,
        "bbox": [5.0, 10.0, 15.5, 5.5],  # half of [10, 20, 31, 11]
        "area": 85.25,
        "iscrowd": 0,
        "key": "bdd/a.jpg#7",
        "source_category": "truck",
    }
    assert (truck.source_key, truck.steps) == ("7", ("class truck -> car", "scaled 0.5x0.5"))


def test_what_was_done_is_told_in_order(small_plan) -> None:
    steps = {box.coco["key"]: box.steps for labelled in label_images(small_plan) for box in labelled.boxes}
    assert steps["bdd/a.jpg#3"] == ("class train -> car", "region to ignore", "scaled 0.5x0.5")
    assert steps["ranus/01/a.png#1"] == ("box from mask",)
    assert steps["ranus/02/b.png#2"] == ()


def test_a_box_that_scaling_leaves_nothing_of_is_named(small_plan) -> None:
    labelled = list(label_images(small_plan))[2]
    assert (labelled.boxes, labelled.dropped) == ([], ["bdd/n/c.jpg#@0"])


def test_keys_of_the_source_stay(small_plan, with_image, labelled_as) -> None:
    labels = labelled_as(
        "a.jpg",
        (30, 20),
        [{"source_key": "1", "category_id": 1, "bbox": [0, 0, 2, 2], "track": 5, "key": "theirs"}],
        coco_url="u",
        license=3,
        kind="theirs",
    )
    plan = with_image(small_plan, 0, labels=replace(labels, attributes={"weather": "clear"}), sequence="s")
    assert next(image_entries(plan, "train", {(0, 3): 9})) == {
        "id": 1,
        "file_name": "images/bdd/a.png",
        "width": 30,
        "height": 20,
        "key": "bdd/a.jpg",
        "origin": "bdd",
        "kind": "generated",
        "sequence": "s",
        "attributes": {"weather": "clear"},
        "coco_url": "u",
        "license": 9,
    }
    box = next(label_images(plan)).boxes[0].coco
    assert (box["track"], box["key"]) == (5, "bdd/a.jpg#1")


def test_an_image_without_a_label_entry_is_marked(small_plan, with_image) -> None:
    plan = with_image(small_plan, 1, labels=None)
    entries = list(image_entries(plan, "train", {}))
    assert [entry.get("unlabelled") for entry in entries] == [None, True, None, None, None]


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
