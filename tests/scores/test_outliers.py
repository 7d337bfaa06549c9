from __future__ import annotations

import numpy as np
import pytest

from nirgen.scores.outliers import Ordinary, excess, to_trouble

ORDINARY = Ordinary(centre=0.0, scale=1.0, worst_centre=5.0, least_scale=0.1)


def test_many_values_are_their_own_measure() -> None:
    values = np.append(np.random.default_rng(0).normal(3, 0.5, 20_000), [5.0, 1.0])
    found = excess(values, np.zeros(len(values), np.int64), ORDINARY)
    assert found[-2:] == pytest.approx([4, 0], abs=0.1)


def test_few_values_are_drawn_to_what_is_ordinary() -> None:
    # one value weighs 1/21: the centre is 0.19, the scale 0.95
    assert excess(np.array([4.0]), np.zeros(1, np.int64), ORDINARY) == pytest.approx([(4 - 4 / 21) / (20 / 21)])


def test_where_all_is_bad_all_is_in_excess() -> None:
    values = np.full(10_000, 9.0)
    assert excess(values, np.zeros(10_000, np.int64), ORDINARY).min() > 10


def test_groups_are_compared_with_themselves() -> None:
    values, groups = np.repeat([0.0, 4.0], 10_000), np.repeat([0, 1], 10_000)
    assert excess(values, groups, ORDINARY).max() < 0.5


def test_a_missing_value_has_no_excess_and_disturbs_no_other() -> None:
    values = np.array([np.nan, 4.0])
    assert excess(values, np.zeros(2, np.int64), ORDINARY)[0] == 0
    assert excess(values, np.zeros(2, np.int64), ORDINARY)[1] == excess(values[1:], np.zeros(1, np.int64), ORDINARY)[0]


def test_trouble_grows_from_0_to_1() -> None:
    assert to_trouble([np.array([0.0, 4.0, 8.0, 3.0]), np.array([0.0, 0.0, 0.0, np.sqrt(7)])]) == pytest.approx(
        [0, 0.3935, 0.8647, 0.3935], abs=1e-4
    )
