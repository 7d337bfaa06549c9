from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def apart(coco, *names: str):
    """The same annotations on other files."""
    other = json.loads(json.dumps(coco))
    for image, name in zip(other["images"], names, strict=True):
        image["file_name"] = name
    return other


def test_a_file_in_two_splits_is_found(coco, found, tmp_path: Path) -> None:
    for number in (4, 5):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 48), dtype=np.uint8)).save(
            tmp_path / "images" / f"{number}.png"
        )
    assert found(coco, apart(coco, "4.png", "5.png", "3.png")) == {"split-file": 1}


def test_a_copy_in_another_split_is_found(coco, found, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        shutil.copyfile(tmp_path / "images" / f"{number}.png", tmp_path / "images" / f"copy{number}.png")
    assert found(coco, apart(coco, "copy1.png", "copy2.png", "copy3.png")) == {"split-copy": 3}


def test_a_near_copy_in_another_split_is_found_where_images_are_decoded(coco, found, tmp_path: Path) -> None:
    from nirgen.validate import Options

    for number in (1, 2, 3):
        with Image.open(tmp_path / "images" / f"{number}.png") as image:
            image.point(lambda level: min(level + 2, 255)).save(tmp_path / "images" / f"near{number}.png")
    other = apart(coco, "near1.png", "near2.png", "near3.png")
    assert found(coco, other) == {"split-near-copy": 3}
    assert found(coco, other, options=Options(decode=False)) == {}


def test_a_sequence_in_two_splits_is_found(coco, found, tmp_path: Path) -> None:
    for number in (4, 5, 6):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 48), dtype=np.uint8)).save(
            tmp_path / "images" / f"{number}.png"
        )
    other = apart(coco, "4.png", "5.png", "6.png")
    for values, names in ((coco, "aab"), (other, "cad")):
        for image, sequence in zip(values["images"], names, strict=True):
            image["sequence"] = sequence
    assert found(coco, other) == {"split-sequence": 1}


def test_sequences_of_two_origins_are_two(edit, faults) -> None:
    edit("annotations/val.json", lambda values: values["images"][0].update(sequence="seq0"))
    assert "split-sequence" not in faults()


def test_validation_and_test_may_share_a_sequence_and_training_not(edit, faults) -> None:
    edit("annotations/val.json", lambda values: values["images"][0].update(sequence="drive 5"))
    assert "split-sequence" not in faults()
    edit("annotations/val.json", lambda values: values["images"][0].update(sequence="drive 1"))
    assert faults()["split-sequence"] == 1


def test_an_accepted_leak_is_a_warning_and_no_error(edit, faults) -> None:
    edit("annotations/val.json", lambda values: values["images"][0].update(sequence="drive 1"))
    leak = {"kind": "sequence", "key": "ranus/val/2.png", "split": "val", "other": "'ranus/train/0.png'"}
    edit("dataset.json", lambda info: info.update(leaks=[leak]))
    assert faults() == {"agreed-leak": 1}


def test_a_generated_image_that_judges_is_found(edit, faults) -> None:
    edit("annotations/test.json", lambda values: values["images"][0].update(kind="generated"))
    assert faults().keys() >= {"generated-judge", "wrong-provenance"}
