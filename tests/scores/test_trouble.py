from __future__ import annotations

import numpy as np
import pytest

from nirgen.scores.trouble import (
    FEWEST_REAL,
    IMAGE_ORDINARY,
    Ordinary,
    box_excesses,
    box_fidelity,
    box_tags,
    excess,
    image_trouble,
    realism,
    to_trouble,
)

SAMPLE_ORDINARY = Ordinary(centre=0.0, scale=1.0, worst_centre=5.0, least_scale=0.1)


def test_many_values_are_their_own_measure() -> None:
    values = np.append(np.random.default_rng(0).normal(3, 0.5, 20_000), [5.0, 1.0])
    found = excess(values, np.zeros(len(values), np.int64), SAMPLE_ORDINARY)
    assert found[-2:] == pytest.approx([4, 0], abs=0.1)


def test_few_values_are_drawn_to_what_is_ordinary() -> None:
    # one value weighs 1/21: the centre is 0.19, the scale 0.95
    assert excess(np.array([4.0]), np.zeros(1, np.int64), SAMPLE_ORDINARY) == pytest.approx([(4 - 4 / 21) / (20 / 21)])


def test_where_all_is_bad_all_is_in_excess() -> None:
    values = np.full(10_000, 9.0)
    assert excess(values, np.zeros(10_000, np.int64), SAMPLE_ORDINARY).min() > 10


def test_groups_are_compared_with_themselves() -> None:
    values, groups = np.repeat([0.0, 4.0], 10_000), np.repeat([0, 1], 10_000)
    assert excess(values, groups, SAMPLE_ORDINARY).max() < 0.5


def test_a_missing_value_has_no_excess_and_disturbs_no_other() -> None:
    values = np.array([np.nan, 4.0])
    assert excess(values, np.zeros(2, np.int64), SAMPLE_ORDINARY)[0] == 0
    assert (
        excess(values, np.zeros(2, np.int64), SAMPLE_ORDINARY)[1]
        == excess(values[1:], np.zeros(1, np.int64), SAMPLE_ORDINARY)[0]
    )


def test_trouble_grows_from_0_to_1() -> None:
    assert to_trouble([np.array([0.0, 4.0, 8.0, 3.0]), np.array([0.0, 0.0, 0.0, np.sqrt(7)])]) == pytest.approx(
        [0, 0.3935, 0.8647, 0.3935], abs=1e-4
    )


SOUND_IMAGE = {"structure": 0.9, "sharpness": 0.95, "contrast": 0.65, "clipping": 0.0, "noise": 0.1, "banding": 0.0}
SOUND_IMAGE |= {"blots": 0.2, "blocks": 0.0, "lift": 20.0}


def image_columns(**faulty: float) -> dict[str, np.ndarray]:
    values = {name: np.full(201, value) for name, value in SOUND_IMAGE.items()} | {"realism": np.full(201, np.nan)}
    for name, value in faulty.items():
        values[name][-1] = value
    return values


@pytest.mark.parametrize(
    "faulty",
    [
        {"structure": 0.4},
        {"sharpness": 0.7},
        {"contrast": 0.25},
        {"clipping": 0.1},
        {"noise": 4.0},
        {"banding": 0.6},
        {"blots": 0.8},
        {"blocks": 1.0},
        {"lift": 50.0},
    ],
)
def test_each_score_makes_trouble_alone(faulty) -> None:
    trouble = image_trouble(image_columns(**faulty), np.zeros(201, np.int64))
    assert trouble[-1] > 0.4
    assert trouble[:-1].max() < 0.05


@pytest.mark.parametrize("better", [{"structure": 0.99}, {"sharpness": 1.3}, {"contrast": 1.2}, {"noise": 0.0}])
def test_what_is_better_than_others_is_no_trouble(better) -> None:
    assert image_trouble(image_columns(**better), np.zeros(201, np.int64))[-1] < 0.05


def test_an_image_without_any_score_has_no_trouble_that_is_known() -> None:
    values = {name: np.array([np.nan]) for name in IMAGE_ORDINARY}
    assert np.isnan(image_trouble(values, np.zeros(1, np.int64))).all()


def test_realism_is_the_distance_from_the_middle_of_the_real_images() -> None:
    statistics = np.array([[float(n), 5.0] for n in range(9)] + [[4.0, 5.0], [4.0 + 2 * 1.4826 * 2, 5.0], [99.0, 5.0]])
    real = np.arange(12) < 9
    # median 4, median deviation 2; the second statistic is the same in all; far off counts as 6
    assert realism(statistics, real)[-3:] == pytest.approx([0, np.sqrt(4 / 2), np.sqrt(36 / 2)])


def test_too_few_real_images_say_nothing_of_realism() -> None:
    real = np.arange(20) < FEWEST_REAL - 1
    assert np.isnan(realism(np.random.default_rng(0).normal(size=(20, 3)), real)).all()


SOUND_BOX = {"agreement": 0.95, "polarity": 0.97, "energy": -0.5, "detail": -0.03, "contrast": -0.45}


def box_columns(**faulty: float) -> dict[str, np.ndarray]:
    """A thousand sound boxes that differ a little, and behind them one with a fault."""
    rng = np.random.default_rng(0)
    return {
        name: np.append(value + rng.normal(0, 0.01, 1000), faulty.get(name, value)) for name, value in SOUND_BOX.items()
    }


@pytest.mark.parametrize(
    ("faulty", "tags"),
    [
        ({}, ()),
        ({"detail": -0.4, "energy": -0.8}, ("smeared",)),
        ({"energy": -1.5, "contrast": -1.3}, ("low-contrast",)),
        ({"energy": -1.5, "contrast": -1.3, "detail": -0.4}, ("low-contrast", "smeared")),
        ({"agreement": 0.4, "polarity": 0.4, "energy": -1.5, "contrast": -1.3}, ("vanished",)),
        ({"agreement": 0.1, "polarity": 0.1}, ("vanished",)),
        ({"polarity": -0.6}, ()),
    ],
)
def test_tags_say_what_may_be_wrong(faulty, tags) -> None:
    measures = box_columns(**faulty)
    excesses = box_excesses(measures, np.zeros(1001, np.int64))
    assert box_tags(measures, excesses)[-1] == tags
    trouble = to_trouble(excesses.values())
    assert (trouble[-1] > 0.5) == bool(faulty)
    assert np.median(trouble) < 0.1


def test_fidelity_is_whole_where_real_nir_is_no_better() -> None:
    measures = {name: np.array([value]) for name, value in SOUND_BOX.items()}
    assert box_fidelity(measures) == pytest.approx([1])


def test_fidelity_is_agreement_times_the_worst_of_the_others() -> None:
    measures = {"agreement": 0.3, "polarity": 0.3, "energy": np.log(0.1), "detail": 0.0, "contrast": np.log(0.25)}
    assert box_fidelity({name: np.array([value]) for name, value in measures.items()}) == pytest.approx([0.5 * 0.2])


def test_fidelity_is_never_negative() -> None:
    measures = {name: np.array([-1.0]) for name in SOUND_BOX}
    assert box_fidelity(measures) == pytest.approx([0])
