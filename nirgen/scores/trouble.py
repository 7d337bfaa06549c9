"""Scores and tags by name, and trouble: how far measures stand out for the bad among their like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen.scores.measures import BOX_MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Column = NDArray[np.float64]


Tag = Literal["low-contrast", "smeared", "vanished"]

IMAGE_SCORES: Mapping[str, str] = {
    "trouble": "0..1, 1 worst: how far the scores below stand out for the bad",
    "structure": "-1..1, low is bad: whether edges lie and run as in RGB",
    "sharpness": "0 and more, low is bad: fine detail beside that of RGB",
    "contrast": "0 and more, low is bad: local contrast beside that of RGB",
    "clipping": "0..1, high is bad: share of black and white pixels that RGB doesn't have",
    "noise": "levels, high is bad: noise in flat places that RGB doesn't have",
    "banding": "0 and more, high is bad: steps in whole rows or columns that RGB doesn't have",
    "realism": "0 and more, high is bad: distance of the statistics to the real NIR's of this dataset",
}
"""The scores of an image with their range and their bad end, the most telling first; docs/scores.md has them all."""

BOX_SCORES: Mapping[str, str] = {
    "trouble": "0..1, 1 worst",
    "fidelity": "0..1, 1: what the box promises is as visible in NIR as in RGB",
}
"""The scores of a box, likewise."""

TAGS: Mapping[Tag, str] = {
    "low-contrast": "hardly stands out from its surroundings, and does in RGB",
    "smeared": "blurred: its fine detail is gone",
    "vanished": "what RGB shows in the box isn't there",
}
"""Suggestions for a box, with what they mean."""


@dataclass(frozen=True, slots=True)
class BoxScores:
    """What a box gets.

    Attributes:
        fidelity: In [0, 1], 1: what the box promises is as visible in NIR as in RGB; None if it can't be judged.
        trouble: In [0, 1], 1 worst; None likewise.
        tags: What may be wrong with it, sorted; see `TAGS`.
    """

    fidelity: float | None = None
    trouble: float | None = None
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemScores:
    """What an image and its boxes get.

    Attributes:
        image: By name, in the order of `IMAGE_SCORES`; None where one can't be computed.
        boxes: In the order of the item's boxes.
        note: Why scores are missing that should be there, such as an image that is gone; else empty.
    """

    image: Mapping[str, float | None]
    boxes: tuple[BoxScores, ...]
    note: str = ""


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


IMAGE_ORDINARY: Mapping[str, Ordinary] = {
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
    excesses = [excess(_scaled(name, scores[name]), groups, ordinary) for name, ordinary in IMAGE_ORDINARY.items()]
    none = np.all([~np.isfinite(scores[name]) for name in IMAGE_ORDINARY], axis=0)
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


BOX_ORDINARY: Mapping[str, Ordinary] = {
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
    return {name: excess(-_spread(name, measures[name]), groups, BOX_ORDINARY[name]) for name in BOX_MEASURES}


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
