from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from pycocotools import mask as tools

from nirgen.validate.annotations import extent_of, same_boxes
from nirgen.validate.run import validate_coco

if TYPE_CHECKING:
    from collections.abc import Callable


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], dict[str, int]]] = {
    "annotation id 0": (lambda coco: coco["annotations"][0].update(id=0), {"zero-id": 1}),
    "image id 0": (
        lambda coco: (coco["images"][2].update(id=0), coco["annotations"][4].update(image_id=0)),
        {"zero-entry-id": 1},
    ),
    "duplicate annotation ids": (lambda coco: coco["annotations"][1].update(id=1), {"duplicate-id": 1}),
    "duplicate image ids": (
        lambda coco: (coco["images"][2].update(id=1), coco["annotations"].pop()),
        {"duplicate-id": 1, "empty-images": 1},
    ),
    "negative id": (lambda coco: coco["annotations"][1].update(id=-1), {"bad-id": 1}),
    "huge id": (lambda coco: coco["annotations"][1].update(id=2**31), {"wide-ids": 1}),
    "annotation without an image": (lambda coco: coco["annotations"][1].update(image_id=99), {"no-image": 1}),
    "annotation without a category": (lambda coco: coco["annotations"][1].update(category_id=99), {"no-category": 1}),
    "two entries of one file": (lambda coco: coco["images"][2].update(file_name="2.png"), {"duplicate-file": 1}),
    "no area and no iscrowd": (
        lambda coco: [coco["annotations"][1].pop(key) for key in ("area", "iscrowd")],
        {"missing-key": 1},
    ),
    "no width": (lambda coco: coco["images"][1].pop("width"), {"missing-key": 1}),
    "height 0": (lambda coco: coco["images"][1].update(height=0), {"bad-size": 1}),
    "iscrowd 2": (lambda coco: coco["annotations"][1].update(iscrowd=2), {"bad-crowd": 1}),
    "area 0": (lambda coco: coco["annotations"][1].update(area=0), {"bad-area": 1, "area-mismatch": 1}),
    "box of nulls": (lambda coco: coco["annotations"][1].update(bbox=[None] * 4), {"bad-box": 1}),
    "box of text": (lambda coco: coco["annotations"][1].update(bbox="1 2 3 4"), {"bad-box": 1}),
    "category without a name": (lambda coco: coco["categories"][1].pop("name"), {"bad-category": 1}),
    "two categories of one name": (lambda coco: coco["categories"][1].update(name="car"), {"bad-category": 1}),
    "categories out of order": (lambda coco: coco["categories"].reverse(), {"category-gaps": 1}),
    "category without boxes": (lambda coco: coco["annotations"][2].update(category_id=3), {"empty-category": 1}),
    "supercategory that hides a category": (
        lambda coco: (
            coco["annotations"][2].update(category_id=3),
            coco["categories"][2].update(supercategory="bicycle"),
        ),
        {"empty-category": 1, "shadowed-category": 1},
    ),
    "image without boxes": (lambda coco: coco["annotations"].pop(), {"empty-images": 1}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(coco, found, fault: str) -> None:
    plant, expected = FAULTS[fault]
    plant(coco)
    assert found(coco) == expected


def test_categories_of_all_files_are_compared(coco, found) -> None:
    other = coco | {"categories": [*coco["categories"][:2], {"id": 3, "name": "truck"}]}
    assert found(coco, other)["categories-differ"] == 1


def test_gaps_of_small_files_are_not_wide(coco, found) -> None:
    coco["annotations"][0]["id"] = 900_000
    assert found(coco) == {}


def test_a_dataset_whose_classes_are_not_its_own_is_found(edit, faults) -> None:
    edit("annotations/val.json", lambda values: values["categories"].reverse())
    assert faults().keys() >= {"category-order", "categories-differ", "policy-classes"}


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ([20, 10, -5, 12], "degenerate-box"),
        ([20, 10, 5, 0], "degenerate-box"),
        ([20, 10, 0.5, 12], "tiny-box"),
        ([48, 10, 5, 12], "outside-box"),
        ([-20, 10, 5, 12], "outside-box"),
        ([40, 10, 9.5, 12], "overhanging-box"),
        ([-1.5, 10, 20, 12], "overhanging-box"),
        ([40, 10, 8.5, 12], "edge-box"),
    ],
)
def test_a_box_that_detectors_stumble_over_is_found(coco, found, bbox: list[float], expected: str) -> None:
    coco["annotations"][1] |= {"bbox": bbox, "area": abs(bbox[2] * bbox[3]) or 1}
    assert found(coco) == {expected: 1}


def test_a_box_that_rounding_moved_over_the_edge_is_none(coco, found) -> None:
    coco["annotations"][1] |= {"bbox": [40, 10, 8.001, 12], "area": 96.012}
    assert found(coco) == {}


def test_an_area_fits_its_box_or_its_mask(coco, found) -> None:
    coco["annotations"][1]["area"] = 100
    assert found(coco) == {"area-mismatch": 1}
    coco["annotations"][1]["segmentation"] = [[20, 10, 40, 10, 40, 22]]
    assert found(coco) == {}
    coco["annotations"][1]["area"] = 250
    assert found(coco) == {"area-mismatch": 1}


