"""Images in, boxes of our categories out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import RTDetrImageProcessor

from nirgen.detect.detector import Detector, find_sources, load_detector, read_about, refuse_unknown
from nirgen.detect.networks import Network
from nirgen.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from pathlib import Path


COCO = ("person", "bicycle", "car", "motorbike", "aeroplane", "bus", "train", "truck", "traffic light")
OURS = ("person", "bicycle", "car")


def test_two_wheelers_are_bicycles_and_motor_vehicles_cars_and_trains_nothing() -> None:
    assert find_sources(COCO, OURS) == ((0,), (1, 3), (2, 5, 7))


def test_the_label_of_a_categorys_own_name_comes_first_wherever_it_stands() -> None:
    assert find_sources(("truck", "Car"), ("car",)) == ((1, 0),)


def test_a_category_keeps_its_own_label_although_a_policy_takes_it_for_another() -> None:
    assert find_sources(COCO, ("car", "truck", "bus")) == ((2,), (7,), (5,))


def test_categories_of_bdd100k_find_their_labels_too() -> None:
    assert find_sources(COCO, ("pedestrian", "rider", "traffic_light")) == ((0,), (), (8,))


def test_categories_that_no_label_is_are_named_with_the_labels_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_unknown("M", COCO, ("car", "tree", "cone"), ((2,), (), ()))
    assert str(caught.value) == (
        "M: knows no 'tree' and no 'cone' (its labels: person, bicycle, car, motorbike, aeroplane, bus, train, truck, "
        "...); train it on them with 'nirgen detect train', or choose other classes with 'nirgen labels --policy'"
    )
    refuse_unknown("M", COCO, ("car",), ((2,),))


class Sure(nn.Module):
    """Finds the same on every image: shares (queries, 4) with logits (queries, labels)."""

    def __init__(self, shares: list[list[float]], logits: list[list[float]]) -> None:
        super().__init__()
        self.shares, self.logits = torch.tensor(shares), nn.Parameter(torch.tensor(logits))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        self.seen.append(tuple(pixel_values.shape))
        count = len(pixel_values)
        return SimpleNamespace(pred_boxes=self.shares.repeat(count, 1, 1), logits=self.logits.repeat(count, 1, 1))


def detector(shares: list[list[float]], logits: list[list[float]], sources: tuple[tuple[int, ...], ...]) -> Detector:
    labels = tuple(f"label {number}" for number in range(len(logits[0])))
    return Detector(Network(Sure(shares, logits), labels), OURS[: len(sources)], sources, 64)


def picture(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_boxes_come_back_in_the_pixels_of_each_image() -> None:
    sure = detector([[0.5, 0.5, 0.5, 0.25]], [[3.0]], ((0,),))
    wide, high = sure.predict([picture(80, 200), picture(400, 40)])
    assert wide.boxes.tolist() == [[50, 30, 100, 20]]
    assert high.boxes.tolist() == [[10, 150, 20, 100]]
    assert (wide.boxes.dtype, wide.scores.dtype, wide.categories.dtype) == (np.float64, np.float64, np.int64)
    assert sure.model.seen == [(2, 3, 64, 64)]


def test_boxes_end_at_the_border_of_the_image() -> None:
    (found,) = detector([[0.0, 1.0, 0.5, 0.5]], [[0.0]], ((0,),)).predict([picture(100, 200)])
    assert found.boxes.tolist() == [[0, 75, 50, 25]]


def test_a_category_scores_as_high_as_the_best_of_its_labels() -> None:
    logits = [[-1.0, 2.0, 0.5]]
    (found,) = detector([[0.5, 0.5, 0.1, 0.1]], logits, ((0,), (2, 1))).predict([picture(10, 10)])
    assert found.categories.tolist() == [1, 0]
    assert found.scores.tolist() == pytest.approx([0.880797, 0.268941], abs=1e-6)


def test_scores_fall_and_no_more_are_kept_than_asked_for() -> None:
    logits = [[float(number % 7)] for number in range(50)]
    (found,) = detector([[0.5, 0.5, 0.1, 0.1]] * 50, logits, ((0,),)).predict([picture(10, 10)], keep=20)
    assert len(found.scores) == len(found.boxes) == len(found.categories) == 20
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min() == pytest.approx(0.982014, abs=1e-6)  # of 4: seven times 6, 5 and 4


def test_no_images_give_no_detections_and_many_come_in_order() -> None:
    sure = detector([[0.5, 0.5, 0.5, 0.5]], [[0.0]], ((0,),))
    assert sure.predict([]) == []
    found = sure.predict([picture(10, 10 * number) for number in range(1, 12)])
    assert [entry.boxes[0, 2] for entry in found] == [5.0 * number for number in range(1, 12)]
    assert [shape[0] for shape in sure.model.seen] == [8, 3]


@pytest.fixture(scope="module")
def tiny() -> Detector:
    return load_detector("fresh-tiny", categories=OURS, device="cpu", size=64)


def test_fresh_weights_are_those_of_their_seed(tiny: Detector) -> None:
    again, other = (load_detector("fresh-tiny", categories=OURS, device="cpu", seed=seed) for seed in (0, 1))
    assert tiny.id == again.id != other.id
    assert (tiny.names, tiny.size, again.size) == (OURS, 64, 640)
    assert len(tiny.id) == 64


def test_a_network_finds_the_same_in_a_batch_and_alone(tiny: Detector) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (50, 90, 3), dtype=np.uint8) for _ in range(3)]
    together, alone = tiny.predict(pictures), [tiny.predict([one])[0] for one in pictures]
    for one, other in zip(together, alone, strict=True):
        assert len(one.scores) == 90  # 30 queries of 3 categories
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_detections_are_those_of_transformers_own_processor(tiny: Detector) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    processor: Any = RTDetrImageProcessor(size={"height": 64, "width": 64})
    with torch.inference_mode():
        outputs = tiny.model(**processor(images=pixels, return_tensors="pt"))
    (theirs,) = processor.post_process_object_detection(outputs, threshold=0, target_sizes=[(64, 64)])
    (ours,) = tiny.predict([pixels], keep=30)  # theirs gives as many as there are queries
    assert ours.scores == pytest.approx(theirs["scores"].numpy(), abs=1e-6)
    assert ours.categories.tolist() == theirs["labels"].tolist()
    corners = theirs["boxes"].numpy().clip(0, 64)
    assert ours.boxes == pytest.approx(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1), abs=1e-4)


@pytest.mark.parametrize("size", [0, 100])
def test_a_size_that_networks_can_not_take_is_one_line(size: int) -> None:
    with pytest.raises(ConfigError, match=f"size {size}: these networks take multiples of 32; give such as 640"):
        load_detector("fresh-tiny", categories=OURS, size=size)


def test_what_is_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model \(no config.json\); name a run folder, or one that transformers"):
        load_detector(tmp_path, categories=OURS)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ModelError, match="a run without a model yet"):
        load_detector(tmp_path, categories=OURS)


def test_a_hub_that_can_not_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as caught:
        load_detector("nirgen-tests/no-such-model", categories=OURS)
    assert str(caught.value).startswith("nirgen-tests/no-such-model: no folder here, and not to be had from the hub (")
    assert str(caught.value).endswith(
        "model.safetensors into a folder, and give that; 'fresh-tiny' needs no hub, to try it"
    )
    assert "\n" not in str(caught.value)


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"isn't installed; pip install 'nirgen\[detect\]'"):
        load_detector("fresh-tiny", categories=OURS)


def test_a_model_that_nirgen_did_not_train_says_nothing_of_its_training(tmp_path: Path) -> None:
    assert read_about(tmp_path) is None
    (tmp_path / "nirgen.json").write_text("{")
    with pytest.raises(ModelError, match=r"nirgen.json: damaged .*; run the same .nirgen detect train. again"):
        read_about(tmp_path)
