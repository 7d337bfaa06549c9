"""Names of scores and tags; and trouble, the issue score: how far measures stand out for the bad in their group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen.scores.measures import BOX_MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Column = NDArray[np.float64]


Tag = Literal["low-contrast", "smeared", "vanished"]

# range and bad end of each score, the most telling first
IMAGE_SCORES: Mapping[str, str] = {
    "trouble": "0..1, 1 worst: issue score, the deviation of the scores below to the bad side",
    "structure": "-1..1, low is bad: agreement of edges with RGB",
    "sharpness": "0 and more, low is bad: fine detail relative to RGB",
    "contrast": "0 and more, low is bad: local contrast relative to RGB",
    "clipping": "0..1, high is bad: share of black and white pixels that RGB lacks",
    "noise": "levels, high is bad: noise in flat areas that RGB lacks",
    "banding": "0 and more, high is bad: steps across whole rows or columns that RGB lacks",
    "blots": "0 and more, high is bad: black blots and dark halos that RGB lacks",
    "blocks": "levels, high is bad: steps at the borders of a regular grid that RGB lacks",
    "lift": "levels, high is bad: grey in place of black, relative to RGB",
    "realism": "0 and more, high is bad: distance of the statistics to the real NIR of this dataset",
}

BOX_SCORES: Mapping[str, str] = {
    "trouble": "0..1, 1 worst",
    "fidelity": "0..1, 1: the content of the box is as visible in NIR as in RGB",
}

TAGS: Mapping[Tag, str] = {
    "low-contrast": "low contrast to its surroundings, unlike in RGB",
    "smeared": "blurred: fine detail is lost",
    "vanished": "the content of the box in RGB is missing",
}


@dataclass(frozen=True, slots=True)
class BoxScores:
    """The scores of a box."""

    fidelity: float | None = None  # 0 to 1: detail of RGB in the box that NIR shows as well; None if not measured
    trouble: float | None = None  # 0 to 1, 1 worst
    tags: tuple[Tag, ...] = ()  # suggested, sorted


@dataclass(frozen=True, slots=True)
class ItemScores:
    """The scores of an image and its boxes."""

    image: Mapping[str, float | None]  # in the order of `IMAGE_SCORES`
    boxes: tuple[BoxScores, ...]  # in the order of the item's
    note: str = ""  # why scores are missing, such as an image that is gone


FEWEST = 20  # values that weigh as much as the ordinary of elsewhere
UPPER = 0.8413  # share of a normal distribution below mean + standard deviation
ALARMING = 4.0  # excess with a trouble of 0.39; it is 0.04 at 1, and 0.86 at 8


@dataclass(frozen=True, slots=True)
class Ordinary:
    """The distribution of a measure in sound images; high is bad."""

    centre: float  # median
    scale: float  # distance from there to the worst sixth
    worst_centre: float  # upper limit of a group's centre, so that a group in which all is bad has trouble
    least_scale: float  # lower limit of a group's scale, so that a group in which all is the same has none


def excess(values: Column, groups: NDArray[np.int64], ordinary: Ordinary) -> Column:
    """Return by how many scales values are worse than the centre of their group.

    Centre and scale are the group's median, and its distance to the worst sixth; the fewer values it has, the more
    they are drawn to `ordinary`, the measure's distribution elsewhere.

    Args:
        values: (M,), high is bad; NaN if missing.
        groups: (M,).
        ordinary: Distribution of the measure elsewhere.

    Returns:
        (M,), at least 0; 0 for missing values.
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


def to_trouble(excesses: Iterable[Column]) -> Column:
    """Join the excesses of several measures, (M,) each: `1 - exp(-s / (2 * ALARMING**2))`, s the sum of squares."""
    squares = np.sum([each**2 for each in excesses], axis=0)
    trouble: Column = 1 - np.exp(-squares / (2 * ALARMING**2))
    return trouble


# of 154 photographs of real NIR with RGB, on the scale of `_scaled`
IMAGE_ORDINARY: Mapping[str, Ordinary] = {
    "structure": Ordinary(centre=-0.63, scale=0.25, worst_centre=-0.31, least_scale=0.1),
    "sharpness": Ordinary(centre=0.02, scale=0.08, worst_centre=0.3, least_scale=0.04),
    "contrast": Ordinary(centre=0.17, scale=0.23, worst_centre=1.0, least_scale=0.06),
    "clipping": Ordinary(centre=-5.3, scale=0.3, worst_centre=-3.5, least_scale=0.3),
    "noise": Ordinary(centre=-0.67, scale=0.3, worst_centre=0.9, least_scale=0.15),
    "banding": Ordinary(centre=-1.2, scale=0.26, worst_centre=0.0, least_scale=0.15),
    "blots": Ordinary(centre=-0.69, scale=0.23, worst_centre=-0.1, least_scale=0.15),
    "blocks": Ordinary(centre=-1.2, scale=0.3, worst_centre=-0.22, least_scale=0.3),
    "lift": Ordinary(centre=19.0, scale=8.0, worst_centre=50.0, least_scale=5.0),  # scale of translated frames
    "realism": Ordinary(centre=0.4, scale=0.4, worst_centre=1.5, least_scale=0.4),
}

FEWEST_REAL = 8  # real images that realism needs
FARTHEST = 6.0  # upper limit of a statistic's distance, in scales

