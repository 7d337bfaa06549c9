"""What detectors are told: class names, their order, their number."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
import yaml

from nirgen.dataset.annotations import label_images
from nirgen.dataset.build import build
from nirgen.dataset.store import Store
from nirgen.dataset.writers import TRANSFORMERS, check_names, coco_file, label_name, yolo_files
from nirgen.errors import NirgenError
from nirgen.labels.file import Category

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


def write(plan, folder):
    folder.mkdir()
    with yolo_files(Store(folder), plan) as take:
        for labelled in label_images(plan):
            take(labelled)
    return folder


def test_a_line_is_class_and_middle_and_size_as_shares(small_plan, tmp_path) -> None:
    folder = write(small_plan, tmp_path / "d")
    assert (folder / "labels/ranus/02/b.txt").read_text() == (
        "0 0.091667 0.256250 0.183333 0.512500\n"  # [0, 0, 5.5, 10.25] of 30x20
        "1 0.400000 0.200000 0.133333 0.200000\n"
        "2 0.533333 0.350000 0.266667 0.300000\n"
    )


def test_classes_are_numbered_by_position_whatever_their_ids(small_plan, tmp_path) -> None:
    person, bicycle, car = small_plan.categories
    plan = replace(small_plan, categories=(person, bicycle, replace(car, id=90)), images=small_plan.images[:1])
    (image,) = plan.images
    raws = (
        msgspec.Raw(raw.replace(b'"category_id":3', b'"category_id":90'))
        for raw in map(bytes, image.labels.annotations)
    )
    plan = replace(plan, images=(replace(image, labels=replace(image.labels, annotations=tuple(raws))),))
    folder = write(plan, tmp_path / "d")
    assert [line[0] for line in (folder / "labels/bdd/a.txt").read_text().splitlines()] == ["0", "2"]
    assert yaml.safe_load((folder / "dataset.yaml").read_text())["names"] == {0: "person", 1: "bicycle", 2: "car"}


def test_regions_to_ignore_have_no_line_and_empty_images_an_empty_file(small_plan, tmp_path) -> None:
    folder = write(small_plan, tmp_path / "d")
    files = {
        path.relative_to(folder / "labels").as_posix(): path.read_text() for path in folder.rglob("labels/**/*.txt")
    }
    assert {name: text.count("\n") for name, text in files.items()} == {
        "bdd/a.txt": 2,
        "bdd/b.txt": 0,
        "bdd/n/c.txt": 0,
        "bdd/n/d.txt": 1,
        "ranus/01/a.txt": 1,
        "ranus/02/b.txt": 3,
        "ranus/03/c.txt": 0,
    }


def test_lists_and_settings_are_relative_to_their_own_place(small_plan, tmp_path) -> None:
    folder = write(small_plan, tmp_path / "d")
    assert (folder / "val.txt").read_text() == "./images/ranus/02/b.png\n"
    assert (folder / "train.txt").read_text().splitlines()[0] == "./images/bdd/a.png"
    assert yaml.safe_load((folder / "dataset.yaml").read_text()) == {
        "train": "train.txt",
        "val": "val.txt",
        "test": "test.txt",
        "nc": 3,
        "names": {0: "person", 1: "bicycle", 2: "car"},
    }


def test_labels_lie_where_readers_look_for_them() -> None:
    # readers replace the last folder `images` by `labels`
    assert label_name("images/bdd/images/100k/a.b.png") == "images/bdd/labels/100k/a.b.txt"
    assert label_name("images/bdd/my images/a.png") == "labels/bdd/my images/a.txt"


def test_images_that_would_share_labels_are_refused(small_plan, with_image) -> None:
    check_names(small_plan)
    with pytest.raises(NirgenError, match=r"images/bdd/a.png and images/bdd/a.jpg would share one YOLO label file"):
        check_names(with_image(small_plan, 1, target="images/bdd/a.jpg"))


def test_rows_name_images_beside_them_and_classes_begin_with_0(make_small_plan, tmp_path) -> None:
    build(make_small_plan(tmp_path / "in", formats=["hf"]), tmp_path / "d")
    assert pq.read_table(tmp_path / "d/hf/val/metadata.parquet").to_pylist() == [
        {
            "file_name": "ranus/02/b.png",
            "image_id": 6,
            "key": "ranus/02/b.png",
            "width": 30,
            "height": 20,
            "objects": {
                "id": [6, 7, 8],
                "bbox": [[0, 0, 5.5, 10.25], [10, 2, 4, 4], [12, 4, 8, 6]],
                "category": [0, 1, 2],
                "area": [56.375, 12, 48],
                "iscrowd": [0, 0, 0],
            },
        }
    ]
    assert (tmp_path / "d/hf/val/ranus/02/b.png").samefile(tmp_path / "d/images/ranus/02/b.png")


def test_rows_of_all_splits_have_one_type_whatever_they_hold(make_small_plan, with_image, tmp_path) -> None:
    plan = make_small_plan(tmp_path / "in", formats=["hf"])
    labels = plan.images[5].labels
    build(with_image(plan, 5, labels=replace(labels, annotations=())), tmp_path / "d")
    tables = {split: pq.read_table(tmp_path / f"d/hf/{split}/metadata.parquet") for split in ("train", "val", "test")}
    assert tables["val"].to_pylist()[0]["objects"]["bbox"] == []
    assert len({str(table.schema) for table in tables.values()}) == 1
    assert "bbox: list<element: list<element: double>>" in str(tables["val"].schema)


def test_the_card_tells_where_the_splits_are(make_small_plan, tmp_path) -> None:
    build(make_small_plan(tmp_path / "in", formats=["hf"]), tmp_path / "d")
    card = (tmp_path / "d/README.md").read_text()
    assert "  - split: validation\n    path: hf/val/**\n" in card


def run_mmdet(text: str) -> dict[str, Any]:
    """Run an mmdetection file as mmengine does, on a base that has what Co-DINO's has."""
    head = SimpleNamespace
    model = head(
        query_head=head(num_classes=80),
        roi_head=[head(bbox_head=head(num_classes=80))],
        bbox_head=[head(num_classes=80)],
    )
    values: dict[str, Any] = {"_base_": SimpleNamespace(model=model)}
    lines = [line for line in text.splitlines() if not line.startswith("_base_ =")]
    exec("\n".join(lines), values)
    return values | {"model": model}


