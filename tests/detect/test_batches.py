"""Batches of views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nirgen.detect.batches import Batches
from nirgen.detect.config import DetectConfig
from nirgen.detect.examples import Example, Examples
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    """Five images of one grey value each, 10 to 50, with one box on the first and none on the others."""
    found = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((40, 60), 10 + 10 * number, np.uint8)).save(path)
        boxes = np.array([[6, 4, 30, 20]] * (number == 0), np.float64).reshape(-1, 4)
        categories = np.full(len(boxes), 1)
        found.append(Example(path.name, "r", False, path, (40, 60), boxes, categories, np.empty((0, 4))))
    return Examples(tmp_path, "train", ("a", "b"), tuple(found), "d", "s")


def config(**values: object) -> DetectConfig:
    return DetectConfig.read({"batch": 2, "size": 32, "workers": 0, **values}, where="the test")


def test_an_epoch_shows_each_image_once(examples: Examples) -> None:
    with Batches(examples, config(batch=5)) as batches:
        for _ in range(3):
            pixels, _ = batches.next()
            assert sorted(pixels[:, 0, 0, 0].tolist()) == [10, 20, 30, 40, 50]


def test_a_batch_has_pixels_and_labels_of_each_image(examples: Examples) -> None:
    with Batches(examples, config(batch=5, augment={"crop": 0, "flip": 0})) as batches:
        pixels, labels = batches.next()
    assert (pixels.shape, pixels.dtype) == ((5, 32, 32, 3), torch.uint8)
    first = pixels[:, 0, 0, 0].tolist().index(10)
    assert labels[first]["boxes"][0].tolist() == pytest.approx([0.35, 0.35, 0.5, 0.5])
    assert labels[first]["class_labels"].tolist() == [1]
    others = [label for position, label in enumerate(labels) if position != first]
    assert {tuple(label["boxes"].shape) for label in others} == {(0, 4)}
    assert {(label["boxes"].dtype, label["class_labels"].dtype) for label in labels} == {(torch.float32, torch.int64)}


def test_batches_follow_from_seed_and_step_alone(examples: Examples) -> None:
    def drawn(step: int, count: int, **values: object) -> list[tuple[torch.Tensor, list[dict[str, torch.Tensor]]]]:
        with Batches(examples, config(**values), step) as batches:
            return [batches.next() for _ in range(count)]

    straight = drawn(0, 7)
    for other in (drawn(3, 4), drawn(3, 4, workers=2)):
        for (pixels, labels), (expected, of_expected) in zip(other, straight[3:], strict=True):
            assert torch.equal(pixels, expected)
            assert [label["boxes"].tolist() for label in labels] == [label["boxes"].tolist() for label in of_expected]
    assert any(not torch.equal(a, b) for (a, _), (b, _) in zip(drawn(0, 7, seed=1), straight, strict=True))


def test_an_image_that_is_gone_stops_the_batch_with_its_name(examples: Examples) -> None:
    examples.examples[2].path.unlink()
    for workers in (0, 2):
        with (
            pytest.raises(ImageError, match=r"2\.png"),
            Batches(examples, config(batch=5, workers=workers)) as batches,
        ):
            batches.next()
