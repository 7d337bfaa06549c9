"""Which images and boxes a report shows, and why these."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.report.options import ReportOptions
    from nirgen.report.survey import Survey

BOXES_OF_AN_IMAGE = 3
"""Worst boxes shown of one image, so that others have their turn."""
STANDS_OUT = 0.1
"""A score is given as a reason if it is among this share of the dataset's worst."""
REASONS = 3
"""Reasons given for an image, the strongest first."""

LOW_IS_BAD = frozenset({"structure", "sharpness", "contrast"})
"""The scores of images whose low values are the bad ones; of the others it is the high ones."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown.

    Attributes:
        worst: Indices in `Survey.frames`, the worst first.
        best: The same, the best first; none of them is in `worst`.
        boxes: Indices in `Survey.boxes`, the worst first.
        compared: Indices in `Survey.frames` of what is shown beside its RGB image, with what each is an example of.
        twins: By index of a generated image among `compared`, that of the real NIR image of the same scene.
    """

    worst: tuple[int, ...]
    best: tuple[int, ...]
    boxes: tuple[int, ...]
    compared: Mapping[int, tuple[str, ...]]
    twins: Mapping[int, int]

    @property
    def frames(self) -> frozenset[int]:
        """All images that are needed."""
        return frozenset((*self.worst, *self.best, *self.compared, *self.twins.values()))


def choose(survey: Survey, options: ReportOptions, categories: Sequence[str]) -> Choice:
    """Choose what is shown.

    Args:
        survey: The dataset.
        options: How much to show.
        categories: The names of the classes, in their order.
    """
    ranked = _ranked(survey.trouble, [frame.has_nir for frame in survey.frames])
    worst = ranked[: min(options.images, (len(ranked) + 1) // 2)]
    best = ranked[::-1][: min(options.images, len(ranked) - len(worst))]
    twins = _twins(survey)
    compared = _compared(survey, ranked, twins, categories, options.frames)
    return Choice(
        worst=tuple(worst),
        best=tuple(best),
        boxes=tuple(_worst_boxes(survey, options.boxes)),
        compared=compared,
        twins={number: twins[number] for number in compared if number in twins},
    )


def why(survey: Survey) -> Mapping[str, NDArray[np.float32]]:
    """How bad each score of each image is within this dataset: by name, shares of the images that do no worse.

    Returns:
        For each of `Survey.frames` a value in [0, 1], 1 for the worst; NaN where the score couldn't be computed.
    """
    return {
        name: _badness(-values if name in LOW_IS_BAD else values)
        for name, values in survey.scores.items()
        if name != "trouble"
    }


def reasons(badness: Mapping[str, NDArray[np.float32]], number: int) -> list[str]:
    """The scores of an image that stand out, the worst first."""
    ranked = sorted((-float(values[number]), name) for name, values in badness.items() if values[number] >= 0)
    return [name for negative, name in ranked if -negative >= 1 - STANDS_OUT][:REASONS]


def _badness(values: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.sort(values[~np.isnan(values)])
    shares = np.searchsorted(known, values, side="left") / max(1, len(known) - 1)
    unlike = len(known) > 1 and known[0] < known[-1]
    return np.where(np.isnan(values) | (not unlike), np.nan, shares).astype(np.float32)


def _ranked(trouble: NDArray[np.float32], there: Sequence[bool]) -> list[int]:
    """The images that have a file and a score, the worst first; equal ones by their keys."""
    numbers = [number for number, has_file in enumerate(there) if has_file and not np.isnan(trouble[number])]
    return sorted(numbers, key=lambda number: (-trouble[number], number))


def _worst_boxes(survey: Survey, count: int) -> Iterator[int]:
    boxes = survey.boxes
    there = np.fromiter((frame.has_nir for frame in survey.frames), bool, len(survey.frames))
    usable = ~np.isnan(boxes.trouble) & there[boxes.frame]
    numbers = np.flatnonzero(usable)
    taken: Counter[int] = Counter()
    for number in numbers[np.argsort(-boxes.trouble[numbers], kind="stable")]:
        frame = int(boxes.frame[number])
        if taken.total() < count and taken[frame] < BOXES_OF_AN_IMAGE:
            taken[frame] += 1
            yield int(number)
        elif taken.total() >= count:
            return


def _twins(survey: Survey) -> dict[int, int]:
    """By generated image, the real NIR image whose RGB partner is the file that it was translated from."""
    real = {
        frame.rgb_sha256: number
        for number, frame in reversed(list(enumerate(survey.frames)))
        if not frame.place.generated and frame.rgb_sha256 and frame.has_nir
    }
    return {
        number: real[frame.rgb_sha256]
        for number, frame in enumerate(survey.frames)
        if frame.place.generated and frame.rgb_sha256 in real
    }


def _compared(
    survey: Survey, ranked: Sequence[int], twins: Mapping[int, int], categories: Sequence[str], count: int
) -> dict[int, tuple[str, ...]]:
    """The images to compare with their RGB images, and what each is an example of."""
    frames = survey.frames
    usable = [number for number in ranked if frames[number].has_rgb]
    middle = _from_the_middle(usable)
    unscored = [
        number
        for number, frame in enumerate(frames)
        if frame.has_nir and frame.has_rgb and np.isnan(survey.trouble[number])
    ]
    typical = sorted(middle, key=lambda number: not frames[number].place.generated) + unscored
    wanted: list[tuple[str, Iterable[int]]] = [
        ("worst", usable[:1]),
        ("median", middle[:1]),
        ("best", usable[-1:]),
        ("with a real twin", [number for number in typical if number in twins]),
        ("night", [number for number in typical if frames[number].night]),
        *((name, [number for number in typical if name in frames[number].classes]) for name in categories),
        *([] if categories else _quarters(usable)),
        ("example", [] if usable else unscored),
    ]
    chosen: dict[int, tuple[str, ...]] = {}
    sequences: set[str] = set()
    for name, numbers in wanted:
        number = _next(list(numbers), survey, chosen, sequences)
        if number is not None and (number in chosen or len(chosen) < count):
            chosen[number] = (*chosen.get(number, ()), name)
            sequences |= {sequence} if (sequence := frames[number].sequence) else set()
    return chosen


def _quarters(usable: Sequence[int]) -> list[tuple[str, Sequence[int]]]:
    """What else to look at where there are no classes."""
    quarter = len(usable) // 4
    if quarter < 2:
        return []
    return [
        ("worse than most", usable[quarter : quarter + 1]),
        ("better than most", usable[::-1][quarter : quarter + 1]),
    ]


def _next(
    candidates: Sequence[int], survey: Survey, chosen: Mapping[int, Sequence[str]], sequences: set[str]
) -> int | None:
    """The first that isn't shown yet and of another recording than those shown; else not shown; else the first."""
    new = [number for number in candidates if number not in chosen]
    apart = (number for number in new if survey.frames[number].sequence not in sequences)
    return next(apart, next(iter(new), next(iter(candidates), None)))


def _from_the_middle(ranked: Sequence[int]) -> list[int]:
    """A ranking from its median outwards."""
    middle = (len(ranked) - 1) / 2
    return [ranked[place] for place in sorted(range(len(ranked)), key=lambda place: (abs(place - middle), place))]
