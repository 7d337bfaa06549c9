from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.detect.config import CompareConfig
from nirgen.detect.power import foresee, judged_keys, lines, rounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.data import Split


@pytest.fixture
def cars(make_split: Callable[..., Split]) -> Callable[..., Split]:
    """Make images with so many cars each."""
    return lambda images, each=1: make_split(*[[("car", (10.0 * n, 10, 100, 50)) for n in range(each)]] * images)


def test_four_times_the_images_show_half_the_gain_but_for_chance_in_training(cars: Callable[..., Split]) -> None:
    seeds = CompareConfig(seeds=tuple(range(100_000)))
    few, many = (foresee(cars(count), seeds, 1)["ap/car"].gain for count in (100, 400))
    assert few / many == pytest.approx(2, rel=0.01)
    three = foresee(cars(40_000), CompareConfig(), 1)["ap/car"].gain
    assert three == pytest.approx((1.96 + 0.8416) * 0.012 * (2 / 3) ** 0.5, rel=0.05)


def test_objects_of_one_image_are_worth_less_than_those_of_many(cars: Callable[..., Split]) -> None:
    apart, together = (foresee(cars(*shape), CompareConfig(), 1)["ap/car"] for shape in ((200, 1), (50, 4)))
    assert apart.objects == together.objects == 200
    assert together.gain > 1.2 * apart.gain


def test_looking_at_more_numbers_shows_larger_gains_only(cars: Callable[..., Split]) -> None:
    one, ten = (foresee(cars(200), CompareConfig(), looks)["ap/car"].gain for looks in (1, 10))
    assert ten > 1.2 * one


def test_what_would_go_unseen_is_told_with_the_boxes_that_it_takes(cars: Callable[..., Split]) -> None:
    config = CompareConfig(seeds=tuple(range(20)), gain=0.05)
    told = lines(foresee(cars(100), config, 1), config.gain)
    assert told[0].startswith("smallest gain of AP that these test images could show, about: mAP 0.1")
    assert told[0].endswith("(100 boxes)")
    assert told[1].startswith("a gain of 0.05 in one class would likely go unseen; it takes: car about 6")
    few = CompareConfig(seeds=(0,), gain=0.01)
    assert lines(foresee(cars(100), few, 1), few.gain)[1].endswith("it takes: about 46 seeds first")
    assert lines({}, 0.02) == ["the test images have no objects, so they can show no gain"]


def test_classes_and_sizes_with_enough_boxes_on_enough_images_are_judged(cars: Callable[..., Split]) -> None:
    assert judged_keys(cars(20), "images") == ["ap", "ap/car", "ap_medium"]
    assert judged_keys(cars(19), "images") == ["ap"]
    assert judged_keys(cars(9, 5), "images") == ["ap"]


def test_counts_are_told_with_two_digits() -> None:
    assert [rounded(count) for count in (3, 41.7, 1850, 123_456)] == [3, 41, 1800, 120_000]
