"""A dataset of photographs and labels as published: BDD100K to be translated, COCO in the place of real NIR."""

from __future__ import annotations

import importlib.util
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from nirgen.dataset.build import build
from nirgen.translate.run import translate_folder
from nirgen.validate import Options, validate_dataset
from nirgen.validate.checks import GROUPS

if TYPE_CHECKING:
    from pathlib import Path


FRAMES, PHOTOGRAPHS = 4, 12


@pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers, of nirgen[detect], is not installed"
)
def test_a_dataset_of_published_labels_has_no_errors_and_loads(
    shared_data: Path, red, plan_dataset, tmp_path: Path
) -> None:
    (tmp_path / "rgb").mkdir()
    (tmp_path / "coco").mkdir()
    bdd, coco = shared_data / "bdd100k", shared_data / "coco"
    for path in sorted((bdd / "images").glob("00091078-*.jpg"))[:FRAMES]:
        with Image.open(path) as image:
            image.resize((320, 180)).save(tmp_path / "rgb" / path.name)
    for path in sorted((coco / "train2017").glob("*.jpg"))[:PHOTOGRAPHS]:
        shutil.copy(path, tmp_path / "coco")
    translate_folder(tmp_path / "rgb", tmp_path / "nir", model=red)
    inputs = {
        "generated": [
            {"origin": "bdd", "folder": tmp_path / "nir", "labels": bdd / "labels/00091078-875c1f73.json"},
        ],
        "real": [
            {"origin": "coco", "folder": tmp_path / "coco", "labels": coco / "instances_train2017.json"},
        ],
    }
    settings = {"splits": {"train": 0.5, "val": 0.25, "test": 0.25}, "split_by": "frame", "codec": "png", "channels": 1}
    settings["allow_colour"] = True  # photographs stand for NIR images
    plan = plan_dataset(inputs, **settings, formats=["yolo", "hf", "rfdetr"], licence="research only")
    build(plan, tmp_path / "D")
    report = validate_dataset(tmp_path / "D", Options(train_ready=True))
    assert [finding for finding in report.findings if finding.about.severity == "error"] == []
    assert report.checked == tuple(GROUPS)
    assert sum(each.images for each in report.extents) == FRAMES + PHOTOGRAPHS
    assert min(each.boxes for each in report.extents) > 0
    assert json.loads((tmp_path / "D/dataset.json").read_bytes())["dropped_after_scaling"]["boxes"] == 0
