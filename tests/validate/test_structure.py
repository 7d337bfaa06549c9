from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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
