from __future__ import annotations

import json

import pytest

from nirgen.dataset.build import build

PLACES = {
    "train": ["bdd/a.png", "bdd/b.png", "bdd/n/c.png", "bdd/n/d.png", "ranus/01/a.png"],
    "val": ["ranus/02/b.png"],
    "test": ["ranus/03/c.jpg"],
}


@pytest.mark.parametrize("split", PLACES)
def test_names_in_a_split_are_relative_to_the_dataset(small_plan, tmp_path, split: str) -> None:
    build(small_plan, tmp_path / "d")
    values = json.loads((tmp_path / "d/annotations" / f"{split}.json").read_bytes())
    names = [image["file_name"] for image in values["images"]]
    assert names == [f"images/{name}" for name in PLACES[split]]
    assert all((tmp_path / "d" / name).is_file() for name in names)
    assert [category["name"] for category in values["categories"]] == ["person", "bicycle", "car"]
    assert values["licenses"] == [{"id": 3, "name": "CC BY 4.0"}]


def test_a_split_without_images_has_no_file(small_plan, tmp_path, with_image) -> None:
    plan = with_image(with_image(small_plan, 5, split="train"), 6, split="train")
    build(plan, tmp_path / "d")
    assert [path.name for path in (tmp_path / "d/annotations").iterdir()] == ["train.json"]


def test_rfdetr_finds_images_below_its_files(make_small_plan, tmp_path) -> None:
    build(make_small_plan(tmp_path / "in", formats=["rfdetr"]), tmp_path / "d")
    for split, folder in {"train": "train", "val": "valid", "test": "test"}.items():
        place = tmp_path / "d/rfdetr" / folder
        values = json.loads((place / "_annotations.coco.json").read_bytes())
        assert [image["file_name"] for image in values["images"]] == PLACES[split]
        assert all((place / name).is_file() for name in PLACES[split])
        ours = json.loads((tmp_path / "d/annotations" / f"{split}.json").read_bytes())
        assert values["annotations"] == ours["annotations"]
