"""Scores per image, and their summary: means with intervals, and paired comparisons with the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nirgen.config import FrozenConfig
from nirgen.evaluate import methods as by
from nirgen.evaluate import methods as of
from nirgen.evaluate.measures import MEASURES, OF_SETS
from nirgen.evaluate.methods import read_frame, refuse_trained_on
from nirgen.stats import differences, intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.evaluate.methods import Case, Kind, Method
    from nirgen.evaluate.perceptual import Networks
    from nirgen.model import NirModel
    from nirgen.pairs import PairList


PIXEL_MEASURES = tuple(name for name, measure in MEASURES.items() if measure.formula is not None)


@dataclass(frozen=True)
class Scores:
    """What was measured.

    Attributes:
        cases: The images.
        methods: The methods, floors last.
        sizes: (height, width) of each image as it was compared.
        values: By method and measure, a float64 of each image.
        features: By method, and under an empty name for real NIR, (images, 2048); empty without Inception.
    """

    cases: tuple[Case, ...]
    methods: tuple[Method, ...]
    sizes: tuple[tuple[int, int], ...]
    values: dict[str, dict[str, NDArray[np.float64]]]
    features: dict[str, NDArray[np.float64]]

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures of single images that were taken, in the order of the table."""
        return tuple(name for name in MEASURES if name in self.values[self.methods[0].name])


def score(
    cases: Sequence[Case],
    methods: Sequence[Method],
    *,
    size: int | None,
    measures: Sequence[str] = PIXEL_MEASURES,
    networks: Networks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Let each method generate each image, and compare it with the real one.

    Args:
        cases: The images, at least one.
        methods: With unique names, at least one.
        size: As for `read_frame`.
        measures: Those by formula.
        networks: For those that need some.
        progress: Called with the images done and their total.

    Raises:
        NirgenError: A method was trained on one of the images.
        ImageError: An image can't be read or compared; none is left out, for then means would be of other images.
    """
    refuse_trained_on(methods, cases)
    sizes = []
    values: dict[str, dict[str, list[float]]] = {method.name: {} for method in methods}
    features: dict[str, list[NDArray[np.float64]]] = {}
    for done, case in enumerate(cases, start=1):
        frame = read_frame(case, size)
        sizes.append((frame.nir.shape[0], frame.nir.shape[1]))
        if networks is not None and networks.sees_features:
            features.setdefault("", []).append(networks.features(frame.nir))
        for method in methods:
            generated = method.generate(frame)
            row = {name: formula(generated, frame.nir) for name in measures if (formula := MEASURES[name].formula)}
            if networks is not None:
                row |= {name: networks.measure(name, generated, frame.nir) for name in networks.per_image}
                if networks.sees_features:
                    features.setdefault(method.name, []).append(networks.features(generated))
            for name, value in row.items():
                values[method.name].setdefault(name, []).append(value)
        if progress is not None:
            progress(done, len(cases))
    return Scores(
        tuple(cases),
        tuple(methods),
        tuple(sizes),
        {method: {name: np.array(column) for name, column in columns.items()} for method, columns in values.items()},
        {method: np.stack(rows) for method, rows in features.items()},
    )


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


@dataclass(frozen=True)
class Score:
    """Means over images.

    Attributes:
        method: `model`, or a floor: `luma`, `red`, `linear` (the best linear map of RGB on the split `train`).
        subset: `all`, `urban-like`, or `not urban-like`.
        images: How many.
        psnr: In dB.
        ssim: In [-1, 1].
    """

    method: str
    subset: str
    images: int
    psnr: float
    ssim: float


def evaluate(
    model: NirModel,
    pairs: PairList,
    split: str = "val",
    *,
    size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> list[Score]:
    """Judge a model on a split, at the size of the paper.

    RGB and NIR are squashed to size x size with Pillow's bilinear filter; outputs are rounded to 8 bits first.

    Args:
        model: The model.
        pairs: The list.
        split: Which split of it.
        size: Height and width at which images are translated and compared, in pixels.
        progress: Called with the images done and their total.

    Returns:
        A score for each method and subset.

    Raises:
        NirgenError: The split is empty, or holds a pair that the model was trained on.
        ImageError: As `nirgen.pairs.read_pair`.
    """
    cases = of.from_pairs(pairs, split)
    methods = [by.from_model(model), by.luma(), by.red()]
    by.refuse_trained_on(methods, cases)
    if any(pair.split == "train" for pair in pairs.pairs):
        methods.append(by.linear(of.from_pairs(pairs, "train"), size))
    found = score(cases, methods, size=size, measures=("psnr", "ssim"), progress=progress)
    scores = []
    for method in methods:
        values = found.values[method.name]
        for subset, mask in subsets_of(cases, "urban").items():
            psnr, ssim = (float(np.mean(values[name][mask])) for name in ("psnr", "ssim"))
            scores.append(Score(method.name, subset, int(mask.sum()), psnr, ssim))
    return scores


def as_metrics(scores: list[Score], split: str, size: int = 256) -> list[dict[str, Any]]:
    """The model's own scores as a model file's header has them.

    Args:
        scores: Of `evaluate`.
        split: On which split.
        size: At which height and width, in pixels.

    Returns:
        One mapping a number: `name`, `value`, `on`; a number that is not finite is left out, for JSON has none.
    """
    return [
        {
            "name": name,
            "value": round(value, 4),
            "on": f"{split}, {score.subset}: {score.images} images at {size}x{size}",
        }
        for score in scores
        if score.method == "model"
        for name, value in (("PSNR dB", score.psnr), ("SSIM", score.ssim))
        if np.isfinite(value)
    ]


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Attributes:
        about: One line on the images, their size and the intervals.
        scores: Of single images.
        settings: What the numbers depend on.
        subsets: The tables.
        notes: What is to be known, each with what it is about.
        weights: By measure, the name of its weight file.
        published: Which of the paper's tables to show beside.
    """

    about: str
    scores: Scores
    settings: Settings
    subsets: tuple[Subset, ...]
    notes: tuple[tuple[str, str], ...]
    weights: dict[str, str]
    published: tuple[str, ...]
