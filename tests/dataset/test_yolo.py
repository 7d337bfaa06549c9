from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import yaml

from nirgen.dataset.annotations import label_images
from nirgen.dataset.store import Store
from nirgen.dataset.yolo import check_names, label_name, yolo_files
from nirgen.errors import NirgenError


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
