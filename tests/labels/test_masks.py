from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask

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
        (polygons({"label": "car"}), "polygon is missing"),
        (polygons({"label": "car", "polygon": [[1]]}), "of length 2"),
        ({"imgHeight": "x", "imgWidth": 4, "objects": []}, "imgHeight is a text, not a whole number"),
    ],
)
def test_a_broken_file_is_named(save_json, converted, values, message: str) -> None:
    path = save_json(values)
    with pytest.raises(NirgenError) as error:
        converted(path)
    assert str(error.value).startswith(f"{path}: no Cityscapes-like polygons")
    assert message in str(error.value)


ROAD, VEHICLE, NEARLY_VEHICLE, HUMAN = (128, 64, 128), (0, 0, 128), (3, 4, 125), (64, 0, 128)


def save_mask(path: Path) -> np.ndarray:
    """A car in two shades, two people who touch at a corner only, a fray of vehicle; on a road."""
    pixels = np.full((40, 60, 3), ROAD, np.uint8)
    pixels[5:15, 10:30] = VEHICLE
    pixels[10:15, 20:30] = NEARLY_VEHICLE
    pixels[20:30, 40:45] = HUMAN
    pixels[30:36, 45:50] = HUMAN
    pixels[0:4, 0:4] = VEHICLE
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_boxes_are_derived_from_what_hangs_together(converted, tmp_path: Path) -> None:
    pixels = save_mask(tmp_path / "GT" / "01" / "0357_gt.png")
    file = converted(tmp_path / "GT", policy="default")
    assert file["images"] == [{"id": 1, "file_name": "01/0357_nir.png", "width": 60, "height": 40, "sequence": "01"}]
    car, people = file["annotations"]
    assert (car["category_id"], car["bbox"], car["derived"], car["area"]) == (3, [10, 5, 20, 10], "mask", 200)
    assert (people["category_id"], people["bbox"], people["source_category"]) == (1, [40, 20, 10, 16], "human")
    drawn = mask.encode(np.asfortranarray((pixels == HUMAN).all(axis=2), dtype=np.uint8))
    assert people["segmentation"] == {"size": [40, 60], "counts": drawn["counts"].decode()}
    assert file["info"]["nirgen"]["counts"]["lost"] == {"under 20 pixels": 1}
    assert file["info"]["nirgen"]["counts"]["examples"]["under 20 pixels"] == ["01/0357_nir.png#@0 (vehicle)"]


def test_masks_name_the_images_of_the_folder_that_is_named(converted, save, tmp_path: Path) -> None:
    for sequence in ("01", "02"):
        save_mask(tmp_path / "GT" / sequence / "0357_gt.png")
        save(tmp_path / "RGB" / sequence / "0357_rgb.png", 40, 60)
    images = converted(tmp_path / "GT", images=tmp_path / "RGB")["images"]
    assert [image["file_name"] for image in images] == ["01/0357_rgb.png", "02/0357_rgb.png"]
