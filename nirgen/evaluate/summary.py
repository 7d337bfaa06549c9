"""Means with intervals, and what a method adds to the floors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen.config import FrozenConfig
from nirgen.evaluate.intervals import differences, intervals
from nirgen.evaluate.measures import MEASURES, OF_SETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.evaluate.cases import Case
    from nirgen.evaluate.methods import Kind
    from nirgen.evaluate.scores import Scores

Verdict = Literal["better", "worse", "undecided"]
URBAN = frozenset({"urban", "street", "oldbuilding"})
FEW_GROUPS = 10


class Settings(FrozenConfig):
    """What numbers depend on besides the images.

    Attributes:
        size: Height and width that images are squashed to; None for their own.
        bootstrap: What is drawn with replacement.
        resamples: How often.
        seed: Of the draws.
        by: Which subsets get a table of their own beside `all`.
    """

    size: int | None = 256
    bootstrap: Literal["images", "sequences"] = "images"
    resamples: int = 2000
    seed: int = 0
    by: Literal["category", "urban"] | None = None


@dataclass(frozen=True)
class Estimate:
    """A mean over images, or a number of a whole set.

    Attributes:
        value: It may be infinite (the PSNR of equal images).
        low: The lower end of its 95 % interval; None where there is none.
        high: The upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """A method's line in the table of a subset."""

    method: str
    kind: Kind
    estimates: dict[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """What a method adds to another one on the same images.

    Attributes:
        method: The one.
        other: The other: the floor that is best by this measure, or the first method.
        measure: By which measure.
        difference: The mean of `method - other` over images.
        verdict: `undecided` where the interval of the difference holds 0, or there is none.
    """

    method: str
    other: str
    measure: str
    difference: Estimate
    verdict: Verdict


@dataclass(frozen=True)
class Subset:
    """The table of some of the images.

    Attributes:
        name: `all`, or what these images share.
        images: How many.
        groups: How many of what the bootstrap draws: images or sequences.
        rows: The methods, in their order.
        comparisons: Of each method with the best floor, and with the first method.
    """

    name: str
    images: int
    groups: int
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]


def subsets_of(cases: Sequence[Case], by: Literal["category", "urban"] | None) -> dict[str, NDArray[np.bool_]]:
    """Which images each subset has: `all`, and those of `by` that aren't empty."""
    categories = [case.category for case in cases]
    chosen = {"all": np.ones(len(cases), bool)}
    if by == "category":
        chosen |= {name or "no category": np.array([c == name for c in categories]) for name in sorted(set(categories))}
    elif by == "urban":
        urban = np.array([category in URBAN for category in categories])
        chosen |= {"urban-like": urban, "not urban-like": ~urban}
    return {name: mask for name, mask in chosen.items() if mask.any()}


def summarise(scores: Scores, settings: Settings) -> tuple[Subset, ...]:
    """Tables of all images and of the subsets."""
    chosen = subsets_of(scores.cases, settings.by)
    return tuple(_summarise_subset(name, mask, scores, settings) for name, mask in chosen.items())


def notes_on(subset: Subset, settings: Settings) -> list[str]:
    """What is to be known of the intervals of a table."""
    if subset.groups < 2:
        return [f"no intervals: the bootstrap draws {settings.bootstrap}, and there is only one"]
    if subset.groups < FEW_GROUPS:
        return [f"intervals of {subset.groups} {settings.bootstrap} are rough, and rather too narrow"]
    return []


def _summarise_subset(name: str, mask: NDArray[np.bool_], scores: Scores, settings: Settings) -> Subset:
    by_sequence = settings.bootstrap == "sequences"
    groups = [
        case.sequence if by_sequence else case.key for case, there in zip(scores.cases, mask, strict=True) if there
    ]
    columns = {
        (method.name, measure): scores.values[method.name][measure][mask]
        for method in scores.methods
        for measure in scores.measures
    }
    compared = _compared(scores, columns)
    paired = [differences(columns[one, measure], columns[other, measure]) for one, other, measure in compared]
    table = np.stack([*columns.values(), *paired], axis=1)
    means = table.mean(axis=0)
    ends = intervals(table, groups, resamples=settings.resamples, seed=settings.seed)
    estimates = [
        Estimate(float(mean)) if ends is None else Estimate(float(mean), float(ends[0, i]), float(ends[1, i]))
        for i, mean in enumerate(means)
    ]
    by_column = dict(zip(columns, estimates, strict=False))
    whole = name == "all"
    return Subset(
        name,
        int(mask.sum()),
        len(set(groups)),
        tuple(
            Row(
                method.name,
                method.kind,
                {measure: by_column[method.name, measure] for measure in scores.measures}
                | (_of_sets(scores, method.name) if whole else {}),
            )
            for method in scores.methods
        ),
        tuple(
            Comparison(one, other, measure, difference, _verdict(measure, difference))
            for (one, other, measure), difference in zip(compared, estimates[len(columns) :], strict=True)
        ),
    )


def _compared(scores: Scores, columns: Mapping[tuple[str, str], NDArray[np.float64]]) -> list[tuple[str, str, str]]:
    """(method, other, measure) of all comparisons: with the floor of the best mean, and with the first method."""
    floors = [method.name for method in scores.methods if method.kind == "floor"]
    judged = [method.name for method in scores.methods if method.kind != "floor"]
    measures = [name for name in scores.measures if MEASURES[name].better != "zero" and name != "rmse_uint8_wrapped"]
    compared = []
    if floors:
        for measure in measures:
            sign = 1 if MEASURES[measure].better == "higher" else -1
            best = max(floors, key=lambda floor: sign * columns[floor, measure].mean())
            compared += [(method, best, measure) for method in judged]
    compared += [(method, judged[0], measure) for method in judged[1:] for measure in measures]
    order = {name: number for number, name in enumerate([*judged, *floors])}
    return sorted(compared, key=lambda entry: (order[entry[0]], entry[1] in judged, list(MEASURES).index(entry[2])))


def _verdict(measure: str, difference: Estimate) -> Verdict:
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "undecided"
    return "better" if (difference.low > 0) == (MEASURES[measure].better == "higher") else "worse"


def _of_sets(scores: Scores, method: str) -> dict[str, Estimate]:
    """FID and KID, where there are features of two images at least."""
    if method not in scores.features or len(scores.cases) < 2:
        return {}
    from nirgen.evaluate import perceptual  # it loads torchmetrics

    functions = {"fid": perceptual.fid, "kid": perceptual.kid}
    return {name: Estimate(functions[name](scores.features[method], scores.features[""])) for name in OF_SETS}
