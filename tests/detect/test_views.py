"""Augmentation and batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import RTDetrImageProcessor

from nirgen.detect.config import AugmentConfig, DetectConfig
from nirgen.detect.views import Batches, Example, RepeatedOrder, clip, draw_view, mask_out
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.dataset.read import Image as DatasetImage
    from nirgen.detect.data import Split


PLAIN = AugmentConfig(flip=0, crop=0)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 4)


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """A black image of 200x100 pixels with a white box at 20, 30 that is 80 wide and 40 high."""
    pixels = np.zeros((100, 200), np.uint8)
    pixels[30:70, 20:100] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = boxes((20, 30, 80, 40))
    return Example(tmp_path / "a.png", (100, 200), found, np.array([2]), boxes())


def white(pixels: np.ndarray) -> list[float]:
    """Box of the white pixels: x and y of its middle, width and height, as shares of the image."""
    rows, columns = (np.flatnonzero((pixels[..., 0] > 127).any(axis)) for axis in (1, 0))
    ends = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / pixels.shape[0]
    return [(ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2, ends[2] - ends[0], ends[3] - ends[1]]


def test_an_image_is_squashed_and_its_boxes_are_shares(example: Example) -> None:
    view = draw_view(example, 64, PLAIN, np.random.default_rng(0))
    assert (view.pixels.shape, view.pixels.dtype) == ((64, 64, 3), np.uint8)
    assert view.boxes[0] == pytest.approx([0.3, 0.5, 0.4, 0.4])
    assert view.categories.tolist() == [2]


def test_a_plain_view_is_what_transformers_own_processor_makes(example: Example) -> None:
    processor: Any = RTDetrImageProcessor(size={"height": 64, "width": 64})
    box = {"bbox": [20, 30, 80, 40], "category_id": 2, "area": 3200, "iscrowd": 0, "image_id": 1}
    theirs = processor(images=example.read(), annotations={"image_id": 1, "annotations": [box]}, return_tensors="pt")
    view = draw_view(example, 64, PLAIN, np.random.default_rng(0))
    assert view.boxes == pytest.approx(theirs["labels"][0]["boxes"].numpy())
    assert view.categories.tolist() == theirs["labels"][0]["class_labels"].tolist()
    pixels = theirs["pixel_values"][0].permute(1, 2, 0).numpy() * 255
    assert np.abs(view.pixels - pixels).max() <= 1.01  # Pillow's filter and torchvision's round differently


def test_a_grey_image_has_three_equal_channels(example: Example) -> None:
    pixels = draw_view(example, 64, PLAIN, np.random.default_rng(0)).pixels
    assert (pixels[..., :1] == pixels).all()


def test_mirroring_mirrors_boxes_and_pixels(example: Example) -> None:
    plain = draw_view(example, 64, PLAIN, np.random.default_rng(0))
    view = draw_view(example, 64, AugmentConfig(flip=1, crop=0), np.random.default_rng(0))
    assert view.boxes[0] == pytest.approx([0.7, 0.5, 0.4, 0.4])
    assert (view.pixels == plain.pixels[:, ::-1]).all()


def test_boxes_stay_where_their_pixels_are(example: Example) -> None:
    config = AugmentConfig(flip=0.5, crop=1, smallest_crop=0.5, smallest_visible=0)
    views = [draw_view(example, 64, config, np.random.default_rng(seed)) for seed in range(40)]
    assert len({view.pixels.tobytes() for view in views}) > 30
    for view in views:
        assert view.boxes[0] == pytest.approx(white(view.pixels), abs=2.5 / 64)


def test_regions_to_ignore_get_the_mean_colour_and_boxes_in_them_stay(example: Example) -> None:
    ignored = Example(example.path, (100, 200), example.boxes, np.array([2]), boxes((0, 0, 60, 100)))
    pixels = draw_view(ignored, 64, PLAIN, np.random.default_rng(0)).pixels
    assert pixels[5, 5].tolist() == [41, 41, 41]  # 255 * 80 * 40 / (200 * 100), rounded
    assert pixels[32, 13].tolist() == [255, 255, 255]  # of the box, which begins at 6.4
    assert pixels[5, 40].tolist() == [0, 0, 0]


def test_a_box_of_which_little_is_left_is_blotted_out(example: Example) -> None:
    cut = Example(example.path, (100, 200), boxes((20, 30, 400, 40)), np.array([2]), boxes())
    view = draw_view(cut, 64, AugmentConfig(flip=0, crop=0, smallest_visible=0.5), np.random.default_rng(0))
    assert view.boxes.shape == (0, 4)
    assert view.pixels.max() == 41
    kept = draw_view(cut, 64, AugmentConfig(flip=0, crop=0, smallest_visible=0.4), np.random.default_rng(0))
    assert kept.boxes[0] == pytest.approx([0.55, 0.5, 0.9, 0.4])


def test_an_image_without_boxes_is_seen_as_it_is(example: Example) -> None:
    empty = Example(example.path, (100, 200), boxes(), np.empty(0, np.int64), boxes())
    view = draw_view(empty, 64, PLAIN, np.random.default_rng(0))
    assert view.boxes.shape == (0, 4)
    assert white(view.pixels) == pytest.approx([0.3, 0.5, 0.4, 0.4], abs=0.02)


def test_an_image_of_another_size_than_its_annotations_is_named(example: Example) -> None:
    other = Example(example.path, (50, 200), example.boxes, np.array([2]), boxes())
    with pytest.raises(ImageError, match=r"a\.png: 200x100, but its annotations are of 200x50; build the dataset"):
        draw_view(other, 64, PLAIN, np.random.default_rng(0))


def test_clipping_keeps_what_lies_in_the_window() -> None:
    found = clip(boxes((0, 0, 10, 10), (8, 8, 4, 4), (20, 20, 5, 5)), np.array([5.0, 5, 10, 12]))
    assert found.tolist() == [[0, 0, 5, 5], [3, 3, 2, 4], [5, 7, 0, 0]]


def test_nothing_to_ignore_leaves_the_very_pixels() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert mask_out(pixels, boxes(), boxes((0, 0, 2, 2))) is pixels
    assert mask_out(pixels, boxes((1, 1, 0, 3)), boxes()) is pixels


@pytest.fixture
def split(make_split: Callable[..., Split], make_image: Callable[..., DatasetImage], tmp_path: Path) -> Split:
    """Five images of one grey value each, 10 to 50, with one box on the first and none on the others."""
    found = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((40, 60), 10 + 10 * number, np.uint8)).save(path)
        found.append(make_image(path.name, number + 1, path=path, width=60, height=40))
    on_first = make_split([("bicycle", (6, 4, 30, 20))])
    found[0] = replace(found[0], boxes=on_first.images[0].boxes)
    return replace(on_first, images=tuple(found))


def config(**values: object) -> DetectConfig:
    return DetectConfig.read({"batch": 2, "size": 32, "workers": 0, **values}, where="the test")


def test_an_epoch_shows_each_image_once(split: Split) -> None:
    with Batches(split, config(batch=5)) as batches:
        for _ in range(3):
            pixels, _ = batches.next()
            assert sorted(pixels[:, 0, 0, 0].tolist()) == [10, 20, 30, 40, 50]


def test_a_batch_has_pixels_and_labels_of_each_image(split: Split) -> None:
    with Batches(split, config(batch=5, augment={"crop": 0, "flip": 0})) as batches:
        pixels, labels = batches.next()
    assert (pixels.shape, pixels.dtype) == ((5, 32, 32, 3), torch.uint8)
    first = pixels[:, 0, 0, 0].tolist().index(10)
    assert labels[first]["boxes"][0].tolist() == pytest.approx([0.35, 0.35, 0.5, 0.5])
    assert labels[first]["class_labels"].tolist() == [1]
    others = [label for position, label in enumerate(labels) if position != first]
    assert {tuple(label["boxes"].shape) for label in others} == {(0, 4)}
    assert {(label["boxes"].dtype, label["class_labels"].dtype) for label in labels} == {(torch.float32, torch.int64)}


def test_batches_follow_from_seed_and_step_alone(split: Split) -> None:
    def drawn(step: int, count: int, **values: object) -> list[tuple[torch.Tensor, list[dict[str, torch.Tensor]]]]:
        with Batches(split, config(**values), step) as batches:
            return [batches.next() for _ in range(count)]

    straight = drawn(0, 7)
    for other in (drawn(3, 4), drawn(3, 4, workers=2)):
        for (pixels, labels), (expected, of_expected) in zip(other, straight[3:], strict=True):
            assert torch.equal(pixels, expected)
            assert [label["boxes"].tolist() for label in labels] == [label["boxes"].tolist() for label in of_expected]
    assert any(not torch.equal(a, b) for (a, _), (b, _) in zip(drawn(0, 7, seed=1), straight, strict=True))


def test_an_image_that_is_gone_stops_the_batch_with_its_name(split: Split) -> None:
    split.images[2].path.unlink()
    for workers in (0, 2):
        with (
            pytest.raises(ImageError, match=r"2\.png"),
            Batches(split, config(batch=5, workers=workers)) as batches,
        ):
            batches.next()


def test_images_are_drawn_in_proportion_to_their_factors_and_each_at_least_once_an_epoch() -> None:
    order = RepeatedOrder([1, 1, 2.5], seed=3)
    assert order.count == 5
    epochs = [[order[draw] for draw in range(start, start + 5)] for start in range(0, 5 * 400, 5)]
    assert all(set(epoch) == {0, 1, 2} for epoch in epochs)
    drawn = np.bincount(np.concatenate(epochs)) / len(epochs)
    assert drawn == pytest.approx([5 / 4.5, 5 / 4.5, 12.5 / 4.5], abs=0.1)
    again = RepeatedOrder([1, 1, 2.5], seed=3)
    assert [again[draw] for draw in (1234, 7)] == [epochs[246][4], epochs[1][2]]
    assert RepeatedOrder([1, 1, 1], seed=0).count == 3
