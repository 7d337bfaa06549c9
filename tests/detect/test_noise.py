from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from nirgen.detect.coco_eval import match, official, precisions
from nirgen.detect.noise import Measured, holm, measure
from nirgen.stats import draw_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.coco_eval import Result
    from nirgen.detect.data import Split


def test_the_noise_of_images_is_that_of_a_plain_bootstrap(scene: Callable[..., tuple[Split, list[Result]]]) -> None:
    split, results = scene(25, seed=3)
    drawn = draw_images(split.groups("images"), resamples=1000, seed=1)
    matches = match(split, results)
    value, draws = (each.numbers(split.names)["ap50"] for each in (official(matches), precisions(matches, drawn)))
    found = measure([value], draws, 25)

    # the same in a few lines: images drawn with replacement, each with an id of its own, judged by COCOeval alone
    random, plain = np.random.default_rng(7), []
    for _ in range(60):
        chosen = random.integers(0, 25, 25)
        images = tuple(_renamed(split.images[place], number) for number, place in enumerate(chosen.tolist(), start=1))
        again = [
            result._replace(image_id=number)
            for number, place in enumerate(chosen.tolist(), start=1)
            for result in results
            if result.image_id == place + 1
        ]
        plain.append(official(match(_with(split, images), again)).numbers(split.names)["ap50"][0])
    assert found.of_images is not None
    assert np.sqrt(found.of_images) == pytest.approx(np.std(plain, ddof=1) * np.sqrt(25 / 24), rel=0.25)


def _renamed(image, number: int):
    from dataclasses import replace

    return replace(image, id=number, key=f"{number:03}")


def _with(split: Split, images) -> Split:
    from dataclasses import replace

    return replace(split, images=images)


def test_two_arms_of_seeds_alone_are_compared_as_by_welch() -> None:
    one, other = np.array([0.31, 0.36, 0.33]), np.array([0.28, 0.29, 0.24])
    found = measure([one, other], np.zeros(50), 100)
    welch = stats.ttest_ind(one, other, equal_var=False)
    interval = welch.confidence_interval()
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.estimate().low, found.estimate().high) == pytest.approx((interval.low, interval.high))


def test_a_class_on_one_image_or_without_draws_has_no_interval() -> None:
    for draws, groups in ((np.empty(0), 9), (np.arange(5.0), 1)):
        found = measure([np.array([0.5])], draws, groups)
        assert (found.value, found.p, found.estimate().low) == (0.5, None, None)
    assert measure([np.array([np.nan])], np.arange(5.0), 9) == Measured(None)


def test_equal_runs_differ_by_nothing_for_sure() -> None:
    same = measure([np.array([0.2]), np.array([0.2])], np.zeros(9), 9)
    assert (same.p, same.estimate().low, same.estimate().high) == (1.0, 0.0, 0.0)


def test_intervals_of_few_seeds_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(800):
        image = random.normal(0, 0.1, (40, 1)) + random.normal(0, 0.1, (40, 3)) + random.normal(0, 0.03, 3)
        other = image.mean(1, keepdims=True) + random.normal(0, 0.1, (40, 3)) + random.normal(0, 0.03, 3)
        weights = random.multinomial(40, np.full(40, 1 / 40), 100) / 40
        draws = weights @ (image - other).mean(axis=1)
        found = measure([image.mean(axis=0), other.mean(axis=0)], draws, 40).estimate()
        held += found.low <= 0 <= found.high  # type: ignore[operator]
    assert 0.93 <= held / 800 <= 0.99


def test_holm_corrects_for_all_that_is_looked_at() -> None:
    assert holm([]) == []
    assert holm([0.02]) == [0.02]
    assert holm([0.5, 0.001, 0.02]) == pytest.approx([0.5, 0.003, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