def test_boxes_on_each_other_are_found_within_a_class_and_an_image(coco, found) -> None:
    first = coco["annotations"][1]
    coco["annotations"] += [
        first | {"id": 11, "bbox": [20, 10, 20, 11.5], "area": 230},
        first | {"id": 12, "category_id": 1},
        first | {"id": 13, "image_id": 3},
        first | {"id": 14, "iscrowd": 1},
    ]
    assert found(coco) == {"same-boxes": 1}


def test_pairs_are_those_that_comparing_all_with_all_finds() -> None:
    random = np.random.default_rng(0)
    originals = random.uniform([0, 0, 20, 20], [100, 100, 120, 120], (40, 4))
    boxes = np.concatenate([originals, originals + random.uniform(-2, 2, originals.shape)])
    groups = np.tile(random.integers(0, 3, 40), 2)
    boxes, groups = np.concatenate([boxes, boxes[:9]]), np.concatenate([groups, groups[:9]])
    found = same_boxes(boxes, groups, most=1000)
    expected = []
    for one in range(89):
        for other in range(one + 1, 89):
            (x, y, w, h), (x2, y2, w2, h2) = boxes[one], boxes[other]
            width, height = min(x + w, x2 + w2) - max(x, x2), min(y + h, y2 + h2) - max(y, y2)
            shared = max(width, 0) * max(height, 0)
            if groups[one] == groups[other] and shared / (w * h + w2 * h2 - shared) > 0.9:
                expected.append((one, other))
    assert len(expected) > 10
    assert [pair[:2] for pair in found.pairs] == expected
    assert all(overlap > 0.9 for _, _, overlap in found.pairs)
    assert (found.total, found.all) == (len(expected), True)
    few = same_boxes(boxes, groups)
    assert (few.total, few.pairs) == (len(expected), found.pairs[:3])


def test_equal_boxes_are_counted_without_comparing_all_with_all() -> None:
    boxes = np.tile([3.0, 4.0, 50.0, 40.0], (15_002, 1))
    boxes[15_000:, 3] = 41
    found = same_boxes(boxes, np.zeros(15_002, np.int64), effort=10)
    assert (found.total, found.all) == (15_000 * 14_999 // 2 + 2 * 15_000 + 1, True)
    assert found.pairs == [(0, 1, 1.0), (0, 2, 1.0), (0, 3, 1.0)]


def test_a_search_among_too_many_near_boxes_ends_and_says_so(coco, store, tmp_path) -> None:
    first = coco["annotations"][1]
    near = [first | {"id": 11 + n, "bbox": [20, 10, 20 + n / 10**4, 10], "area": 200 + n / 1000} for n in range(7000)]
    coco["annotations"] += near
    report = validate_coco([store(coco)], [tmp_path / "images"])
    (same,) = (finding for finding in report.findings if finding.check == "same-boxes")
    assert 20_000_000 < same.count < 7001 * 7000 // 2
    assert "counted in part" in report.partial["boxes"]


def test_a_polygon_far_from_its_box_is_found(coco, found) -> None:
    coco["annotations"][1]["segmentation"] = [[1, 1, 10, 1, 10, 8]]
    assert found(coco) == {"strayed-segmentation": 1}


def test_a_segmentation_that_can_not_be_decoded_is_found(coco, found) -> None:
    coco["annotations"][1]["segmentation"] = [[1, 1, 10]]
    assert found(coco) == {"bad-segmentation": 1}


def test_files_without_annotations_or_images_are_checked(coco, found) -> None:
    coco["annotations"] = []
    assert found(coco) == {"empty-category": 3, "empty-images": 3}
    coco["images"] = []
    assert found(coco) == {"empty-category": 3}


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
        ([[1, 2, 3, 4, 5, -301]], "a polygon that reaches over 10 times the image's side"),
        ([[1, 2, 3, 4, 5, "6"]], "neither polygons nor run lengths"),
        ("polygon", "neither polygons nor run lengths"),
        ({"counts": [600]}, "an object without size and counts"),
        ({"size": [30, 20], "counts": [600]}, "a mask of 20x30 in an image of 30x20"),
        ({"size": [20, 0], "counts": [600]}, "a mask of size"),
        ({"size": [20, 30], "counts": [100, 200]}, "run lengths of 300 pixels in a mask of 600"),
        ({"size": [20, 30], "counts": [700, -100]}, "no whole numbers from 0"),
        ({"size": [20, 30], "counts": "\u00e9"}, "the letter"),
        ({"size": [20, 30], "counts": "P"}, "end within a number"),
        ({"size": [20, 30], "counts": "P" * 1_000_000}, "a number of over 7 letters"),
        ({"size": [-20, -30], "counts": [600]}, "a mask of size"),
        ({"size": [2**31, 2**31], "counts": [2**62]}, "over the limit of 100000000 pixels"),
    ],
)
def test_what_pycocotools_can_not_decode_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        extent(value)
