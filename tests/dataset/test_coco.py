from __future__ import annotations

import json

from nirgen.dataset.coco import coco_file
from nirgen.dataset.store import Store
from nirgen.labels.file import Category


def test_each_image_and_each_annotation_has_a_line(tmp_path) -> None:
    store = Store(tmp_path)
    car = Category(1, "car", "motor vehicle")
    with coco_file(store, "a/b.json", categories=[car], licences=[], images=[{"id": 1}, {"id": 2}]) as put:
        put({"id": 5, "name": "Stra\u00dfe"})
    text = (tmp_path / "a/b.json").read_text(encoding="utf-8")
    assert text.splitlines()[1:] == [
        '"licenses": [],',
        '"categories": [{"id":1,"name":"car","supercategory":"motor vehicle"}],',
        '"images": [',
        '{"id":1},',
        '{"id":2}',
        "],",
        '"annotations": [',
        '{"id":5,"name":"Stra\u00dfe"}',
        "]}",
    ]


def test_a_file_without_annotations_is_whole(tmp_path) -> None:
    with coco_file(Store(tmp_path), "b.json", categories=[], licences=[], images=[]):
        pass
    values = json.loads((tmp_path / "b.json").read_bytes())
    assert (values["images"], values["annotations"]) == ([], [])
