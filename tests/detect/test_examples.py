"""What of a dataset a detector is trained on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nirgen.dataset.build import build
from nirgen.detect.examples import read_examples
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
    found = read_examples(dataset)
    assert [example.key for example in found.examples] == [
        "bdd/a.jpg",
        "bdd/b.jpg",
        "bdd/night/c.jpg",
        "ranus/01/x.png",
    ]
    assert found.names == ("person", "bicycle", "car")
    assert [example.generated for example in found.examples] == [True, True, True, False]
    assert [example.categories.tolist() for example in found.examples] == [[2], [2, 1], [2], [2]]
    assert found.examples[1].boxes.tolist() == [[1, 2, 10, 5], [3, 3, 4, 4]]
    assert found.examples[0].size == (20, 30)
    assert found.examples[0].read().shape == (20, 30, 3)
    assert found.describe() == (
        "4 images of 'train' (1 real, 3 generated, 0 without boxes); boxes: 0 person, 1 bicycle, 4 car; 0 to ignore"
    )
    assert found.counts()["origins"] == {"bdd": 3, "ranus": 1}


def test_regions_to_ignore_are_no_boxes_and_an_image_without_boxes_stays(
    dataset: Path, change: Callable[..., None]
) -> None:
    change("annotations", 0, iscrowd=1)
    first = read_examples(dataset).examples[0]
    assert (first.boxes.shape, first.categories.shape) == ((0, 4), (0,))
    assert first.ignored.tolist() == [[1, 2, 10, 5]]
    assert read_examples(dataset).counts() == {
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
    assert read_examples(dataset).examples[0].boxes.shape == (0, 4)


def test_images_can_be_chosen_by_their_keys(dataset: Path) -> None:
    found = read_examples(dataset, images=["ranus/01/x.png", "bdd/b.jpg"])
    assert [example.key for example in found.examples] == ["bdd/b.jpg", "ranus/01/x.png"]
    everything = read_examples(dataset)
    assert found.keys_sha256 != everything.keys_sha256
    assert found.dataset_sha256 == everything.dataset_sha256
    with pytest.raises(
        NirgenError, match=r"D: the split 'train' has no labelled image 'ranus/02/y.png'; take the keys"
    ):
        read_examples(dataset, images=["ranus/02/y.png", "bdd/b.jpg"])


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
    assert "bdd/a.jpg" not in {example.key for example in read_examples(tmp_path / "D").examples}


def test_what_can_not_be_learnt_from_is_one_line(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match=r"no dataset of nirgen's \(dataset.json: No such file"):
        read_examples(tmp_path)
    values = json.loads((dataset / "dataset.json").read_text())
    values["splits"]["train"]["images"] = 0
    (dataset / "dataset.json").write_text(json.dumps(values))
    with pytest.raises(NirgenError) as caught:
        read_examples(dataset)
    assert str(caught.value) == (
        f"{dataset}: the split 'train' has no images (it has val (1), test (1)); build it with "
        "'nirgen build-dataset --split train=0.8,val=0.2'"
    )


def test_a_split_without_boxes_is_one_line(dataset: Path) -> None:
    path = dataset / "annotations/train.json"
    document = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps(document | {"annotations": []}))
    with pytest.raises(NirgenError) as caught:
        read_examples(dataset)
    assert str(caught.value) == (
        f"{path}: no boxes on 4 images, so there is nothing to learn; give labels of these images to "
        "'nirgen build-dataset'"
    )


def test_arrays_are_what_they_say(dataset: Path) -> None:
    example = read_examples(dataset).examples[0]
    assert (example.boxes.dtype, example.categories.dtype, example.ignored.shape) == (np.float64, np.int64, (0, 4))
