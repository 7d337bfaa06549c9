from __future__ import annotations

import numpy as np
import pytest

from nirgen.stats import Estimate, differences, draw_images, estimate, estimate_means


def intervals(values: np.ndarray, groups: list[str], resamples: int) -> np.ndarray:
    """(2, columns): the lower and the upper ends."""
    found = estimate_means(values, groups, resamples=resamples)
    return np.array([[each.low for each in found], [each.high for each in found]], float)


def test_the_interval_of_two_values_spans_from_one_to_the_other() -> None:
    found = intervals(np.array([[10.0], [20.0]]), ["a", "b"], resamples=1000)
    assert found.tolist() == [[10], [20]]


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(0).normal(50, 10, size=(400, 1))
    found = intervals(values, [str(number) for number in range(400)], resamples=4000)
    assert found[:, 0] - values.mean() == pytest.approx([-0.98, 0.98], abs=0.08)  # 1.96 * 10 / sqrt(400)


def test_images_of_one_sequence_are_drawn_together() -> None:
    # Ten images, but only two different scenes: the interval is that of two values.
    values = np.repeat([[10.0], [20.0]], 5, axis=0)
    by_sequence = intervals(values, ["a"] * 5 + ["b"] * 5, resamples=1000)
    by_image = intervals(values, list("abcdefghij"), resamples=1000)
    assert by_sequence.tolist() == [[10], [20]]
    assert 11 < by_image[0, 0] < by_image[1, 0] < 19


def test_sequences_of_unequal_length_are_weighed_by_their_images() -> None:
    # Means of the draws are 0 (a, a), 1 (b, b), and 1/4 (a with its three images, b with its one).
    values = np.array([[0.0], [0.0], [0.0], [1.0]])
    found = intervals(values, ["a", "a", "a", "b"], resamples=1000)
    assert found.tolist() == [[0], [1]]


def test_differences_are_drawn_in_pairs() -> None:
    # The images differ wildly and the methods by 1 everywhere, so that their difference doesn't vary at all.
    first = np.array([10.0, 90.0, 30.0, 70.0])
    second = first - 1
    table = np.stack([first, second, differences(first, second)], axis=1)
    found = intervals(table, list("abcd"), resamples=1000)
    assert found[0, 0] < found[1, 1]
    assert found[:, 2].tolist() == [1, 1]


def test_the_same_seed_gives_the_same_interval_whatever_the_other_columns() -> None:
    values = np.random.default_rng(0).normal(size=(20, 3))
    groups = [str(number) for number in range(20)]
    whole, part = intervals(values, groups, resamples=500), intervals(values[:, :1], groups, resamples=500)
    np.testing.assert_allclose(whole[:, :1], part)


def test_one_group_has_no_interval() -> None:
    assert estimate_means(np.array([[1.0], [2.0]]), ["a", "a"], resamples=100) == [Estimate(1.5)]


def test_the_psnr_of_equal_images_is_infinite_and_stays_so() -> None:
    found = intervals(np.array([[np.inf], [20.0]]), ["a", "b"], resamples=1000)
    assert found.tolist() == [[20], [np.inf]]
    assert differences(np.array([np.inf, 5, 5]), np.array([np.inf, np.inf, 2])).tolist() == [0, -np.inf, 3]


def test_a_draw_has_as_many_images_as_there_are() -> None:
    drawn = draw_images(list("abcdefg"), resamples=600)
    assert drawn.shape == (600, 7)
    assert set(drawn.sum(axis=1).tolist()) == {7}
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)


def test_recordings_are_drawn_as_a_whole() -> None:
    drawn = draw_images(["s1", "s2", "s1", "s3"], resamples=100)
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_seed_gives_the_same_draws_and_another_seed_others() -> None:
    first, same, other = (draw_images(list("abcdef"), resamples=50, seed=seed) for seed in (1, 1, 2))
    assert (first == same).all()
    assert (first != other).any()


def test_fewer_draws_are_the_first_ones_of_more() -> None:
    few, many = (draw_images(list("abcdef"), resamples=count) for count in (300, 700))
    assert (few == many[:300]).all()


def test_one_image_alone_gives_no_interval() -> None:
    drawn = draw_images(["a"], resamples=1000)
    assert drawn.shape == (0, 1)
    assert estimate(0.5, np.empty(0)) == Estimate(0.5, None, None)


def test_draws_that_have_nothing_to_find_are_left_out() -> None:
    assert estimate(0.5, np.array([np.nan, 0.25, np.nan, 0.75])) == Estimate(0.5, 0.25, 0.75)


def test_a_number_of_nothing_to_find_is_none_in_a_file() -> None:
    assert estimate(float("nan"), np.array([np.nan])).as_dict() == {"value": None, "low": None, "high": None}


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    drawn = draw_images([str(number) for number in range(400)], resamples=4000)
    found = estimate(float(values.mean()), drawn @ values / 400)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
