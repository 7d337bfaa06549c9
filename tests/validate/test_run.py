"""A dataset that was built with decisions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.curation import Decision, added_key, write_decisions
from nirgen.dataset.build import build
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.planner import make_plan
from nirgen.errors import NirgenError
from nirgen.validate import Options, validate_coco, validate_dataset
from nirgen.validate.checks import GROUPS

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_found_in_a_dataset_as_it_is_built(sound: Path) -> None:
    report = validate_dataset(sound)
    assert report.findings == ()
    assert report.exit_code == 0
    assert [(each.split, each.images, each.boxes, each.ignored) for each in report.extents] == [
        ("train", 6, 10, 4),
        ("val", 2, 2, 0),
        ("test", 2, 2, 0),
    ]
    assert report.checked == tuple(GROUPS)[:-1]
    assert report.skipped == {"train-ready": "not asked for (--train-ready)"}


def test_nothing_is_found_in_sound_annotations(coco, store, tmp_path: Path) -> None:
    report = validate_coco([store(coco)], [tmp_path / "images"])
    assert report.findings == ()
    assert report.checked == ("structure", "boxes", "files")
    assert report.skipped["splits"] == "there is one annotation file only"


def test_images_that_nobody_has_named_are_not_missing(coco, store, tmp_path: Path) -> None:
    report = validate_coco([store(coco)])
    assert report.findings == ()
    assert report.skipped["files"] == f"none of the images is in {tmp_path}; name their folder with --images"


def test_headers_alone_are_said_to_be_a_part(sound: Path) -> None:
    report = validate_dataset(sound, Options(decode=False))
    assert report.findings == ()
    assert report.partial["files"] == "images were not decoded (--no-decode)"
    assert report.partial["splits"] == "near copies were not sought (--no-decode)"


def test_errors_decide_the_exit_code_and_warnings_do_not(coco, store, tmp_path: Path) -> None:
    coco["annotations"][0]["bbox"] = [1, 2, 0.5, 20]
    coco["annotations"][0]["area"] = 10
    assert validate_coco([store(coco)], [tmp_path / "images"]).exit_code == 0
    coco["annotations"][0]["bbox"] = [1, 2, -0.5, 20]
    assert validate_coco([store(coco)], [tmp_path / "images"]).exit_code == 1


def test_a_report_is_json(sound: Path) -> None:
    values = json.loads(json.dumps(validate_dataset(sound).as_dict()))
    assert values["counts"] == {"error": 0, "warning": 0, "note": 0}
    assert values["splits"][0] == {"split": "train", "images": 6, "boxes": 10, "ignored": 4}


def test_progress_is_told_of_every_image(sound: Path) -> None:
    told: list[tuple[str, int, int]] = []
    validate_dataset(sound, progress=lambda *step: told.append(step))
    assert [step for step in told if step[0] == "images"] == [("images", done, 10) for done in range(1, 11)]


@pytest.mark.parametrize("folders", [2, 4])
def test_folders_are_for_all_files_or_for_each(coco, store, tmp_path: Path, folders: int) -> None:
    files = [store(coco, f"{number}.json") for number in range(3)]
    with pytest.raises(NirgenError, match=f"{folders} folders of images for 3 files; name one, or one for each"):
        validate_coco(files, [tmp_path] * folders)


def test_a_folder_of_images_that_is_not_there_is_one_line(coco, store, tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no folder; name the folder of the images with --images"):
        validate_coco([store(coco)], [tmp_path / "elsewhere"])


def test_a_folder_that_is_no_dataset_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no dataset of nirgen's"):
        validate_dataset(tmp_path)


def test_a_class_out_of_the_policy_is_found(edit, faults) -> None:
    def rename(values) -> None:
        values["categories"][1]["name"] = "dog"

    for split in ("train", "val", "test"):
        edit(f"annotations/{split}.json", rename)
    edit("dataset.json", rename)
    assert faults().keys() >= {"policy-classes"}
    assert "category-order" not in faults()


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
