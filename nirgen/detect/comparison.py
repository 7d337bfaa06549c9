"""The effect of generated images on a detector: numbers of the training sets (arms), and their differences.

The rule: test images are drawn anew and, for each arm, its seeds, both with replacement and many times; if 95 % of the
differences of the mean AP lie on one side of 0, it is a gain or a loss, else it is within the noise. All arms share the
images of a draw (a paired comparison); the seeds are each arm's own, since two runs of one seed on other images have
little in common. Draws from S seeds have (S - 1) / S of their variance, so deviations from their mean are stretched to
make up for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nirgen.detect.coco_eval import match, official, precisions
from nirgen.detect.config import NOTHING_LEARNT
from nirgen.detect.evaluation import read_results
from nirgen.stats import Estimate, draw_images, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.detect.arms import Arm, Run
    from nirgen.detect.coco_eval import Result
    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Split


Verdict = Literal["gain", "loss", "noise", "unknown"]


@dataclass(frozen=True)
class Judged:
    """A finished run."""

    run: Run
    model_id: str
    detections: Path  # file of its detections on the test images

    def read(self, split: Split) -> list[Result]:
        """Read its detections on the test images: of many runs, memory holds those of one at a time."""
        return read_results(self.detections, split)[0]


@dataclass(frozen=True)
class OfArm:
    """The numbers of an arm, by name."""

    arm: Arm
    runs: tuple[Judged, ...]  # one a seed
    values: dict[str, NDArray[np.float64]]  # (S,), of each run; NaN if undefined
    draws: dict[str, NDArray[np.float64]]  # (R,), means over seeds in each draw
    precision: NDArray[np.float64]  # (K, 101) of each class at the overlap 0.5, mean over seeds; NaN without objects

    @cached_property
    def numbers(self) -> dict[str, Estimate]:
        """The means over seeds, with intervals over images and seeds."""
        draws = self.draws
        return {key: estimate(float(each.mean()), np.clip(draws[key], 0, 1)) for key, each in self.values.items()}

    @property
    def spread(self) -> dict[str, float | None]:
        """The standard deviations over seeds; None with one seed."""
        several = len(self.runs) > 1
        return {key: as_number(each.std(ddof=1)) if several else None for key, each in self.values.items()}

    def minus(self, other: OfArm, *, learnt: bool) -> Difference:
        """Return the differences of the means, with intervals of the paired comparison; see `Difference`."""
        numbers = {}
        for key, values in self.values.items():
            draws = self.draws[key] - other.draws[key]
            if not (values.any() or other.values[key].any()):
                draws = np.empty(0)  # neither arm found anything: an interval would be 0 to 0
            numbers[key] = estimate(float(values.mean() - other.values[key].mean()), draws)
        return Difference(self.arm.name, other.arm.name, numbers, learnt)


@dataclass(frozen=True)
class Difference:
    """The numbers of an arm minus those of another."""

    arm: str
    minus: str
    numbers: dict[str, Estimate]  # differences of the means, with intervals of the paired comparison
    learnt: bool  # an arm of the comparison, not necessarily of these, has learnt something

    @property
    def verdict(self) -> Verdict:
        """The verdict on AP, by its interval; unknown where nothing was learnt: differences are those of chance."""
        ap = self.numbers["ap"]
        if not self.learnt or ap.low is None or ap.high is None:
            return "unknown"
        return "gain" if ap.low > 0 else "loss" if ap.high < 0 else "noise"


@dataclass(frozen=True)
class Comparison:
    """The numbers of all arms and their differences."""

    split: Split  # real test images
    config: CompareConfig
    arms: tuple[OfArm, ...]  # pretrained first, then by growing share of generated images
    differences: tuple[Difference, ...]  # of each arm from `pretrained`, and of those after `real` from it
    library: str  # name and version

    @property
    def highest(self) -> float:
        """The highest mAP of an arm; 0 if it is undefined."""
        return max(each.numbers["ap"].value or 0.0 for each in self.arms)

    @property
    def learnt(self) -> bool:
        """True if an arm has learnt something: an mAP of at least 0.01."""
        return self.highest >= NOTHING_LEARNT

    def of(self, arm: str) -> OfArm:
        """Return the numbers of an arm."""
        return next(each for each in self.arms if each.arm.name == arm)

    def difference(self, arm: str, minus: str) -> Difference:
        """Return the difference of two arms."""
        return next(each for each in self.differences if (each.arm, each.minus) == (arm, minus))


def sum_up(
    judged: Sequence[Judged],
    split: Split,
    config: CompareConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Compute the numbers of all arms and their differences, from all runs, arm by arm; progress is in runs."""
    bootstrap = config.bootstrap
    drawn = draw_images(split.groups(bootstrap.draw), resamples=bootstrap.resamples, seed=bootstrap.seed)
    arms: list[OfArm] = []
    done, library = 0, ""
    for place, (arm, of_arm) in enumerate(groupby(judged, key=lambda each: each.run.arm)):
        runs, values, draws, curves = tuple(of_arm), [], [], []
        for each in runs:
            matches = match(split, each.read(split))
            curves += [np.where(matches.precision > -1, matches.precision, np.nan)[0, :, :, 0].T]
            values += [official(matches).numbers(split.names)]
            draws += [precisions(matches, drawn).numbers(split.names)]
            done, library = done + 1, matches.library
            progress(done, len(judged))
        random = np.random.default_rng((bootstrap.seed, place))
        chosen = random.integers(0, len(runs), (len(drawn), len(runs)))
        of_seeds = {key: np.concatenate([one[key] for one in values]) for key in values[0]}
        of_draws = {key: over_seeds(np.stack([one[key] for one in draws]), chosen) for key in values[0]}
        arms += [OfArm(arm, runs, of_seeds, of_draws, np.mean(curves, axis=0))]
    learnt = Comparison(split, config, tuple(arms), (), library).learnt
    differences = tuple(
        other.minus(base, learnt=learnt) for position, base in enumerate(arms[:2]) for other in arms[position + 1 :]
    )
    return Comparison(split, config, tuple(arms), differences, library)


def over_seeds(draws: NDArray[np.float64], chosen: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return means over drawn seeds, (R,), their deviations stretched by sqrt(S / (S - 1)).

    `draws` are (S, R), the number of each seed in each draw of images; `chosen` (R, S), the seeds of each draw.

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


def as_number(value: np.floating[Any]) -> float | None:
    """Return a plain number; None for NaN."""
    return None if np.isnan(value) else float(value)
