"""A dataset that was built with decisions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.curation import Decision, added_key, write_decisions
from nirgen.dataset.build import build
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.planning import make_plan
from nirgen.validate import Options, validate_dataset

if TYPE_CHECKING:
    from pathlib import Path

BOX = (30.0, 20.0, 8.0, 8.0)
DECISIONS = (
    Decision(added_key("bdd/seq0/0.jpg", "bicycle", BOX, 48, 32), "add", "bicycle", BOX, 48, 32),
    Decision("bdd/seq0/0.jpg#pedestrian", "delete"),
    Decision("bdd/seq0/1.jpg", "reject"),
    Decision("bdd/seq1/2.jpg#truck", "move", None, (20.0, 10.0, 10.0, 10.0), 48, 32),
    Decision("bdd/seq1/2.jpg#pedestrian", "relabel", "car"),
)


@pytest.fixture
def curated(sound: Path, tmp_path: Path) -> Path:
    inputs = json.loads((sound / "run.json").read_text())["inputs"]
    write_decisions(tmp_path / "c.jsonl", DECISIONS)
    settings = {
        "generated": [{"origin": "bdd", **inputs["bdd"]}],
        "real": [{"origin": "ranus", **inputs["ranus"]}],
        "formats": ["yolo", "hf", "rfdetr"],
        "curation": tmp_path / "c.jsonl",
    }
    return build(make_plan(DatasetConfig.read(settings, where="test")), tmp_path / "D").out


def test_gaps_in_ids_and_added_boxes_are_sound(curated: Path) -> None:
    (curated / "scores.parquet").write_bytes(b"scores")
    report = validate_dataset(curated)
    assert report.findings == ()
    train = report.extents[0]
    assert (train.split, train.images, train.boxes) == ("train", 5, 8)
    images = json.loads((curated / "annotations/train.json").read_text())["images"]
    assert [image["id"] for image in images] == [1, 3, 4, 7, 8]


def test_altered_decisions_are_found(curated: Path) -> None:
    with (curated / "curation.jsonl").open("a") as file:
        file.write("\n")
    report = validate_dataset(curated, Options(decode=False))
    assert [(each.check, each.count) for each in report.findings] == [("changed-file", 1)]
