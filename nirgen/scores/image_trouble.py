"""From what was measured of images to realism and trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen.scores.outliers import Ordinary, excess, to_trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Column = NDArray[np.float64]

ORDINARY: Mapping[str, Ordinary] = {
    "structure": Ordinary(centre=-0.63, scale=0.25, worst_centre=-0.31, least_scale=0.1),
    "sharpness": Ordinary(centre=0.02, scale=0.08, worst_centre=0.3, least_scale=0.04),
    "contrast": Ordinary(centre=0.17, scale=0.23, worst_centre=1.0, least_scale=0.06),
    "clipping": Ordinary(centre=-5.3, scale=0.3, worst_centre=-3.5, least_scale=0.3),
    "noise": Ordinary(centre=-0.67, scale=0.3, worst_centre=0.9, least_scale=0.15),
    "banding": Ordinary(centre=-1.2, scale=0.26, worst_centre=0.0, least_scale=0.15),
    "realism": Ordinary(centre=0.4, scale=0.4, worst_centre=1.5, least_scale=0.4),
}
"""On the scale of `_scaled`, high is bad: 154 photographs of real NIR beside RGB."""

FEWEST_REAL = 8
"""Real images without which realism can't be told."""

FARTHEST = 6.0
"""Scales beyond which a statistic counts as this far off."""

_LEAST_SPREAD = 0.05
_SPREAD = 1.4826
"""The standard deviation of a normal distribution beside its median absolute deviation."""


def realism(statistics: NDArray[np.float64], real: NDArray[np.bool_]) -> Column:
    """How far the statistics of images lie from the real ones'.

    Args:
        statistics: (N, S), NaN where an image has none.
        real: (N,), which are real.

    Returns:
        (N,), the root mean square of the distances from the median in robust standard deviations; NaN where an image
        has no statistics, and everywhere if fewer than `FEWEST_REAL` real ones do.
    """
    known = real & np.isfinite(statistics).all(axis=1)
    if np.count_nonzero(known) < FEWEST_REAL:
        return np.full(len(statistics), np.nan)
    centre = np.median(statistics[known], axis=0)
    spread = _SPREAD * np.median(np.abs(statistics[known] - centre), axis=0)
    far = np.minimum(np.abs(statistics - centre) / np.maximum(spread, _LEAST_SPREAD), FARTHEST)
    distances: Column = np.sqrt((far**2).mean(axis=1))
    return distances


def image_trouble(scores: Mapping[str, Column], groups: NDArray[np.int64]) -> Column:
    """How far the scores of images stand out for the bad.

    Args:
        scores: (N,) of each of `ORDINARY`; NaN where there is none.
        groups: (N,), images of one group are compared with each other.

    Returns:
        (N,) in [0, 1], 1 worst; NaN where an image has no scores at all.
    """
    excesses = [excess(_scaled(name, scores[name]), groups, ordinary) for name, ordinary in ORDINARY.items()]
    none = np.all([~np.isfinite(scores[name]) for name in ORDINARY], axis=0)
    return np.where(none, np.nan, to_trouble(excesses))


def _scaled(name: str, values: Column) -> Column:
    """Scores on a scale on which they spread alike, high for bad."""
    if name == "structure":
        return -np.arctanh(np.clip(values, -0.995, 0.995))
    if name in {"sharpness", "contrast"}:
        return -np.log(np.maximum(values, 0.01))
    scaled: Column = np.log(values + _OFFSETS[name])
    return scaled


_OFFSETS: Mapping[str, float] = {"clipping": 0.005, "noise": 0.5, "banding": 0.3, "realism": 0.5}
"""What is added to scores whose best is 0 before the logarithm is taken."""
