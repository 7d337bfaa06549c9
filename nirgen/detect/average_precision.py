"""Average precision over images that count any number of times: COCO's definition, for all draws of a bootstrap.

COCOeval goes over detections by falling score, and sums up which of them were found. Precision at a level of recall is
the best one that is reached at that recall or a higher one, and changes for the better at found detections alone; so it
is enough to know, at each found one, how many were found and how many counted up to it. Both are sums over images,
weighted by how often an image was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from nirgen.detect.matching import AREAS, THRESHOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.detect.matching import Matched, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
_BLOCK = 100_000
"""Numbers of an array that is worked on: few enough to stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Precisions:
    """Average precision and recall of many draws.

    R is draws, K classes, A `AREAS`, T `THRESHOLDS`; NaN where a draw has no object of that class and size.

    Attributes:
        average: (R, K, A, T) mean of precision over the levels of recall.
        recall: (R, K, A, T) share of objects that were found.
    """

    average: NDArray[np.float64]
    recall: NDArray[np.float64]

    def numbers(self, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
        """COCO's numbers, each (R,), NaN where a draw has none; those of single classes are called `ap/NAME`.

        Args:
            names: Of the K classes.
        """
        everywhere = self.average[:, :, 0]
        found = {
            "ap": _mean(everywhere),
            "ap50": _mean(everywhere[..., 0]),
            "ap75": _mean(everywhere[..., _AT_75]),
            **{f"ap_{area}": _mean(self.average[:, :, place]) for place, area in enumerate(AREAS) if area != "all"},
            "ar100": _mean(self.recall[:, :, 0]),
        }
        return found | {f"ap/{name}": _mean(everywhere[:, place]) for place, name in enumerate(names)}


_AT_75 = THRESHOLDS.index(0.75)


def official(matches: Matches) -> Precisions:
    """COCOeval's own numbers, as one draw."""
    average = np.where(matches.precision > -1, matches.precision, np.nan).mean(axis=1)
    recall = np.where(matches.recall > -1, matches.recall, np.nan)
    return Precisions(*(np.transpose(values, (1, 2, 0))[np.newaxis] for values in (average, recall)))


def precisions(matches: Matches, drawn: NDArray[np.integer]) -> Precisions:
    """Average precision where images count as often as they were drawn.

    Args:
        matches: What came of all detections.
        drawn: (R, N) how often each image was drawn.
    """
    shape = (len(drawn), len(matches.parts), len(AREAS), len(THRESHOLDS))
    average, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, of_class in enumerate(matches.parts):
        for a, part in enumerate(of_class):
            for t in range(len(THRESHOLDS)):
                steps = _Steps.of(part, t)
                rows = max(16, _BLOCK // max(1, len(steps.image), matches.images))
                for first in range(0, len(drawn), rows):
                    block = slice(first, first + rows)
                    weights = np.ascontiguousarray(drawn[block].T, np.float64)
                    average[block, k, a, t], recall[block, k, a, t] = steps.average(weights, part.objects)
    return Precisions(average, recall)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The found detections of a part at one threshold, P of them by falling score.

    Attributes:
        image: (P,) the image that each is on.
        counted: (P, N) how many detections of each image count from the step before, up to this one.
    """

    image: NDArray[np.intp]
    counted: sparse.csr_array

    @classmethod
    def of(cls, part: Matched, threshold: int) -> _Steps:
        counted = part.counted[threshold]
        image, found = part.image[counted], part.found[threshold][counted]
        step = np.cumsum(found) - found
        steps = int(found.sum())
        before_last = step < steps
        cells = (step[before_last], image[before_last])
        ones = np.ones(int(before_last.sum()))
        return cls(image[found], sparse.csr_array((ones, cells), shape=(steps, len(part.objects))))

    def average(
        self, weights: NDArray[np.float64], objects: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Average precision and recall of R draws, each (R,).

        Args:
            weights: (N, R) how often each image counts.
            objects: (N,) how many objects are on each.
        """
        total = objects @ weights
        there = total > 0
        if not len(self.image):
            nothing = np.where(there, 0.0, np.nan)
            return nothing, nothing
        found = np.cumsum(weights[self.image], axis=0)
        precision = found / (np.cumsum(self.counted @ weights, axis=0) + np.spacing(1))
        best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        average = _sample(found.T, best.T, total).mean(axis=1)
        with np.errstate(invalid="ignore"):
            return np.where(there, average, np.nan), np.where(there, found[-1] / total, np.nan)


def _sample(found: NDArray[np.float64], best: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Precision at the levels of recall, (R, 101): 0 beyond the highest recall.

    Args:
        found: (R, P) objects found up to each step.
        best: (R, P) the best precision from each step on.
        total: (R,) objects.
    """
    rows, steps = found.shape
    wanted = _least(total)
    apart = (np.arange(rows) * (total.max() + 2))[:, np.newaxis]  # makes one rising list of all rows
    place = np.searchsorted((found + apart).ravel(), (wanted + apart).ravel()).reshape(wanted.shape)
    place -= np.arange(rows)[:, np.newaxis] * steps
    reached = place < steps
    return np.where(reached, np.take_along_axis(best, np.where(reached, place, 0), axis=1), 0.0)


def _least(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least number of found objects whose share of `total` is each level of recall or more, (R, 101).

    The share is compared as COCOeval does it, after rounding: 29 of 100 reach the level 0.29, though 0.29 times 100 is
    29 or more only by chance.
    """
    near = np.rint(RECALLS * total[:, np.newaxis])
    share = np.maximum(total, 1)[:, np.newaxis]
    below = np.where((near - 1) / share >= RECALLS, near - 1, near)
    return np.where(below / share >= RECALLS, below, below + 1)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over all but the first axis, of what is there."""
    flat = values.reshape(len(values), -1)
    there = ~np.isnan(flat)
    count = there.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, np.where(there, flat, 0).sum(axis=1) / count, np.nan)
