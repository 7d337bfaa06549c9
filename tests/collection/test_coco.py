from __future__ import annotations

import json

import pytest

from nirgen.collection.coco import read_split
from nirgen.errors import NirgenError

IMAGE = {
    "id": 7,
    "file_name": "images/o/a.png",
    "width": 9,
    "height": 8,
    "key": "o/a.jpg",
    "origin": "o",
    "kind": "real",
}
BOX = {"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0, "key": "o/a.jpg#1"}


def write(folder, *boxes) -> None:
    (folder / "annotations").mkdir()
    values = {"images": [IMAGE], "annotations": [BOX | box for box in boxes]}
    (folder / "annotations/train.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("keys", "flags"),
    [
        ({}, ()),
        ({"iscrowd": 1, "attributes": {"crowd": True}}, ("region to ignore", "crowd")),
        ({"attributes": {"occluded": True, "truncated": False}}, ("occluded",)),
        ({"truncated": True, "difficult": True}, ("truncated", "difficult")),
        ({"clipped": True, "derived": "mask"}, ("clipped", "from mask")),
    ],
)
def test_what_else_is_known_of_a_box_becomes_flags(tmp_path, keys, flags) -> None:
    write(tmp_path, keys)
    (entry,) = read_split(tmp_path, "train", {1: "car"})
    assert entry.boxes[0].flags == flags


def test_boxes_come_in_the_order_of_their_keys(tmp_path) -> None:
    write(tmp_path, {"key": "o/a.jpg#9"}, {"key": "o/a.jpg#10"}, {"key": "o/a.jpg#+0a"})
    (entry,) = read_split(tmp_path, "train", {1: "car"})
    assert [box.key for box in entry.boxes] == ["o/a.jpg#+0a", "o/a.jpg#10", "o/a.jpg#9"]


def test_a_class_that_is_not_listed_is_named(tmp_path) -> None:
    write(tmp_path, {"category_id": 5})
    with pytest.raises(NirgenError, match=r"annotation 3 is of the class 5, which dataset.json doesn't have"):
        list(read_split(tmp_path, "train", {1: "car"}))


def test_an_empty_file_is_damaged(tmp_path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/train.json").touch()
    with pytest.raises(NirgenError, match="can't be read"):
        list(read_split(tmp_path, "train", {}))
