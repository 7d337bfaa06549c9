"""Splits of a dataset, as detectors are trained and evaluated on them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nirgen.dataset.build import build
from nirgen.detect.config import DetectConfig
from nirgen.detect.data import (
    class_factors,
    describe_boxes,
    image_factors,
    read_split,
    read_validation,
    refuse_without_boxes,
)
from nirgen.detect.views import to_example
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.data import Split
    from nirgen.detect.views import Example


@pytest.fixture
def dataset(dataset_inputs: Callable[..., Any], plan_dataset: Callable[..., Any], tmp_path: Path) -> Path:
    """Three generated images and one real one in `train`, one real one in `val` and `test`: 30x20 pixels."""
    build(plan_dataset(dataset_inputs()), tmp_path / "D")
    return tmp_path / "D"


@pytest.fixture
def change(dataset: Path) -> Callable[..., None]:
    """Change values of the annotations of `train`, given by their positions."""

    def make(part: str, position: int, **values: Any) -> None:
        path = dataset / "annotations/train.json"
        document = json.loads(path.read_text())
        document[part][position] |= values
        path.unlink()
        path.write_text(json.dumps(document))

    return make


def test_all_images_of_a_split_come_in_the_order_of_their_keys(dataset: Path) -> None:
    found = read_split(dataset)
    assert [image.key for image in found.images] == [
        "bdd/a.jpg",
        "bdd/b.jpg",
        "bdd/night/c.jpg",
        "ranus/01/x.png",
    ]
    assert found.names == ("person", "bicycle", "car")
    examples = [to_example(image, found.names) for image in found.images]
    assert [image.generated for image in found.images] == [True, True, True, False]
    assert [example.categories.tolist() for example in examples] == [[2], [2, 1], [2], [2]]
    assert examples[1].boxes.tolist() == [[1, 2, 10, 5], [3, 3, 4, 4]]
    assert examples[0].size == (20, 30)
    assert examples[0].read().shape == (20, 30, 3)
    assert found.describe() == (
        "4 images of 'train' (1 real, 3 generated, 0 without boxes); boxes: 0 person, 1 bicycle, 4 car; 0 to ignore"
    )
    assert found.counts()["origins"] == {"bdd": 3, "ranus": 1}


def test_regions_to_ignore_are_no_boxes_and_an_image_without_boxes_stays(
    dataset: Path, change: Callable[..., None]
) -> None:
    change("annotations", 0, iscrowd=1)
    first = first_example(dataset)
    assert (first.boxes.shape, first.categories.shape) == ((0, 4), (0,))
    assert first.ignored.tolist() == [[1, 2, 10, 5]]
    assert read_split(dataset).counts() == {
        "images": 4,
        "generated": 3,
        "real": 1,
        "empty": 1,
        "origins": {"bdd": 3, "ranus": 1},
        "boxes": {"person": 0, "bicycle": 1, "car": 3},
        "ignored": 1,
    }


def test_boxes_without_a_width_are_left_out(dataset: Path, change: Callable[..., None]) -> None:
    change("annotations", 0, bbox=[1, 2, 0, 5])
    assert first_example(dataset).boxes.shape == (0, 4)


def first_example(dataset: Path) -> Example:
    found = read_split(dataset)
    return to_example(found.images[0], found.names)


def test_images_can_be_chosen_by_their_keys(dataset: Path) -> None:
    everything = read_split(dataset)
    found = everything.only(["ranus/01/x.png", "bdd/b.jpg"])
    assert [image.key for image in found.images] == ["bdd/b.jpg", "ranus/01/x.png"]
    assert found.about()["keys_sha256"] != everything.about()["keys_sha256"]
    assert found.sha256 == everything.sha256
    with pytest.raises(
        NirgenError, match=r"D: the split 'train' has no labelled image 'ranus/02/y.png'; take the keys"
    ):
        everything.only(["ranus/02/y.png", "bdd/b.jpg"])


def test_images_that_nobody_labelled_are_left_out(
    dataset_inputs: Callable[..., Any], plan_dataset: Callable[..., Any], tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    labels = json.loads((tmp_path / "bdd.json").read_text())
    lost = next(image["id"] for image in labels["images"] if image["file_name"] == "a.jpg")
    labels["images"] = [image for image in labels["images"] if image["id"] != lost]
    labels["annotations"] = [one for one in labels["annotations"] if one["image_id"] != lost]
    (tmp_path / "bdd.json").write_text(json.dumps(labels))
    build(plan_dataset(inputs, include_unlabelled=True), tmp_path / "D")
    listed = json.loads((tmp_path / "D/annotations/train.json").read_text())["images"]
    assert "bdd/a.jpg" in {image["key"] for image in listed}
    assert "bdd/a.jpg" not in {image.key for image in read_split(tmp_path / "D").images}


def test_what_can_not_be_learnt_from_is_one_line(dataset: Path, tmp_path: Path, describe: Callable[..., None]) -> None:
    with pytest.raises(NirgenError, match=r"no dataset of nirgen's \(dataset.json: No such file"):
        read_split(tmp_path)
    values = json.loads((dataset / "dataset.json").read_text())
    values["splits"]["train"]["images"] = 0
    describe(dataset, splits=values["splits"])
    with pytest.raises(NirgenError) as caught:
        read_split(dataset)
    assert str(caught.value) == (
        f"{dataset}: the split 'train' has no images (it has val (1), test (1)); choose another one, or build it "
        "with 'nirgen build-dataset --split train=0.8,val=0.1,test=0.1'"
    )


def test_a_split_without_boxes_is_one_line(dataset: Path) -> None:
    path = dataset / "annotations/train.json"
    document = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps(document | {"annotations": []}))
    with pytest.raises(NirgenError) as caught:
        refuse_without_boxes(read_split(dataset))
    assert str(caught.value) == (
        f"{path}: no boxes on 4 images, so there is nothing to learn; give labels of these images to "
        "'nirgen build-dataset'"
    )


def test_arrays_are_what_they_say(dataset: Path) -> None:
    example = first_example(dataset)
    assert (example.boxes.dtype, example.categories.dtype, example.ignored.shape) == (np.float64, np.int64, (0, 4))


def test_all_images_of_the_split_are_read_empty_ones_too(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=3)
    truth = read_split(folder, "test")
    assert [image.key for image in truth.images] == [f"ranus/test/0{number}.png" for number in range(3)]
    assert [len(image.boxes) for image in truth.images] == [2, 1, 0]
    assert truth.names == ("person", "bicycle", "car")
    assert all(image.path.is_file() for image in truth.images)
    assert truth.sha256 == hashlib.sha256((folder / "dataset.json").read_bytes()).hexdigest()


def test_a_dataset_without_the_split_is_refused_with_the_remedy(
    made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=0)
    with pytest.raises(NirgenError) as error:
        read_split(folder, "test")
    assert "the split 'test' has no images (it has train (2))" in str(error.value)
    assert "--split train=0.8,val=0.1,test=0.1" in str(error.value)


def test_another_split_that_is_there_is_named(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=0, test=2)
    with pytest.raises(NirgenError, match=r"has no images \(it has train \(1\), test \(2\)\); choose another one"):
        read_split(folder, "val")


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no dataset of nirgen's"):
        read_split(tmp_path, "test")


def test_generated_images_are_left_out_of_the_real_ones(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=3)
    _call_generated(folder, 2)
    truth = read_split(folder, "test")
    assert truth.generated == 2
    assert [image.key for image in truth.real().images] == ["ranus/test/02.png"]
    _call_generated(folder, 3)
    with pytest.raises(NirgenError, match="has no real images to judge detectors on"):
        read_split(folder, "test").real()


def test_images_that_nobody_has_labelled_are_left_out(
    made_dataset: Callable[..., Path], unlabel: Callable[..., Path], tmp_path: Path
) -> None:
    folder = unlabel(made_dataset(tmp_path / "D", real=1, generated=1, test=3), "ranus/test/01.png")
    truth = read_split(folder, "test")
    assert [image.key for image in truth.images] == ["ranus/test/00.png", "ranus/test/02.png"]
    listed = {
        image["key"]: image["id"] for image in json.loads((folder / "annotations/test.json").read_text())["images"]
    }
    assert (truth.unlabelled, truth.left_out) == (1, {listed["ranus/test/01.png"]})
    unlabel(folder, *listed)
    with pytest.raises(NirgenError, match="the split 'test' has no labelled images; give labels of them"):
        read_split(folder, "test")


def test_names_that_leave_the_dataset_are_refused(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=3)
    path = folder / "annotations" / "test.json"
    document = json.loads(path.read_text())
    document["images"][0]["file_name"] = "../photos/00.png"
    path.write_text(json.dumps(document))
    with pytest.raises(NirgenError, match=r"has '\.\.'"):
        read_split(folder, "test")


def test_images_of_a_recording_are_drawn_together(make_split: Callable[..., Split]) -> None:
    truth = make_split([], [], [], sequences=("s1", "s1", None))
    assert len(set(truth.groups("images"))) == 3
    assert truth.groups("sequences")[0] == truth.groups("sequences")[1] != truth.groups("sequences")[2]


@pytest.fixture
def unlabel(describe: Callable[..., None]) -> Callable[..., Path]:
    """Make a dataset say that nobody has labelled images of `test`."""

    def make(folder: Path, *keys: str) -> Path:
        path = next(folder.glob("provenance*"))
        table = pq.read_table(path)
        label_files = [
            None if key in keys else file
            for key, file in zip(table["key"].to_pylist(), table["label_file"].to_pylist(), strict=True)
        ]
        place = table.schema.get_field_index("label_file")
        pq.write_table(table.set_column(place, table.schema.field(place), pa.array(label_files, pa.string())), path)
        info = json.loads((folder / "dataset.json").read_text())
        info["splits"]["test"]["unlabelled"] = len(keys)
        describe(folder, splits=info["splits"])
        return folder

    return make


def _call_generated(folder: Path, count: int) -> None:
    path = folder / "annotations" / "test.json"
    document = json.loads(path.read_text())
    for image in document["images"][:count]:
        image["kind"] = "generated"
    path.write_text(json.dumps(document))


def test_repeat_factors_are_roots_of_the_threshold_over_the_share_of_images(make_split: Callable[..., Split]) -> None:
    car, person, bicycle = (("car", (0, 0, 9, 9)), ("person", (0, 0, 9, 9)), ("bicycle", (0, 0, 9, 9)))
    ignored = ("bicycle", (9, 9, 9, 9), True)
    split = make_split([car, person, bicycle], [car, person, ignored], *[[car, car]] * 13, [])
    # shares of 16 images: car 15/16, person 2/16, bicycle 1/16
    assert class_factors(split, 0.25) == {"person": pytest.approx(2**0.5), "bicycle": 2, "car": 1}
    assert image_factors(split, 0.25) == [2, pytest.approx(2**0.5), *[1] * 14]
    assert class_factors(split, 0) == {"person": 1, "bicycle": 1, "car": 1}


def test_training_is_validated_on_real_images_of_val_spread_evenly(
    made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    config = DetectConfig(validation_images=3)
    split = read_split(made_dataset(tmp_path / "V", real=1, generated=1, test=1, val=7))
    found = read_validation(split, config)
    assert found is not None
    assert [image.key for image in found.images] == [f"ranus/val/{number}.png" for number in ("00", "03", "06")]
    assert read_validation(split, config.model_copy(update={"validate_every": 0})) is None
    assert read_validation(read_split(split.folder, "val"), config) is None
    without = read_split(made_dataset(tmp_path / "W", real=1, generated=0, test=1))
    assert read_validation(without, config) is None


def test_the_boxes_of_generated_images_are_told_beside_those_of_real_ones(make_split: Callable[..., Split]) -> None:
    car, small, ignored = ("car", (0, 0, 100, 75)), ("car", (0, 0, 40, 30)), ("person", (0, 0, 9, 9), True)
    split = make_split([car, car, ignored], [small], [("bicycle", (0, 0, 200, 150))])  # of 400x300 pixels
    images = tuple(replace(image, generated=place == 0) for place, image in enumerate(split.images))
    assert describe_boxes(replace(split, images=images)).endswith(
        "with their median side: person 0 against 0, bicycle 0 against 0.5 of 50 %, car 2 of 25 % against 0.5 of 10 %"
    )
