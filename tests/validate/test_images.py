from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["../1.png", "/etc/hostname", "a\\1.png", "C:/1.png", "a/../../1.png", "a\0b.png"])
def test_a_name_that_leads_out_of_the_folder_is_found_and_not_opened(coco, found, monkeypatch, name: str) -> None:
    opened: list[str] = []
    monkeypatch.setattr("nirgen.validate.images.read_image", lambda path: opened.append(path.name) or b"")
    coco["images"][0]["file_name"] = name
    assert found(coco) == {"unsafe-name": 1, "damaged-image": 2}
    assert sorted(opened) == ["2.png", "3.png"]


def test_a_missing_image_is_found(coco, found, tmp_path: Path) -> None:
    (tmp_path / "images" / "2.png").unlink()
    assert found(coco) == {"missing-file": 1}


def test_a_truncated_image_is_found_by_decoding(coco, found, tmp_path: Path) -> None:
    from nirgen.validate import Options

    path = tmp_path / "images" / "2.png"
    path.write_bytes(path.read_bytes()[:-200])
    assert found(coco) == {"damaged-image": 1}
    assert found(coco, options=Options(decode=False)) == {}


def test_a_damaged_image_that_can_be_decoded_is_found_unless_it_is_kept(coco, found, tmp_path: Path, photo) -> None:
    from nirgen.validate import Options

    path = tmp_path / "images" / "lost.jpg"
    Image.fromarray(photo(320, 480)).resize((48, 32)).save(path, quality=100)
    coco["images"][1]["file_name"] = "lost.jpg"
    data = path.read_bytes()
    path.write_bytes(data[:1200] + data[1800:])
    assert found(coco) == {"damaged-image": 1}
    assert found(coco, options=Options(damaged="keep")) == {}


def test_an_image_of_another_size_is_found(coco, found) -> None:
    coco["images"][1] |= {"width": 96, "height": 64}
    assert found(coco) == {"size-differs": 1}


def test_an_image_that_is_turned_by_exif_is_found(coco, found, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("L", (32, 48)).save(tmp_path / "images" / "turned.jpg", exif=exif)
    coco["images"][1]["file_name"] = "turned.jpg"
    assert found(coco) == {"turned-image": 1}


def test_an_image_of_16_bits_is_found(coco, found, tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 48), 40_000, np.uint16)).save(tmp_path / "images" / "deep.png")
    coco["images"][1]["file_name"] = "deep.png"
    assert found(coco) == {"deep-image": 1}


def test_a_changed_image_is_found(dataset: Path, faults) -> None:
    shutil.copyfile(dataset / "images/bdd/seq0/0.png", dataset / "images/bdd/seq0/1.png")
    assert faults() == {"changed-image": 1}


def test_a_missing_image_of_a_dataset_is_found(dataset: Path, faults) -> None:
    (dataset / "images/ranus/val/2.png").unlink()
    assert faults() == {"missing-file": 1, "changed-image": 1}


def test_other_files_that_changed_are_found_and_told_from_those_that_may(dataset: Path, faults) -> None:
    with (dataset / "train.txt").open("a") as file:
        file.write("more\n")
    with (dataset / "README.md").open("a") as file:
        file.write("more\n")
    assert faults() == {"changed-file": 1, "edited-file": 1}


def test_an_image_that_nothing_names_is_found(dataset: Path, faults) -> None:
    shutil.copyfile(dataset / "images/bdd/seq0/0.png", dataset / "images/bdd/stray.png")
    assert faults() == {"stray-file": 1}


def test_real_and_generated_images_that_are_stored_unlike_are_found(dataset: Path, faults, edit) -> None:
    for number in (0, 1):
        name = f"images/ranus/train/{number}.png"
        with Image.open(dataset / name) as image:
            image.convert("RGB").save(dataset / name, "JPEG", quality=100)
        sha256 = hashlib.sha256((dataset / name).read_bytes()).hexdigest()
        edit("dataset.json", lambda info, name=name, sha256=sha256: info["files"].update({name: sha256}))
    assert faults().keys() >= {"mixed-codecs", "mixed-channels"}


def test_real_images_in_colour_are_a_warning(dataset, faults, edit) -> None:
    (name,) = (dataset / "images/ranus/val").glob("2.png")
    pixels = np.random.default_rng(2).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    name.unlink()
    Image.fromarray(pixels).save(name)
    sha256 = hashlib.sha256(name.read_bytes()).hexdigest()
    edit("dataset.json", lambda info: info["files"].update({"images/ranus/val/2.png": sha256}))
    assert faults()["coloured-image"] == 1
    assert "coloured-image" not in faults(decode=False)


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
    assert faults().keys() >= {"generated-judge"}
