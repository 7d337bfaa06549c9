from __future__ import annotations

import numpy as np
import pytest

from nirgen.scores.image_trouble import FEWEST_REAL, ORDINARY, image_trouble, realism

SOUND = {"structure": 0.9, "sharpness": 0.95, "contrast": 0.65, "clipping": 0.0, "noise": 0.1, "banding": 0.0}


def columns(**faulty: float) -> dict[str, np.ndarray]:
    values = {name: np.full(201, value) for name, value in SOUND.items()} | {"realism": np.full(201, np.nan)}
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
    ],
)
def test_each_score_makes_trouble_alone(faulty) -> None:
    trouble = image_trouble(columns(**faulty), np.zeros(201, np.int64))
    assert trouble[-1] > 0.4
    assert trouble[:-1].max() < 0.05


@pytest.mark.parametrize("better", [{"structure": 0.99}, {"sharpness": 1.3}, {"contrast": 1.2}, {"noise": 0.0}])
def test_what_is_better_than_others_is_no_trouble(better) -> None:
    assert image_trouble(columns(**better), np.zeros(201, np.int64))[-1] < 0.05


def test_an_image_without_any_score_has_no_trouble_that_is_known() -> None:
    values = {name: np.array([np.nan]) for name in ORDINARY}
    assert np.isnan(image_trouble(values, np.zeros(1, np.int64))).all()


def test_realism_is_the_distance_from_the_middle_of_the_real_images() -> None:
    statistics = np.array([[float(n), 5.0] for n in range(9)] + [[4.0, 5.0], [4.0 + 2 * 1.4826 * 2, 5.0], [99.0, 5.0]])
    real = np.arange(12) < 9
    # median 4, median deviation 2; the second statistic is the same in all; far off counts as 6
    assert realism(statistics, real)[-3:] == pytest.approx([0, np.sqrt(4 / 2), np.sqrt(36 / 2)])


def test_too_few_real_images_say_nothing_of_realism() -> None:
    real = np.arange(20) < FEWEST_REAL - 1
    assert np.isnan(realism(np.random.default_rng(0).normal(size=(20, 3)), real)).all()
