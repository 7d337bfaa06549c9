from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pycocotools import mask

if TYPE_CHECKING:
    from pathlib import Path

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
