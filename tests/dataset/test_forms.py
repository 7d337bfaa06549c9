"""The YOLO, Hugging Face and rfdetr forms of a dataset hold the boxes of its COCO files, read here without nirgen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from nirgen.dataset.build import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SPLITS = ("train", "val", "test")
RFDETR = {"train": "train", "val": "valid", "test": "test"}
Boxes = dict[str, list[tuple[float, ...]]]
"""By image name below `images/`: class's position, x, y, width and height in pixels of each box, sorted."""


def coco(path: Path, prefix: str = "") -> Boxes:
    """The boxes of a COCO file, regions to ignore left out."""
    values = json.loads(path.read_bytes())
    position = {category["id"]: number for number, category in enumerate(values["categories"])}
    names = {image["id"]: image["file_name"].removeprefix(prefix) for image in values["images"]}
    boxes: Boxes = {name: [] for name in names.values()}
    for annotation in values["annotations"]:
        if not annotation["iscrowd"]:
            boxes[names[annotation["image_id"]]].append((position[annotation["category_id"]], *annotation["bbox"]))
    return ordered(boxes)


def yolo(folder: Path, split: str) -> Boxes:
    sizes = {
        image["file_name"]: (image["width"], image["height"])
        for image in json.loads((folder / f"annotations/{split}.json").read_bytes())["images"]
    }
    boxes: Boxes = {}
    for line in (folder / f"{split}.txt").read_text().splitlines():
        name = line.removeprefix("./")
        width, height = sizes[name]
        label = folder / name.replace("images/", "labels/", 1)
        rows = boxes[name.removeprefix("images/")] = []
        for text in label.with_suffix(".txt").read_text().splitlines():
            number, x, y, w, h = map(float, text.split())
            rows.append((int(number), (x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    return ordered(boxes)


def hugging_face(folder: Path, split: str) -> Boxes:
    boxes: Boxes = {}
    for row in pq.read_table(folder / f"hf/{split}/metadata.parquet").to_pylist():
        columns = (row["objects"][key] for key in ("category", "bbox", "iscrowd"))
        boxes[row["file_name"]] = [(number, *bbox) for number, bbox, crowd in zip(*columns, strict=True) if not crowd]
    return ordered(boxes)


def rfdetr(folder: Path, split: str) -> Boxes:
    return coco(folder / "rfdetr" / RFDETR[split] / "_annotations.coco.json")


def ordered(boxes: Mapping[str, Any]) -> Boxes:
    """Sort boxes by whole pixels, as YOLO rounds them."""
    return {name: sorted(rows, key=lambda row: [round(value) for value in row]) for name, rows in boxes.items()}


FORMS: dict[str, Callable[[Path, str], Boxes]] = {"yolo": yolo, "hf": hugging_face, "rfdetr": rfdetr}


def assert_equal(one: Boxes, other: Boxes) -> None:
    assert one.keys() == other.keys()
    for name, rows in one.items():
        assert [value for row in other[name] for value in row] == pytest.approx(
            [value for row in rows for value in row], abs=1e-3
        ), name


@pytest.mark.parametrize("form", FORMS)
def test_a_form_holds_the_boxes_of_the_coco_files(make_small_plan, tmp_path: Path, form: str) -> None:
    build(make_small_plan(tmp_path / "in", formats=[form]), tmp_path / "d")
    counts = []
    for split in SPLITS:
        expected = coco(tmp_path / f"d/annotations/{split}.json", "images/")
        counts.append(sum(map(len, expected.values())))
        assert_equal(expected, FORMS[form](tmp_path / "d", split))
    assert counts == [4, 3, 0]


@pytest.mark.parametrize("form", FORMS)
def test_classes_of_ids_with_gaps_have_their_position_in_all_forms(
    dataset_inputs, plan_dataset, tmp_path: Path, form: str
) -> None:
    inputs = dataset_inputs()
    ids = {1: 1, 2: 44, 3: 90}
    for name in ("bdd.json", "ranus.json"):
        values = json.loads((tmp_path / name).read_text())
        for category in values["categories"]:
            category["id"] = ids[category["id"]]
        for annotation in values["annotations"]:
            annotation["category_id"] = ids[annotation["category_id"]]
        (tmp_path / name).write_text(json.dumps(values))
    build(plan_dataset(inputs, policy="identity", channels=1, formats=[form]), tmp_path / "D")
    expected = coco(tmp_path / "D/annotations/train.json", "images/")
    assert {row[0] for rows in expected.values() for row in rows} == {1, 2}
    assert_equal(expected, FORMS[form](tmp_path / "D", "train"))


def test_a_box_that_moved_is_seen(make_small_plan, tmp_path: Path) -> None:
    build(make_small_plan(tmp_path / "in", formats=["yolo"]), tmp_path / "d")
    path = tmp_path / "d/labels/ranus/02/b.txt"
    path.write_text(path.read_text().replace("0 0.091667", "0 0.191667"))
    with pytest.raises(AssertionError, match=r"b\.png"):
        assert_equal(coco(tmp_path / "d/annotations/val.json", "images/"), yolo(tmp_path / "d", "val"))
