from __future__ import annotations

import numpy as np
import pytest

from nirgen.detect.bootstrap import BootstrapConfig, Estimate, draw, estimate


def test_a_draw_has_as_many_images_as_there_are() -> None:
    drawn = draw(list("abcdefg"), BootstrapConfig(resamples=600))
    assert drawn.shape == (600, 7)
    assert set(drawn.sum(axis=1).tolist()) == {7}
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)


def test_recordings_are_drawn_as_a_whole() -> None:
    drawn = draw(["s1", "s2", "s1", "s3"], BootstrapConfig(resamples=100))
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_seed_gives_the_same_draws_and_another_seed_others() -> None:
    first, same, other = (draw(list("abcdef"), BootstrapConfig(resamples=50, seed=seed)) for seed in (1, 1, 2))
    assert (first == same).all()
    assert (first != other).any()


def test_fewer_draws_are_the_first_ones_of_more() -> None:
    few, many = (draw(list("abcdef"), BootstrapConfig(resamples=count)) for count in (300, 700))
    assert (few == many[:300]).all()


def test_one_image_alone_gives_no_interval() -> None:
    drawn = draw(["a"], BootstrapConfig())
    assert drawn.shape == (0, 1)
    assert estimate(0.5, np.empty(0)) == Estimate(0.5, None, None)


def test_draws_that_have_nothing_to_find_are_left_out() -> None:
    assert estimate(0.5, np.array([np.nan, 0.25, np.nan, 0.75])) == Estimate(0.5, 0.25, 0.75)


def test_a_number_of_nothing_to_find_is_none_in_a_file() -> None:
    assert estimate(float("nan"), np.array([np.nan])).as_dict() == {"value": None, "low": None, "high": None}


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    drawn = draw([str(number) for number in range(400)], BootstrapConfig(resamples=4000))
    found = estimate(float(values.mean()), drawn @ values / 400)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
