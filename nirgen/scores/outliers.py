"""How far values stand out for the bad among their like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Column = NDArray[np.float64]

FEWEST = 20
"""Values that weigh as much as what is ordinary elsewhere."""

UPPER = 0.8413
"""The share of a normal distribution below its mean and one standard deviation."""

ALARMING = 4.0
"""Excess at which trouble is 0.39; it is 0.04 at 1, and 0.86 at 8."""


@dataclass(frozen=True, slots=True)
class Ordinary:
    """What a measure is where nothing is wrong; high is bad.

    Attributes:
        centre: Its median.
        scale: From there to where a sixth is worse.
        worst_centre: The centre of a group lies here at most, so that a group in which all is bad has trouble.
        least_scale: The scale of a group is this at least, so that a group in which all is the same has none.
    """

    centre: float
    scale: float
    worst_centre: float
    least_scale: float


def excess(values: Column, groups: NDArray[np.int64], ordinary: Ordinary) -> Column:
    """By how many scales values are worse than is ordinary in their group.

    Centre and scale are the group's own median, and its distance to where a sixth is worse; the fewer values it has,
    the more they are drawn to what is ordinary elsewhere.

    Args:
        values: (M,), high is bad; NaN where there is none.
        groups: (M,).
        ordinary: What the measure is elsewhere.

    Returns:
        (M,), at least 0; 0 where there is no value.
    """
    found = np.zeros(len(values))
    for group in np.unique(groups):
        member = (groups == group) & np.isfinite(values)
        if not member.any():
            continue
        own = values[member]
        trust = len(own) / (len(own) + FEWEST)
        median, upper = np.quantile(own, (0.5, UPPER))
        centre = min(trust * median + (1 - trust) * ordinary.centre, ordinary.worst_centre)
        scale = max(trust * (upper - median) + (1 - trust) * ordinary.scale, ordinary.least_scale)
        found[member] = np.maximum((own - centre) / scale, 0)
    return found


def to_trouble(excesses: Sequence[Column]) -> Column:
    """Join the excesses of several measures.

    Args:
        excesses: (M,) each.

    Returns:
        (M,) in [0, 1]: `1 - exp(-s / (2 * ALARMING**2))`, s being the sum of their squares.
    """
    squares = np.sum([each**2 for each in excesses], axis=0)
    trouble: Column = 1 - np.exp(-squares / (2 * ALARMING**2))
    return trouble
