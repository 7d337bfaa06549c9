"""From what was measured of boxes to fidelity, trouble and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen.scores.box_measures import MEASURES
from nirgen.scores.outliers import Ordinary, excess, to_trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nirgen.scores.names import Tag

    Column = NDArray[np.float64]

ORDINARY: Mapping[str, Ordinary] = {
    "agreement": Ordinary(centre=-0.67, scale=0.33, worst_centre=-0.3, least_scale=0.15),
    "polarity": Ordinary(centre=-0.85, scale=0.49, worst_centre=-0.3, least_scale=0.15),
    "energy": Ordinary(centre=0.09, scale=0.32, worst_centre=1.2, least_scale=0.05),
    "detail": Ordinary(centre=0.03, scale=0.12, worst_centre=0.3, least_scale=0.05),
    "contrast": Ordinary(centre=0.1, scale=0.33, worst_centre=1.0, least_scale=0.06),
}
"""Negated, for high is bad here: boxes of real NIR beside RGB, of 154 photographs, two places at random in each."""

WHOLE_AGREEMENT, WHOLE_ENERGY, WHOLE_DETAIL, WHOLE_CONTRAST = 0.6, 0.5, 0.85, 0.5
"""Where fidelity is 1: what half of real NIR has, or more."""

SUSPICIOUS = 0.5
"""Trouble from which on tags are suggested."""

EXTREME = 3.0
"""By how many scales a measure stands out that suggests one."""


def box_fidelity(measures: Mapping[str, Column]) -> Column:
    """How visible in NIR is what RGB shows in a box.

    The product of how far edges agree, and of the worst of their strength, their detail and the contrast, each cut at
    what real NIR has.

    Args:
        measures: (M,) of each of `MEASURES`.

    Returns:
        (M,) in [0, 1].
    """
    agreement = np.clip(measures["agreement"] / WHOLE_AGREEMENT, 0, 1)
    shares = (
        np.exp(measures["energy"]) / WHOLE_ENERGY,
        np.exp(measures["detail"]) / WHOLE_DETAIL,
        np.exp(measures["contrast"]) / WHOLE_CONTRAST,
    )
    fidelity: Column = agreement * np.clip(np.minimum.reduce(shares), 0, 1)
    return fidelity


def box_excesses(measures: Mapping[str, Column], groups: NDArray[np.int64]) -> dict[str, Column]:
    """By how many scales each measure is worse than is ordinary in its group.

    Args:
        measures: (M,) of each of `MEASURES`.
        groups: (M,), boxes of one group are compared with each other.

    Returns:
        (M,) of each, at least 0.
    """
    return {name: excess(-_spread(name, measures[name]), groups, ORDINARY[name]) for name in MEASURES}


def box_trouble(excesses: Mapping[str, Column]) -> Column:
    """(M,) in [0, 1], 1 worst."""
    return to_trouble(list(excesses.values()))


def box_tags(measures: Mapping[str, Column], excesses: Mapping[str, Column]) -> list[tuple[Tag, ...]]:
    """What may be wrong with each box, sorted.

    Args:
        measures: (M,) of each of `MEASURES`.
        excesses: What `box_excesses` says of them.

    Returns:
        M tuples.
    """
    suspicious = box_trouble(excesses) >= SUSPICIOUS
    extreme = {name: suspicious & (values >= EXTREME) for name, values in excesses.items()}
    vanished = suspicious & (measures["agreement"] < np.where(extreme["energy"], 0.5, 0.3))
    smeared = extreme["detail"] & (measures["detail"] < -0.15) & ~vanished
    faint = (extreme["energy"] | extreme["contrast"]) & (measures["contrast"] < -0.7) & ~vanished
    tags: list[tuple[Tag, ...]] = []
    for low_contrast, smear, vanish in zip(faint, smeared, vanished, strict=True):
        found: list[Tag] = []
        if low_contrast:
            found.append("low-contrast")
        if smear:
            found.append("smeared")
        if vanish:
            found.append("vanished")
        tags.append(tuple(found))
    return tags


def _spread(name: str, values: Column) -> Column:
    """Correlations near 1 spread out, as Fisher's transformation does."""
    if name not in {"agreement", "polarity"}:
        return values
    spread: Column = np.arctanh(np.clip(values, -0.995, 0.995))
    return spread
