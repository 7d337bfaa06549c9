from __future__ import annotations

import numpy as np
import pytest

from nirgen.scores.box_trouble import box_excesses, box_fidelity, box_tags, box_trouble

SOUND = {"agreement": 0.95, "polarity": 0.97, "energy": -0.5, "detail": -0.03, "contrast": -0.45}


def columns(**faulty: float) -> dict[str, np.ndarray]:
    """A thousand sound boxes that differ a little, and behind them one with a fault."""
    rng = np.random.default_rng(0)
    return {
        name: np.append(value + rng.normal(0, 0.01, 1000), faulty.get(name, value)) for name, value in SOUND.items()
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
    measures = columns(**faulty)
    excesses = box_excesses(measures, np.zeros(1001, np.int64))
    assert box_tags(measures, excesses)[-1] == tags
    trouble = box_trouble(excesses)
    assert (trouble[-1] > 0.5) == bool(faulty)
    assert np.median(trouble) < 0.1


def test_fidelity_is_whole_where_real_nir_is_no_better() -> None:
    measures = {name: np.array([value]) for name, value in SOUND.items()}
    assert box_fidelity(measures) == pytest.approx([1])


def test_fidelity_is_agreement_times_the_worst_of_the_others() -> None:
    measures = {"agreement": 0.3, "polarity": 0.3, "energy": np.log(0.1), "detail": 0.0, "contrast": np.log(0.25)}
    assert box_fidelity({name: np.array([value]) for name, value in measures.items()}) == pytest.approx([0.5 * 0.2])


def test_fidelity_is_never_negative() -> None:
    measures = {name: np.array([-1.0]) for name in SOUND}
    assert box_fidelity(measures) == pytest.approx([0])
