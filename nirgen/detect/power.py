"""The smallest gain that a test set could show, known before any training.

The paired difference of a class's AP over n objects is taken to vary by `SPREAD` / √n, as between detectors of which
each finds what the other misses on a fifth of the objects; objects of one image vary together by `ALIKE` (Kish, "Survey
Sampling", 1965: n objects are worth n / (1 + (m - 1) ALIKE), where m is the mean number of objects beside an object).
Chance in training adds `OF_SEED`. These are guesses: afterwards the answer is of measured noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from nirgen.detect.comparison import SIZES, groups_with_objects
from nirgen.detect.data import describe_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.detect.arms import ComparisonPlan
    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Split


SPREAD, ALIKE, OF_SEED = 0.45, 0.2, 0.012
POWER = 0.8  # share of the comparisons in which such a gain is found
ALPHA = 0.05  # share of the comparisons with a false alarm
FEWEST_OBJECTS, FEWEST_GROUPS = 20, 10  # of a class or size that is judged


@dataclass(frozen=True, slots=True)
class Power:
    """Gain that the objects of a class, of a size or of all could show."""

    objects: int
    gain: float  # smallest gain of AP that is found with the power of 80 %
    needed: int | None  # objects that could show the gain that matters; None if only more seeds could
    seeds: int  # that leave half of the noise which the gain that matters bears to the choice of images


def judged_keys(split: Split, by: str) -> list[str]:
    """Return the names of the numbers that have enough objects to be judged: `ap`, then classes, then sizes."""
    groups = groups_with_objects(split, by)
    names = ["ap", *(f"ap/{name}" for name in split.names), *SIZES]
    return [
        name
        for name in names
        if name == "ap" or (sum(groups[name].values()) >= FEWEST_OBJECTS and len(groups[name]) >= FEWEST_GROUPS)
    ]


def foresee(split: Split, config: CompareConfig, tests: int) -> dict[str, Power]:
    """Return what a test set could show, of `ap` and of each class, if one looks at so many numbers."""
    groups = groups_with_objects(split, config.bootstrap.draw)
    classes = [f"ap/{name}" for name in split.names if groups[f"ap/{name}"]]
    variances = {name: _variance(groups[name]) for name in classes}
    if not classes:
        return {}
    variances = {"ap": sum(variances.values()) / len(classes) ** 2} | variances
    chance = 2 * OF_SEED**2 / len(config.seeds)
    sure = float(special.ndtri(1 - ALPHA / 2 / max(1, tests)) + special.ndtri(POWER))
    found = {}
    for name, variance in variances.items():
        objects = sum(groups[name].values())
        room = (config.gain / sure) ** 2 - chance
        needed = ceil(objects * variance / room) if room > 0 else None
        seeds = ceil(4 * (OF_SEED * sure / config.gain) ** 2)
        found[name] = Power(objects, sure * sqrt(variance + chance), needed, seeds)
    return found


def forewarn(plan: ComparisonPlan) -> list[str]:
    """Return what to tell before any training: arms that can't be made, the boxes, and what the test could show."""
    mixes = sum(arm.advisable for arm in plan.arms)
    looks = len(judged_keys(plan.test, plan.config.bootstrap.draw)) + mixes - 1
    return [*plan.skipped, describe_boxes(plan.train), *lines(foresee(plan.test, plan.config, looks), plan.config.gain)]


def lines(powers: Mapping[str, Power], gain: float) -> list[str]:
    """Return what to tell before the training; `gain` is the one that matters."""
    if not powers:
        return ["the test images have no objects, so they can show no gain"]
    each = [
        f"{name.removeprefix('ap/') if name != 'ap' else 'mAP'} {power.gain:.3f}"
        + (f" ({power.objects:,} box{'es' * (power.objects != 1)})" if name != "ap" else "")
        for name, power in powers.items()
    ]
    told = [f"smallest gain of AP that these test images could show, about: {', '.join(each)}"]
    small = {name.removeprefix("ap/"): power for name, power in powers.items() if name != "ap" and power.gain > gain}
    if small:
        wants = [f"{name} about {rounded(power.needed):,} boxes" for name, power in small.items() if power.needed]
        if len(wants) < len(small):
            wants = [f"about {max(power.seeds for power in small.values())} seeds first"]
        told.append(f"a gain of {gain:g} in one class would likely go unseen; it takes: {', '.join(wants)}")
    return told


def _variance(groups: Mapping[str, int]) -> float:
    counts = np.array(list(groups.values()), float)
    objects = counts.sum()
    beside = (counts**2).sum() / objects
    return float(SPREAD**2 / objects * (1 + (beside - 1) * ALIKE))


def rounded(count: float) -> int:
    """Return a number with two digits.

    Example:
        >>> rounded(1234.5), rounded(7)
        (1200, 7)
    """
    digits = len(str(int(count))) - 2
    return round(int(count), -digits) if digits > 0 else int(count)
