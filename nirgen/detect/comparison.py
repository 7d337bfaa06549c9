"""What generated images do to a detector: the arms' numbers, their differences, and whether these exceed the noise.

The rule: test images are drawn anew, and of each arm its seeds, both with replacement and many times; if 95 % of the
differences of the mean AP lie on one side of 0, it is a gain or a loss, else it is within the noise. The images of a
draw are the same for all arms (a paired comparison); the seeds are each arm's own, for two runs of one seed on other
images have little in common. Drawing from S seeds shows (S - 1) / S of their variance only, so deviations from their
mean are stretched to make up for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nirgen.detect.coco_eval import draw, match, numbers_only, official, precisions
from nirgen.detect.runs import PRETRAINED, REAL
from nirgen.stats import Estimate, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Truth
    from nirgen.detect.runs import Arm, Judged


Verdict = Literal["gain", "loss", "noise", "unknown"]


@dataclass(frozen=True)
class OfRun:
    """The numbers of a run, by their names; None where there is nothing to find."""

    seed: int | None
    model_id: str
    values: dict[str, float | None]


@dataclass(frozen=True)
class OfArm:
    """What became of an arm.

    Attributes:
        arm: Which.
        runs: One a seed.
        numbers: Means over seeds, with intervals over images and seeds.
        spread: Standard deviation over seeds, by name; None with one seed.
    """

    arm: Arm
    runs: tuple[OfRun, ...]
    numbers: dict[str, Estimate]
    spread: dict[str, float | None]


@dataclass(frozen=True)
class Difference:
    """What an arm has more than another.

    Attributes:
        arm: Its name.
        minus: The other's.
        numbers: Differences of the means, with intervals of the paired comparison.
    """

    arm: str
    minus: str
    numbers: dict[str, Estimate]

    @property
    def verdict(self) -> Verdict:
        """By the interval of AP."""
        ap = self.numbers["ap"]
        if ap.low is None or ap.high is None:
            return "unknown"
        return "gain" if ap.low > 0 else "loss" if ap.high < 0 else "noise"


@dataclass(frozen=True)
class Comparison:
    """All of it.

    Attributes:
        truth: The real images that runs were judged on.
        config: What was asked for.
        arms: Results, as pretrained first, then by growing share of generated images.
        differences: Of each arm after `pretrained` from it, and of those with generated images from `real`.
        library: What computed the numbers.
    """

    truth: Truth
    config: CompareConfig
    arms: tuple[OfArm, ...]
    differences: tuple[Difference, ...]
    library: str

    def difference(self, arm: str, minus: str) -> Difference:
        """That of two arms."""
        return next(each for each in self.differences if (each.arm, each.minus) == (arm, minus))


@dataclass(frozen=True)
class _Numbers:
    """Of an arm: (S,) values and (R,) draws of their mean, by name."""

    values: dict[str, NDArray[np.float64]]
    draws: dict[str, NDArray[np.float64]]


def sum_up(
    judged: Sequence[Judged],
    truth: Truth,
    config: CompareConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Compute the numbers of all arms and their differences.

    Args:
        judged: All runs, arm by arm.
        truth: What is on the images.
        config: What was asked for.
        progress: Told how many runs are done, of how many.
    """
    drawn = draw(truth.groups(config.bootstrap.draw), config.bootstrap)
    numbers: dict[str, _Numbers] = {}
    arms: dict[str, list[Judged]] = {}
    for each in judged:
        arms.setdefault(each.run.arm.name, []).append(each)
    done, library = 0, ""
    for place, (name, of_arm) in enumerate(arms.items()):
        values, draws = [], []
        for each in of_arm:
            matches = match(truth, each.results) if len(drawn) else numbers_only(truth, each.results)
            values.append(official(matches).numbers(truth.names))
            draws.append(precisions(matches, drawn).numbers(truth.names) if len(drawn) else {})
            done, library = done + 1, matches.library
            progress(done, len(judged))
        random = np.random.default_rng((config.bootstrap.seed, place))
        chosen = random.integers(0, len(of_arm), (len(drawn), len(of_arm)))
        numbers[name] = _Numbers(
            {key: np.concatenate([one[key] for one in values]) for key in values[0]},
            {key: over_seeds(np.stack([one[key] for one in draws]), chosen) for key in draws[0]},
        )
    results = tuple(_of_arm(of_arm, numbers[name]) for name, of_arm in arms.items())
    pairs = [(name, minus) for minus in (PRETRAINED, REAL) for name in list(arms)[list(arms).index(minus) + 1 :]]
    differences = tuple(_difference(name, minus, numbers[name], numbers[minus]) for name, minus in pairs)
    return Comparison(truth, config, results, differences, library)


def over_seeds(draws: NDArray[np.float64], chosen: NDArray[np.integer]) -> NDArray[np.float64]:
    """Means over seeds that are drawn as well, their deviations stretched by sqrt(S / (S - 1)).

    Args:
        draws: (S, R) the number of each seed in each draw of images.
        chosen: (R, S) which seeds each draw has.

    Returns:
        (R,) the mean of each draw.

    Example:
        >>> over_seeds(np.array([[0.0], [1.0]]), np.array([[1, 1]])).round(3).tolist()
        [1.207]
    """
    seeds = len(draws)
    mean: NDArray[np.float64] = draws.mean(axis=0)
    if seeds == 1:
        return mean
    deviation = np.take_along_axis(draws, chosen.T, axis=0).mean(axis=0) - mean
    stretched: NDArray[np.float64] = mean + deviation * np.sqrt(seeds / (seeds - 1))
    return stretched


def _of_arm(judged: Sequence[Judged], numbers: _Numbers) -> OfArm:
    runs = tuple(
        OfRun(each.run.seed, each.model_id, {key: _number(values[place]) for key, values in numbers.values.items()})
        for place, each in enumerate(judged)
    )
    return OfArm(
        judged[0].run.arm,
        runs,
        {
            key: estimate(float(values.mean()), np.clip(_draws(numbers, key), 0, 1))
            for key, values in numbers.values.items()
        },
        {key: _number(values.std(ddof=1)) if len(values) > 1 else None for key, values in numbers.values.items()},
    )


def _difference(arm: str, minus: str, ours: _Numbers, theirs: _Numbers) -> Difference:
    return Difference(
        arm,
        minus,
        {
            key: estimate(float(values.mean() - theirs.values[key].mean()), _difference_draws(ours, theirs, key))
            for key, values in ours.values.items()
        },
    )


def _difference_draws(ours: _Numbers, theirs: _Numbers, key: str) -> NDArray[np.float64]:
    """Draws of a difference; none where neither arm found anything, for there an interval would be 0 to 0."""
    if not (ours.values[key].any() or theirs.values[key].any()):
        return np.empty(0)
    return _draws(ours, key) - _draws(theirs, key)


def _draws(numbers: _Numbers, key: str) -> NDArray[np.float64]:
    return numbers.draws.get(key, np.empty(0))


def _number(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)
