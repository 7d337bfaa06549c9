from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nirgen.dataset.build import build
from nirgen.validate import validate_dataset

if TYPE_CHECKING:
    from pathlib import Path

LABELS = "labels/bdd/seq0/0.txt"
METADATA = "hf/train/metadata.jsonl"
RFDETR = "rfdetr/valid/_annotations.coco.json"
FORMS = ["yolo", "hf", "rfdetr"]


def test_yolo_labels_in_another_order_are_the_same(dataset: Path, faults) -> None:
    lines = (dataset / LABELS).read_text().splitlines()
    assert len(lines) == 2
    (dataset / LABELS).write_text("\n".join(lines[::-1]) + "\n")
    assert faults() == {"changed-file": 1}


def test_a_yolo_box_that_moved_is_found(dataset: Path, faults) -> None:
    (dataset / LABELS).write_text((dataset / LABELS).read_text().replace("0 0.1", "0 0.2"))
    assert faults() == {"yolo-differs": 1, "changed-file": 1}


def test_yolo_labels_that_are_gone_or_no_numbers_are_found(dataset: Path, faults) -> None:
    (dataset / LABELS).unlink()
    (dataset / "labels/bdd/seq0/1.txt").write_text("person 1 2 3 4\n")
    assert faults() == {"yolo-differs": 2, "changed-file": 2}


def test_hugging_face_rows_that_differ_are_found(dataset: Path, faults) -> None:
    rows = [json.loads(line) for line in (dataset / METADATA).read_text().splitlines()]
    rows[0]["objects"]["category"][0] = 2
    rows[1]["file_name"] = "elsewhere.png"
    (dataset / METADATA).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert faults() == {"hf-differs": 3, "changed-file": 1}


def test_hugging_face_rows_that_are_no_json_are_found(dataset: Path, faults) -> None:
    (dataset / METADATA).write_text("{\n")
    assert faults() == {"hf-differs": 1, "changed-file": 1}


def test_rfdetr_annotations_that_differ_are_found(edit, faults) -> None:
    edit(RFDETR, lambda values: values["annotations"][0].update(bbox=[2, 3, 10, 13]))
    assert faults() == {"rfdetr-differs": 1}


def test_rfdetr_annotations_that_are_no_json_are_found(dataset: Path, faults) -> None:
    (dataset / RFDETR).write_text("{")
    assert faults() == {"rfdetr-differs": 1, "changed-file": 1}


def test_classes_of_ids_with_gaps_have_their_position_in_all_forms(
    dataset_inputs, plan_dataset, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    for name in ("bdd.json", "ranus.json"):
        values = json.loads((tmp_path / name).read_text())
        ids = {1: 1, 2: 44, 3: 90}
        for category in values["categories"]:
            category["id"] = ids[category["id"]]
        for annotation in values["annotations"]:
            annotation["category_id"] = ids[annotation["category_id"]]
        (tmp_path / name).write_text(json.dumps(values))
    build(plan_dataset(inputs, policy="identity", channels=1, formats=FORMS), tmp_path / "D")
    assert (tmp_path / "D/labels/bdd/a.txt").read_text().startswith("2 ")
    report = validate_dataset(tmp_path / "D")
    assert [(finding.check, finding.count) for finding in report.findings] == [
        ("category-gaps", 3),
        ("empty-category", 1),
    ]
