"""Scores per image, and their summary: means with intervals, and paired comparisons with the baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nirgen.config import FrozenConfig
from nirgen.evaluate import methods as by
from nirgen.evaluate.measures import MEASURES, PIXEL_MEASURES, PSNRS
from nirgen.evaluate.methods import Size
from nirgen.evaluate.plausibility import View
from nirgen.metrics import PSNR_CEILING
from nirgen.stats import Estimate, differences, estimate_means, note_on_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.evaluate.cost import Costs
    from nirgen.evaluate.features import Backbone
    from nirgen.evaluate.methods import Case, Kind, Method
    from nirgen.evaluate.perceptual import Networks
    from nirgen.evaluate.regions import Regions
    from nirgen.evaluate.supplement import Supplement
    from nirgen.files import WrittenFile
    from nirgen.model import NirModel
    from nirgen.pairs import PairList


Verdict = Literal["better", "worse", "undecided"]
VERDICT_BY = "psnr_affine"  # the measure of the verdict on a method
URBAN = frozenset({"urban", "street", "oldbuilding"})


class Settings(FrozenConfig):
    """Settings of an evaluation that its numbers depend on."""

    size: Size = 256  # height and width that images are resized to; None: their own
    bootstrap: Literal["images", "sequences"] = "images"  # unit drawn with replacement
    resamples: int = 2000
    seed: int = 0
    by: Literal["category", "urban"] | None = None  # subsets with a table of their own beside `all`


@dataclass(frozen=True)
class Scores:
    """Measured values of each method on each image."""

    cases: tuple[Case, ...]
    methods: tuple[Method, ...]  # baselines last
    sizes: tuple[tuple[int, int], ...]  # (height, width) at which each image was compared
    values: dict[str, dict[str, NDArray[np.float64]]]  # by method and measure: (images,)
    features: dict[str, NDArray[np.float64]]  # (images, 2048) by method, real NIR under ""; empty without Inception
    pooled: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # likewise, of the embedded backbone
    tones: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # likewise, of regions: see `plausibility.View`
    visible: NDArray[np.float64] | None = None  # (images, regions), of the photos

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures of single images, in the order of the table."""
        return tuple(name for name in MEASURES if name in self.values[self.methods[0].name])


