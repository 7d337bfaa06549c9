from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from nirgen.validate import Options, validate_coco, validate_dataset

if TYPE_CHECKING:
    from pathlib import Path


needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers, of nirgen[detect], is not installed"
)
READY = Options(train_ready=True)


@needs_transformers
def test_every_loader_gives_every_image_and_box_in_the_order_of_the_classes(sound: Path) -> None:
    report = validate_dataset(sound, READY)
    assert report.findings == ()
    train = report.loaded[0].as_dict()
    counts = {"images": 6, "1 person": 4, "2 bicycle": 1, "3 car": 5, "regions to ignore": 4}
    assert train == {
        "split": "train",
        "expected": counts,
        "pycocotools": counts,
        "torchvision": counts,
        "transformers": counts | {"regions to ignore": 0},
    }
    assert [list(each.expected) for each in report.loaded] == [list(counts)] * 3


@needs_transformers
def test_a_box_that_transformers_drops_is_found(coco, store, tmp_path: Path) -> None:
    coco["annotations"][1] |= {"bbox": [48, 10, 5, 12], "area": 60}
    report = validate_coco([store(coco)], [tmp_path / "images"], READY)
    (finding,) = [finding for finding in report.findings if finding.check == "loader-differs"]
    assert finding.examples == ("train: 3 car: 2, transformers gives 1",)


@needs_transformers
def test_grey_images_and_images_without_boxes_load(coco, store, tmp_path: Path) -> None:
    coco["annotations"].pop()
    report = validate_coco([store(coco)], [tmp_path / "images"], READY)
    assert [finding.check for finding in report.findings] == ["empty-images"]
    assert report.loaded[0].got["transformers"]["images"] == 3


def test_an_image_that_does_not_load_is_found(coco, store, tmp_path: Path) -> None:
    path = store(coco)
    (tmp_path / "images/2.png").write_bytes(b"no image")
    report = validate_coco([path], [tmp_path / "images"], READY)
    by_check = {finding.check: finding for finding in report.findings}
    assert by_check["loader-fails"].examples[0].startswith("torchvision: 2.png: UnidentifiedImageError")
    assert report.loaded[0].got["torchvision"]["images"] == 2
    assert "train: images: 3, torchvision gives 2" in by_check["loader-differs"].examples


def test_an_area_that_is_missing_stops_pycocotools_or_transformers(coco, store, tmp_path: Path) -> None:
    del coco["annotations"][0]["iscrowd"]
    report = validate_coco([store(coco)], [tmp_path / "images"], READY)
    by_check = {finding.check: finding for finding in report.findings}
    assert by_check["loader-fails"].examples == ("pycocotools: train.json: KeyError 'iscrowd'",)


def test_transformers_that_is_not_installed_is_one_finding_with_the_remedy(
    coco, store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nirgen.validate.loaders.importlib.util.find_spec", lambda _: None)
    report = validate_coco([store(coco)], [tmp_path / "images"], READY)
    (finding,) = report.findings
    assert (finding.check, finding.about.remedy) == ("loader-missing", "pip install 'nirgen[detect]'")
    assert list(report.loaded[0].got) == ["pycocotools", "torchvision"]
