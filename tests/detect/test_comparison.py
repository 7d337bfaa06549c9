from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.detect.config import CompareConfig
from nirgen.detect.report import sentence
from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.comparison import Comparison


def first(count: int) -> set[int]:
    return set(range(1, count + 1))


def test_the_number_of_an_arm_is_the_mean_over_its_seeds(compare: Callable[..., Comparison]) -> None:
    found = compare([first(6)], [first(30), first(36)], [first(48), first(54)])
    values = [arm.numbers["ap"].value for arm in found.arms]
    # 30 of 60 objects found and nothing wrong: precision is 1 at 51 of 101 levels of recall
    assert values == pytest.approx([11 / 101, (51 + 61) / 202, (81 + 91) / 202])
    assert found.arms[1].numbers["ap/car"].value == values[1]
    assert found.arms[1].numbers["ap/person"].value is None
    assert found.arms[1].spread["ap"] == pytest.approx(10 / 101 / np.sqrt(2))
    assert found.arms[0].spread["ap"] is None
    assert [each.run.seed for each in found.arms[2].runs] == [0, 1]


def test_a_difference_that_images_and_seeds_agree_on_is_a_gain(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(20), first(22), first(21)], [first(50), first(51), first(52)])
    difference = found.difference("real+1x", "real")
    assert difference.verdict == "gain"
    assert difference.numbers["ap"].value == pytest.approx(0.5, abs=0.01)
    assert 0.3 < difference.numbers["ap"].low < 0.5 < difference.numbers["ap"].high < 0.7  # type: ignore[operator]
    assert sentence(found).startswith("1 generated images beside 1 real ones change mAP by +0.")
    assert sentence(found).endswith("over images and seeds; 60 test images, 3 seeds): a gain that exceeds the noise.")


def test_a_loss_is_called_so(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(50), first(51)], [first(20), first(22)])
    assert found.difference("real+1x", "real").verdict == "loss"
    assert sentence(found).endswith("a loss that exceeds the noise.")


def test_seeds_that_scatter_more_than_arms_differ_are_noise(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(10), first(50), first(30)], [first(15), first(55), first(35)])
    assert found.difference("real+1x", "real").verdict == "noise"
    assert sentence(found).endswith("within the noise.")


def test_equal_runs_differ_by_nothing(compare: Callable[..., Comparison]) -> None:
    found = compare([first(9)], [first(9)], [first(9)])
    ap = found.difference("real+1x", "pretrained").numbers["ap"]
    assert (ap.value, ap.low, ap.high) == (0, 0, 0)
    assert found.difference("real+1x", "pretrained").verdict == "noise"


def test_draws_of_images_are_the_same_for_all_arms(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(30)], [first(33)])
    ap = found.difference("real+1x", "real").numbers["ap"]
    alone = found.arms[2].numbers["ap"]
    assert ap.high - ap.low < 0.5 * (alone.high - alone.low)  # type: ignore[operator]


@pytest.mark.parametrize("seeds", [(0, 0), (-1,), ()])
def test_seeds_that_are_no_seeds_are_refused(seeds: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        CompareConfig(seeds=seeds)
