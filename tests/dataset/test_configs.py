"""What detectors are told: class names, their order, their number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from nirgen.dataset.build import build
from nirgen.dataset.configs import TRANSFORMERS


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

    from nirgen.dataset.rendering import render

    text = render("mmdet_co_dino.py.j2", replace(small_plan, categories=small_plan.categories[:1]), loaders={}).decode()
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