def score(
    cases: Sequence[Case],
    methods: Sequence[Method],
    *,
    size: Size,
    measures: Sequence[str] = PIXEL_MEASURES,
    networks: Networks | None = None,
    backbone: Backbone | None = None,
    regions: Regions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Generate each image with each method, and compare it with the real one.

    `measures` are those with a formula, `networks` and `backbone` give the others. An image that can't be read or
    compared is an ImageError: without it, means would be of other images.
    """
    by.refuse_trained_on(methods, cases)
    sizes = []
    values: dict[str, dict[str, list[float]]] = {method.name: {} for method in methods}
    features: dict[str, list[NDArray[np.float64]]] = {}
    pooled: dict[str, list[NDArray[np.float64]]] = {}
    tones: dict[str, list[NDArray[np.float64]]] = {}
    visible: list[NDArray[np.float64]] = []
    for done, case in enumerate(cases, start=1):
        frame = by.read_frame(case, size)
        sizes.append((frame.nir.shape[0], frame.nir.shape[1]))
        if networks is not None and "fid" in networks.files:
            features.setdefault("", []).append(networks.features(frame.nir))
        real = None if backbone is None else backbone.features(frame.nir)
        if real is not None:
            pooled.setdefault("", []).append(real.pooled)
        view = None if regions is None else View(frame, regions.of(case, frame.nir.shape))
        if view is not None:
            tones.setdefault("", []).append(view.tones(frame.nir))
            visible.append(view.visible)
        for method in methods:
            began = perf_counter()
            generated = method.generate(frame)
            method.seconds.append(perf_counter() - began)
            row = {name: formula(generated, frame.nir) for name in measures if (formula := MEASURES[name].formula)}
            if networks is not None:
                row |= {name: networks.measure(name, generated, frame.nir) for name in networks.per_image}
                if "fid" in networks.files:
                    features.setdefault(method.name, []).append(networks.features(generated))
            if backbone is not None and real is not None:
                ours = backbone.features(generated)
                row["features_distance"] = ours.distance(real)
                pooled.setdefault(method.name, []).append(ours.pooled)
            if view is not None:
                tones.setdefault(method.name, []).append(view.tones(generated))
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
        {method: np.stack(rows) for method, rows in pooled.items()},
        {method: np.stack(rows) for method, rows in tones.items()},
        np.stack(visible) if visible else None,
    )


@dataclass(frozen=True)
class Row:
    """A method's row in the table of a subset."""

    method: str
    kind: Kind
    estimates: dict[str, Estimate]  # by measure; the PSNR of equal images counts as `metrics.PSNR_CEILING`


@dataclass(frozen=True)
class Comparison:
    """The mean difference of two methods on the same images."""

    method: str
    other: str  # the best baseline by this measure, or the first method
    measure: str
    difference: Estimate  # method - other
    verdict: Verdict  # undecided if the interval holds 0 or is missing


@dataclass(frozen=True)
class Subset:
    """The table of some of the images."""

    name: str  # `all`, or a category
    images: int
    groups: int  # images or sequences that the bootstrap draws
    rows: tuple[Row, ...]
    ranking: tuple[Comparison, ...]  # of the best method, by the mean of `VERDICT_BY`, with each other one
    verdicts: tuple[Comparison, ...]  # on each method, by `VERDICT_BY` against the baseline `grey`; empty without it
    comparisons: tuple[Comparison, ...]  # of each method with the best baseline, and with the first method


@dataclass(frozen=True)
class Report:
    """An evaluation."""

    about: str  # one line on images, size and intervals
    scores: Scores
    settings: Settings
    subsets: tuple[Subset, ...]
    notes: tuple[tuple[str, str], ...]  # subject, note
    weights: dict[str, str]  # weight file by measure
    published: tuple[str, ...]  # keys of `measures.TABLES` to show beside
    supplements: tuple[Supplement, ...] = ()
    costs: Costs | None = None
    files: tuple[WrittenFile, ...] = ()  # that it was written to


def subsets_of(cases: Sequence[Case], by: Literal["category", "urban"] | None) -> dict[str, NDArray[np.bool_]]:
    """Return the masks of `all` images and of the subsets that hold some."""
    categories = [case.category for case in cases]
    chosen = {"all": np.ones(len(cases), bool)}
    if by == "category":
        chosen |= {name or "no category": np.array([c == name for c in categories]) for name in sorted(set(categories))}
    elif by == "urban":
        urban = np.array([category in URBAN for category in categories])
        chosen |= {"urban-like": urban, "not urban-like": ~urban}
    return {name: mask for name, mask in chosen.items() if mask.any()}


def summarise(scores: Scores, settings: Settings) -> tuple[Subset, ...]:
    """Return the tables of all images and of the subsets."""
    chosen = subsets_of(scores.cases, settings.by)
    return tuple(_summarise_subset(name, mask, scores, settings) for name, mask in chosen.items())


def notes_on(subset: Subset, settings: Settings) -> list[str]:
    """Return the caveats on the intervals of a table."""
    if subset.groups < 2:
        return [f"no intervals: the bootstrap draws {settings.bootstrap}, and there is only one"]
    return note_on_groups(subset.groups, settings.bootstrap)


def groups_of(cases: Sequence[Case], settings: Settings) -> list[str]:
    """Return the unit of the bootstrap that each case belongs to."""
    return [case.sequence if settings.bootstrap == "sequences" else case.key for case in cases]


def _summarise_subset(name: str, mask: NDArray[np.bool_], scores: Scores, settings: Settings) -> Subset:
    cases = [case for case, there in zip(scores.cases, mask, strict=True) if there]
    groups = groups_of(cases, settings)
    columns = {
        (method.name, measure): _counted(measure, scores.values[method.name][measure][mask])
        for method in scores.methods
        for measure in scores.measures
    }
    judged = [method.name for method in scores.methods if method.kind != "floor"]
    verdicts = [(method, by.BASELINE, VERDICT_BY) for method in judged if (by.BASELINE, VERDICT_BY) in columns]
    ranking = []
    if len(judged) > 1 and (judged[0], VERDICT_BY) in columns:
        best = max(judged, key=lambda method: columns[method, VERDICT_BY].mean())
        ranking = [(best, method, VERDICT_BY) for method in judged if method != best]
    compared = [*ranking, *verdicts, *_compared(scores, columns)]
    paired = [differences(columns[one, measure], columns[other, measure]) for one, other, measure in compared]
    table = np.stack([*columns.values(), *paired], axis=1)
    estimates = iter(estimate_means(table, groups, resamples=settings.resamples, seed=settings.seed))
    rows = []
    for method in scores.methods:
        own = {measure: next(estimates) for measure in scores.measures}
        own |= _of_sets(scores, method.name) if name == "all" else {}
        if method.name in scores.pooled and len(cases) > 1:
            from nirgen.evaluate.features import kid_features

            ours, real = (scores.pooled[of][mask] for of in (method.name, ""))
            own["kid_features"] = kid_features(ours, real, groups, resamples=settings.resamples, seed=settings.seed)
        rows.append(Row(method.name, method.kind, own))
    comparisons = [
        Comparison(one, other, measure, difference, _verdict(measure, difference))
        for (one, other, measure), difference in zip(compared, estimates, strict=True)
    ]
    ranked, said = tuple(comparisons[: len(ranking)]), tuple(comparisons[len(ranking) :][: len(verdicts)])
    others = tuple(comparisons[len(ranking) + len(verdicts) :])
    return Subset(name, len(cases), len(set(groups)), tuple(rows), ranked, said, others)


def _counted(measure: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values as they count in means and differences: one pair of equal images doesn't decide a mean PSNR."""
    return np.minimum(values, PSNR_CEILING) if measure in PSNRS else values


def _compared(scores: Scores, columns: Mapping[tuple[str, str], NDArray[np.float64]]) -> list[tuple[str, str, str]]:
    """Return (method, other, measure) of all comparisons: with the baseline of best mean, and the first method."""
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
    """Return FID and KID; nothing without the features of two images."""
    if method not in scores.features or len(scores.cases) < 2:
        return {}
    from nirgen.evaluate import perceptual  # imports torchmetrics

    functions = {"fid": perceptual.fid, "kid": perceptual.kid}
    ours, real = scores.features[method], scores.features[""]
    return {name: Estimate(function(ours, real)) for name, function in functions.items()}


def evaluate(
    model: NirModel,
    pairs: PairList,
    split: str = "val",
    *,
    size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Subset, ...]:
    """Evaluate a model on a split at the paper's size, beside the baselines: all images, urban-like ones, and others.

    RGB and NIR are resized to size x size (bilinear, as in Pillow); outputs are rounded to 8 bits first. It is a
    NirgenError if the split is empty, or holds a pair that the model was trained on.
    """
    cases = by.from_pairs(pairs, split)
    methods = [by.from_model(model), by.grey(), by.red()]
    by.refuse_trained_on(methods, cases)
    if any(pair.split == "train" for pair in pairs.pairs):
        methods.append(by.linear(by.from_pairs(pairs, "train"), size))
    measures = ("psnr", "ssim", "psnr_affine", "ssim_affine")
    found = score(cases, methods, size=size, measures=measures, progress=progress)
    return summarise(found, Settings(size=size, bootstrap="sequences", by="urban"))


def as_metrics(subsets: Sequence[Subset], split: str, size: int = 256) -> list[dict[str, Any]]:
    """Return a model's own scores as its file's header has them: `name`, `value`, `on` of each number."""
    found = []
    for subset in subsets:
        on = f"{split}, {subset.name}: {subset.images} images at {size}x{size}"
        own = next(row.estimates for row in subset.rows if row.kind == "model")
        numbers = {"PSNR dB": own["psnr"].value, "SSIM": own["ssim"].value}
        found += [{"name": name, "value": round(value or 0.0, 4), "on": on} for name, value in numbers.items()]
    return found
