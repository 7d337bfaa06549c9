from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        {"a": 1},
        [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 0.5}],
        {"frames": [], "config": None},
        {"images": [], "nothing": 1},
        {"frames": {"a": 1}},
    ],
)
def test_a_file_of_no_known_format_is_refused_with_those_known(save_json, converted, values) -> None:
    path = save_json(values)
    with pytest.raises(NirgenError) as error:
        converted(path)
    assert str(error.value).startswith(f"{path}: no labels that are known; known are BDD100K's JSON")
    assert all(name in str(error.value) for name in ("COCO", "Pascal VOC", "Cityscapes", "RANUS"))


@pytest.mark.parametrize(
    ("text", "message"), [("{'a'", "damaged, or no JSON"), ("3", "neither a JSON object nor a list")]
)
def test_a_file_that_is_no_json_is_named(converted, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(NirgenError, match=message):
        converted(path)


def test_a_folder_is_of_one_kind(save_json, converted, coco, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NirgenError, match="no labels that are known"):
        converted(empty)
    save_json(coco(("car", [0, 0, 1, 1])), "folder/a.json")
    with pytest.raises(NirgenError, match="a folder of COCO files; name the files, each with its split: train=FILE"):
        converted(tmp_path / "folder")
    (tmp_path / "folder" / "a.xml").touch()
    with pytest.raises(NirgenError, match="holds XML and JSON; name the folder of one of them"):
        converted(tmp_path / "folder")


def test_hidden_files_are_left_aside(save_json, converted, tmp_path: Path) -> None:
    save_json([{"name": "a.jpg", "labels": []}], "folder/a.json")
    save_json({}, "folder/.hidden/b.json")
    (tmp_path / "folder" / "._a.json").touch()
    assert len(converted(tmp_path / "folder")["images"]) == 1