_LEAST_SPREAD = 0.05
_SPREAD = 1.4826  # standard deviation of a normal distribution by its median absolute deviation


def realism(statistics: NDArray[np.float64], real: NDArray[np.bool_]) -> Column:
    """Return the distance of the statistics of images, (N, S) with NaN for missing ones, from those of the `real` ones.

    Returns:
        (N,), root mean square of the distances from the median, in robust standard deviations; NaN without statistics,
        and everywhere if fewer than `FEWEST_REAL` real images have some.
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
    """Return the trouble of images, each compared with its group: (N,) in [0, 1]; NaN for an image without scores.

    `scores` are (N,) of each of `IMAGE_ORDINARY`, NaN if missing.
    """
    none = np.all([~np.isfinite(scores[name]) for name in IMAGE_ORDINARY], axis=0)
    return np.where(none, np.nan, to_trouble(image_excesses(scores, groups).values()))


def image_excesses(scores: Mapping[str, Column], groups: NDArray[np.int64]) -> dict[str, Column]:
    """Return the `excess` of each of `IMAGE_ORDINARY`, (N,) each; arguments as `image_trouble`."""
    return {name: excess(_scaled(name, scores[name]), groups, ordinary) for name, ordinary in IMAGE_ORDINARY.items()}


def _scaled(name: str, values: Column) -> Column:
    """Transform scores so that they spread alike, high for bad."""
    if name == "structure":
        return -np.arctanh(np.clip(values, -0.995, 0.995))
    if name in {"sharpness", "contrast"}:
        return -np.log(np.maximum(values, 0.01))
    if name == "lift":
        return values
    offsets = {
        "clipping": 0.005,
        "noise": 0.5,
        "banding": 0.3,
        "blots": 0.2,
        "blocks": 0.2,
        "realism": 0.5,
    }  # of scores that may be 0
    scaled: Column = np.log(values + offsets[name])
    return scaled


# of boxes in 154 photographs of real NIR with RGB, two random places each; negated, so that high is bad
BOX_ORDINARY: Mapping[str, Ordinary] = {
    "agreement": Ordinary(centre=-0.67, scale=0.33, worst_centre=-0.3, least_scale=0.15),
    "polarity": Ordinary(centre=-0.85, scale=0.49, worst_centre=-0.3, least_scale=0.15),
    "energy": Ordinary(centre=0.09, scale=0.32, worst_centre=1.2, least_scale=0.05),
    "detail": Ordinary(centre=0.03, scale=0.12, worst_centre=0.3, least_scale=0.05),
    "contrast": Ordinary(centre=0.1, scale=0.33, worst_centre=1.0, least_scale=0.06),
}

# fidelity is 1 from here on: medians of real NIR
WHOLE_AGREEMENT, WHOLE_ENERGY, WHOLE_DETAIL, WHOLE_CONTRAST = 0.6, 0.5, 0.85, 0.5
SUSPICIOUS = 0.5  # least trouble of a box with tags
EXTREME = 3.0  # least excess of a measure that suggests a tag


def box_fidelity(measures: Mapping[str, Column]) -> Column:
    """Return how visible in NIR the detail of RGB in a box is: (M,) in [0, 1], of (M,) of each of `BOX_MEASURES`.

    It is the agreement of edges times the worst of their strength, their detail and the contrast, each relative to
    real NIR and at most 1.
    """
    agreement = np.clip(measures["agreement"] / WHOLE_AGREEMENT, 0, 1)
    whole = {"energy": WHOLE_ENERGY, "detail": WHOLE_DETAIL, "contrast": WHOLE_CONTRAST}
    worst = np.minimum.reduce([np.exp(measures[name]) / value for name, value in whole.items()])
    fidelity: Column = agreement * np.clip(worst, 0, 1)
    return fidelity


def box_excesses(measures: Mapping[str, Column], groups: NDArray[np.int64]) -> dict[str, Column]:
    """Return the `excess` of each of `BOX_MEASURES`, (M,) each; boxes of one group are compared with each other."""
    low = {name: -measures[name] for name in BOX_MEASURES}
    for name in ("agreement", "polarity"):  # Fisher's transformation of correlations
        low[name] = -np.arctanh(np.clip(measures[name], -0.995, 0.995))
    return {name: excess(values, groups, BOX_ORDINARY[name]) for name, values in low.items()}


def box_tags(measures: Mapping[str, Column], excesses: Mapping[str, Column]) -> list[tuple[Tag, ...]]:
    """Return the tags of each of M boxes, sorted, from their measures and `box_excesses`."""
    suspicious = to_trouble(excesses.values()) >= SUSPICIOUS
    extreme = {name: suspicious & (values >= EXTREME) for name, values in excesses.items()}
    vanished = suspicious & (measures["agreement"] < np.where(extreme["energy"], 0.5, 0.3))
    smeared = extreme["detail"] & (measures["detail"] < -0.15) & ~vanished
    faint = (extreme["energy"] | extreme["contrast"]) & (measures["contrast"] < -0.7) & ~vanished
    masks: dict[Tag, NDArray[np.bool_]] = {"low-contrast": faint, "smeared": smeared, "vanished": vanished}
    return [tuple(tag for tag, mask in masks.items() if mask[box]) for box in range(len(suspicious))]
