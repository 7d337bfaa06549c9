"""The effect of generated images on a detector: numbers of the training sets (arms), and their differences.

The rule: a difference of mean AP has the noise of the choice of test images, by a bootstrap that draws the same images
for all arms, and that of chance in training, by the spread over seeds; see `nirgen.detect.noise`. If its 95 % interval
lies on one side of 0, it is a gain or a loss, else it is within the noise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nirgen.detect.arms import GREY
from nirgen.detect.coco_eval import match, official, precisions
from nirgen.detect.config import NOTHING_LEARNT
from nirgen.detect.evaluation import TITLES, read_results
from nirgen.detect.noise import Measured, measure
from nirgen.stats import Estimate, draw_images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.detect.arms import Arm, Run
    from nirgen.detect.coco_eval import Result
    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Split


Verdict = Literal["gain", "loss", "noise", "unknown"]
SIZES = ("ap_small", "ap_medium", "ap_large")
SMALL, LARGE = 32.0**2, 96.0**2  # square pixels: borders of COCO's sizes


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
    draws: dict[str, NDArray[np.float64]]  # (R,), means over seeds in each draw of images
    groups: dict[str, int]  # images or recordings with objects of each number
    precision: NDArray[np.float64]  # (K, 101) of each class at the overlap 0.5, mean over seeds; NaN without objects

    @cached_property
    def numbers(self) -> dict[str, Estimate]:
        """The means over seeds, with intervals over images and seeds."""
        found = {}
        for key, values in self.values.items():
            number = measure([values], self.draws[key], self.groups[key]).estimate()
            low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (number.low, number.high))
            found[key] = Estimate(number.value, low, high)
        return found

    @property
    def spread(self) -> dict[str, float | None]:
        """The standard deviations over seeds; None with one seed."""
        several = len(self.runs) > 1
        return {key: as_number(each.std(ddof=1)) if several else None for key, each in self.values.items()}

    def minus(self, other: OfArm, *, learnt: bool) -> Difference:
        """Return the differences of the means, with intervals of the paired comparison; see `Difference`."""
        found = {}
        for key, values in self.values.items():
            draws = self.draws[key] - other.draws[key]
            if not (values.any() or other.values[key].any()):
                draws = np.empty(0)  # neither arm found anything: an interval would be 0 to 0
            found[key] = measure([values, other.values[key]], draws, self.groups[key])
        return Difference(self.arm.name, other.arm.name, found, learnt)


@dataclass(frozen=True)
class Difference:
    """The numbers of an arm minus those of another."""

    arm: str
    minus: str
    measured: dict[str, Measured]  # differences of the means, with the noise of the paired comparison
    learnt: bool  # an arm of the comparison, not necessarily of these, has learnt something

    @cached_property
    def numbers(self) -> dict[str, Estimate]:
        """The differences with their intervals."""
        return {key: each.estimate() for key, each in self.measured.items()}

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
    arms: tuple[OfArm, ...]  # pretrained first, then by growing share of generated images, then others
    differences: tuple[Difference, ...]  # of each arm from `pretrained`, and of those after `real` from it and grey
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

    @property
    def reference(self) -> OfArm:
        """The mix that classes are judged by: of most generated images, of those with most seeds."""
        mixes = [each for each in self.arms if each.arm.advisable]
        return max(mixes, key=lambda each: (len(each.runs), each.arm.order is None, each.arm.generated))

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
    groups = {key: len(each) for key, each in groups_with_objects(split, bootstrap.draw).items()}
    arms: list[OfArm] = []
    done, library = 0, ""
    for arm, of_arm in groupby(judged, key=lambda each: each.run.arm):
        runs, values, draws, curves = tuple(of_arm), [], [], []
        for each in runs:
            matches = match(split, each.read(split))
            curves += [np.where(matches.precision > -1, matches.precision, np.nan)[0, :, :, 0].T]
            values += [official(matches).numbers(split.names)]
            draws += [precisions(matches, drawn).numbers(split.names)]
            done, library = done + 1, matches.library
            progress(done, len(judged))
        of_seeds = {key: np.concatenate([one[key] for one in values]) for key in values[0]}
        of_draws = {key: np.mean([one[key] for one in draws], axis=0) for key in values[0]}
        arms += [OfArm(arm, runs, of_seeds, of_draws, groups, np.mean(curves, axis=0))]
    learnt = Comparison(split, config, tuple(arms), (), library).learnt
    pairs = [(other, base) for position, base in enumerate(arms[:2]) for other in arms[position + 1 :]]
    pairs += [(other, grey) for grey in arms if grey.arm.name == GREY for other in arms if other.arm.generated]
    differences = tuple(other.minus(base, learnt=learnt) for other, base in pairs)
    return Comparison(split, config, tuple(arms), differences, library)


def groups_with_objects(split: Split, by: str) -> dict[str, dict[str, int]]:
    """Count the objects of each number by image or recording; groups without any are left out.

    Numbers are `ap` (all objects), `ap/CLASS` and `ap_small`, `ap_medium`, `ap_large`; others are as `ap`.
    """
    names = [*TITLES, *(f"ap/{name}" for name in split.names)]
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for image, group in zip(split.images, split.groups(by), strict=True):
        for box in image.boxes:
            if not box.ignored:
                size = "small" if box.area < SMALL else "medium" if box.area < LARGE else "large"
                keys = [name for name in TITLES if name not in SIZES or name == f"ap_{size}"]
                for key in (*keys, f"ap/{box.category}"):
                    found[key][group] += 1
    return {key: dict(each) for key, each in found.items()}


def as_number(value: np.floating[Any]) -> float | None:
    """Return a plain number; None for NaN."""
    return None if np.isnan(value) else float(value)
