from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Two images with a box each, in which nothing is wrong."""
    boxes = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": [2, 3, 10, 12], "area": 120, "iscrowd": 0}
        for number in (1, 2)
    ]
    images = [{"id": number, "file_name": f"{number}.png", "width": 30, "height": 20} for number in (1, 2)]
    for number in (1, 2):
        Image.fromarray(np.full((20, 30), 90 * number, np.uint8)).save(tmp_path / f"{number}.png")
    values = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
    return _write(tmp_path / "train.json", values)


def _write(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


def test_nothing_found_is_said_with_what_was_checked(nirgen, annotations: Path) -> None:
    code, out, error = nirgen("validate", annotations)
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "train: 2 images, 2 boxes"
    assert lines[2] == (
        "checked: ids, references, keys and classes; boxes, areas and segmentations; names and image files"
    )
    assert lines[3] == "not checked: images, copies and sequences across splits: there is one annotation file only"
    assert lines[-1] == f"nothing found in {annotations}"


def test_an_error_is_shown_with_its_place_and_its_remedy(nirgen, annotations: Path) -> None:
    values = json.loads(annotations.read_text())
    values["annotations"][1]["bbox"] = [2, 3, -10, 12]
    code, out, _ = nirgen("validate", _write(annotations, values))
    assert code == 1
    assert "error  degenerate-box      1  boxes of no or negative width or height\n" in out
    assert "train.json: annotation 2 of '2.png': [2, 3, -10, 12]\n" in out
    assert "remedy: remove them; 'nirgen labels' does and counts them\n" in out
    assert out.splitlines()[-1] == f"1 error, 0 warnings, 0 notes in {annotations}"


def test_warnings_leave_the_exit_code(nirgen, annotations: Path) -> None:
    values = json.loads(annotations.read_text())
    values["annotations"][1]["area"] = 50
    code, out, _ = nirgen("validate", _write(annotations, values))
    assert code == 0
    assert "warning  area-mismatch" in out


def test_loaders_are_counted_in_a_table(nirgen, annotations: Path) -> None:
    pytest.importorskip("transformers")
    code, out, _ = nirgen("validate", annotations, "--train-ready")
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.startswith(("split", "train "))]
    assert rows == [
        ["split", "what", "expected", "pycocotools", "torchvision", "transformers"],
        ["train", "images", "2", "2", "2", "2"],
        ["train", "1", "car", "2", "2", "2", "2"],
        ["train", "regions", "to", "ignore", "0", "0", "0", "0"],
    ]


def test_findings_are_json_on_request(nirgen, annotations: Path) -> None:
    values = json.loads(annotations.read_text())
    values["annotations"][1]["id"] = 0
    code, out, _ = nirgen("validate", _write(annotations, values), "--json")
    report = json.loads(out)
    assert (code, report["exit_code"]) == (1, 1)
    assert [finding["check"] for finding in report["findings"]] == ["zero-id"]


def test_broken_json_is_one_line(nirgen, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": [')
    code, out, error = nirgen("validate", tmp_path / "a.json")
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert error.startswith(f"error: {tmp_path}/a.json: no JSON (")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((".", "a.json"), "name one dataset, or COCO files, not both"),
        ((".", "--images", "."), "--images goes with COCO files"),
        (("a.json", "--model", "compact"), "--model goes with a dataset"),
    ],
)
def test_arguments_that_do_not_go_together_are_wrong_usage(nirgen, words: tuple[str, ...], message: str) -> None:
    code, _, error = nirgen("validate", *words)
    assert code == 2
    assert message in error


def test_a_slice_of_coco_itself_has_no_errors_and_no_warnings(nirgen, shared_data: Path) -> None:
    coco = shared_data / "coco"
    code, out, _ = nirgen("validate", coco / "instances_train2017.json", "--images", coco / "train2017", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["splits"] == [{"split": "train", "images": 80, "boxes": 699, "ignored": 6}]
    assert [finding["check"] for finding in report["findings"]] == ["wide-ids", "category-gaps"]