@pytest.fixture
def configs(make_small_plan, tmp_path):
    build(make_small_plan(tmp_path / "in", formats=["rfdetr"]), tmp_path / "d")
    return tmp_path / "d/configs"


def test_co_dino_knows_the_classes_in_each_of_its_heads_and_data_sets(configs) -> None:
    values = run_mmdet((configs / "mmdet_co_dino.py").read_text())
    model = values["model"]
    heads = (model.query_head, model.roi_head[0].bbox_head, model.bbox_head[0])
    assert [head.num_classes for head in heads] == [3, 3, 3]
    for split in ("train", "val", "test"):
        data = values[f"{split}_dataloader"]["dataset"]
        assert data["metainfo"] == {"classes": ("person", "bicycle", "car")}
        assert (data["ann_file"], data["data_prefix"]) == (f"annotations/{split}.json", {"img": ""})
    assert values["val_evaluator"]["ann_file"].endswith("/../annotations/val.json")


def test_co_dino_trains_where_nothing_judges_it(small_plan, with_image, tmp_path) -> None:
    plan = with_image(with_image(small_plan, 5, split="train"), 6, split="train")
    build(plan, tmp_path / "d")
    values = run_mmdet((tmp_path / "d/configs/mmdet_co_dino.py").read_text())
    assert [values[name] for name in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader")] == [None] * 4


def test_co_dino_is_tested_on_val_where_there_is_no_test(small_plan, with_image, tmp_path) -> None:
    build(with_image(small_plan, 6, split="train"), tmp_path / "d")
    values = run_mmdet((tmp_path / "d/configs/mmdet_co_dino.py").read_text())
    assert values["test_dataloader"]["dataset"]["ann_file"] == "annotations/val.json"


def test_a_single_class_is_still_a_tuple(small_plan, tmp_path) -> None:
    from dataclasses import replace

    from nirgen.dataset.writers import render_text

    text = render_text(
        "mmdet_co_dino.py.j2", replace(small_plan, categories=small_plan.categories[:1]), loaders={}
    ).decode()
    assert run_mmdet(text)["metainfo"] == {"classes": ("person",)}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_classes_begin_with_0(configs, name: str) -> None:
    values = yaml.safe_load((configs / name).read_text())
    assert values["id2label"] == {0: "person", 1: "bicycle", 2: "car"}
    assert values["label2id"] == {"person": 0, "bicycle": 1, "car": 2}
    assert values["category_to_label"] == {1: 0, 2: 1, 3: 2}
    assert values["num_labels"] == 3
    assert values["annotations"] == {split: f"annotations/{split}.json" for split in ("train", "val", "test")}


def test_rfdetr_is_told_what_its_folder_holds(configs) -> None:
    values = yaml.safe_load((configs / "rfdetr.yaml").read_text())
    assert values["class_names"] == ["person", "bicycle", "car"]
    assert values["train"]["run_test"] is True


def test_every_file_begins_with_how_to_use_it(configs) -> None:
    files = sorted(configs.iterdir())
    assert [path.name for path in files] == [
        "mmdet_co_dino.py",
        "rfdetr.yaml",
        "transformers_dfine.yaml",
        "transformers_rtdetr_v2.yaml",
    ]
    assert all(path.read_text().startswith("# ") for path in files)


def test_there_is_no_rfdetr_file_without_its_folder(small_plan, tmp_path) -> None:
    build(small_plan, tmp_path / "d")
    assert not (tmp_path / "d/configs/rfdetr.yaml").exists()
