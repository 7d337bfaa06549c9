from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path

TRIANGLE = [[10, 20], [30, 20], [30, 60]]


def polygons(*objects: dict[str, Any]) -> dict[str, Any]:
    return {"imgHeight": 1024, "imgWidth": 2048, "objects": list(objects)}


def test_boxes_are_derived_from_polygons(save_json, converted, tmp_path: Path) -> None:
    save_json(
        polygons(
            {"label": "car", "polygon": TRIANGLE, "id": 4, "date": "today", "user": None},
            {"label": "road", "polygon": TRIANGLE},
            {"label": "person", "polygon": TRIANGLE, "deleted": 1},
        ),
        "gtFine/val/bonn/bonn_1_gtFine_polygons.json",
    )
    file = converted(tmp_path / "gtFine", policy="default")
    assert file["images"] == [
        {
            "id": 1,
            "file_name": "val/bonn/bonn_1_leftImg8bit",
            "width": 2048,
            "height": 1024,
            "sequence": "val/bonn",
            "split": "val",
        }
    ]
    assert file["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 3,
            "bbox": [10, 20, 20, 40],
            "area": 800,
            "iscrowd": 0,
            "segmentation": [[10, 20, 30, 20, 30, 60]],
            "source_key": "4",
            "source_category": "car",
            "derived": "polygon",
            "date": "today",
        }
    ]


def test_a_group_is_a_crowd(save_json, converted) -> None:
    path = save_json(polygons({"label": "cargroup", "polygon": TRIANGLE}, {"label": "polegroup", "polygon": TRIANGLE}))
    file = converted(path, policy="default")
    assert [(one["source_category"], one["iscrowd"]) for one in file["annotations"]] == [("car", 1)]


def test_images_of_idd_aw_are_found_in_the_folder_of_their_sequence(save_json, converted, save, tmp_path: Path) -> None:
    for sequence in ("1", "2"):
        save(tmp_path / "rgb" / sequence / "7_rgb.png", 30, 40)
        save_json(polygons({"label": "autorickshaw", "polygon": TRIANGLE}), f"gtSeg/{sequence}/7_mask.json")
    file = converted(tmp_path / "gtSeg", images=tmp_path / "rgb", policy="default")
    assert [image["file_name"] for image in file["images"]] == ["1/7_rgb.png", "2/7_rgb.png"]
    assert [one["category_id"] for one in file["annotations"]] == [3, 3]


def test_an_outline_of_two_points_has_no_box(save_json, counts) -> None:
    path = save_json(polygons({"label": "car", "polygon": TRIANGLE[:2]}))
    assert counts(path)["lost"] == {"an outline of under 3 points": 1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (polygons({"label": "car"}), "missing required field `polygon`"),
        (polygons({"label": "car", "polygon": [[1]]}), "of length 2"),
        ({"imgHeight": "x", "imgWidth": 4, "objects": []}, "Expected `int`"),
    ],
)
def test_a_broken_file_is_named(save_json, converted, values, message: str) -> None:
    path = save_json(values)
    with pytest.raises(NirgenError) as error:
        converted(path)
    assert str(error.value).startswith(f"{path}: no polygons in the manner of Cityscapes")
    assert message in str(error.value)
