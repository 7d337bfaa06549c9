from __future__ import annotations

import numpy as np
import pytest

from nirgen.validate.boxes import same_boxes


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
    first, second, overlaps = same_boxes(boxes, groups)
    expected = []
    for one in range(80):
        for other in range(one + 1, 80):
            (x, y, w, h), (x2, y2, w2, h2) = boxes[one], boxes[other]
            width, height = min(x + w, x2 + w2) - max(x, x2), min(y + h, y2 + h2) - max(y, y2)
            shared = max(width, 0) * max(height, 0)
            if groups[one] == groups[other] and shared / (w * h + w2 * h2 - shared) > 0.9:
                expected.append((one, other))
    assert len(expected) > 10
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert (overlaps > 0.9).all()


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
