"""Evaluation of models and of folders of generated images, as `nirgen evaluate` does it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen import images
from nirgen.devices import choose_device
from nirgen.errors import NirgenError
from nirgen.evaluate import folders
from nirgen.evaluate import methods as by
from nirgen.evaluate.cost import UNKNOWN, measure_costs
from nirgen.evaluate.features import Backbone
from nirgen.evaluate.plausibility import tabulate
from nirgen.evaluate.regions import Regions
from nirgen.evaluate.report import make_report, write
from nirgen.evaluate.shifts import judge_shifted
from nirgen.evaluate.summary import Report, Settings, groups_of, score
from nirgen.model import load_model
from nirgen.models.foreign import SUFFIXES
from nirgen.pairs import PairList

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nirgen.evaluate.methods import Case, Method, Size
    from nirgen.evaluate.perceptual import LpipsNet
    from nirgen.evaluate.summary import Scores
    from nirgen.evaluate.supplement import Supplement
    from nirgen.progress import Progress


def evaluate_methods(
    predictions: Sequence[Path] = (),
    ground_truth: Path | None = None,
    *,
    models: Sequence[str] = (),
    pairs: Path | None = None,
    root: Path | None = None,
    split: str = "val",
    rgb: Path | None = None,
    names: Sequence[str] = (),
    settings: Settings | None = None,
    lpips: LpipsNet = "alex",
    weights: Path | None = None,
    published: Sequence[str] = (),
    regions: Path | None = None,
    shifts: bool = False,
    readings: images.Readings = images.Readings(),  # noqa: B008 - frozen
    out: Path | None = None,
    device: str | None = None,
    value_ranges: Sequence[str] = (),
    licences: Mapping[Path, str] | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Report:
    """Evaluate folders of generated NIR and models on real NIR, beside the baselines.

    Args:
        predictions: Folders of generated images, matched with the real ones by name; see `folders`.
        ground_truth: The folder of real NIR; or give `pairs`.
        models: Embedded models, model files or run folders; they need `pairs`, or `rgb` beside `ground_truth`.
        pairs: A pair list, which has photos and sequences.
        root: The folder that the list's paths are relative to; the list's own by default.
        split: The split of the list.
        rgb: The folder of the photos of `ground_truth`; its own `NAME_real_A` in a results folder of pix2pix.
        names: Names of the predictions, then of the models; their own by default.
        settings: Size, bootstrap and subsets.
        lpips: Network of LPIPS.
        weights: A folder of the weights of LPIPS, DISTS, FID and KID, searched before torch's cache.
        published: Keys of `nirgen.evaluate.measures.TABLES`, to show beside.
        regions: Class masks or labels of the images, by which the tones of regions are judged.
        shifts: Judge models and baselines on shifted photos as well.
        readings: How real images and photos are read.
        out: A folder to write the report's files to.
        device: `cpu`, `cuda`...; the best available one by default.
        value_ranges: Range of the networks of other programs, as `nirgen.load_model` takes it: of all, or of each ONNX
            and TorchScript file among `models` in their order.
        licences: Licences of predictions, by their folder.
        progress: Progress callback.

    Raises:
        NirgenError: An image, a folder, a model or a weight file is missing or unusable.
    """
    from nirgen.evaluate.perceptual import Networks  # imports torchmetrics

    settings = settings or Settings(bootstrap="images" if pairs is None else "sequences")
    networks, backbone = Networks(weights, lpips, choose_device(device)), Backbone.read(device=choose_device(device))
    remarks = images.Remarks()
    on, cases, training = _cases(ground_truth, pairs, root, split, rgb, readings=readings, remarks=remarks)
    if settings.size == "pred":
        cases = _sized_by(predictions, cases)
    methods, notes = _methods(
        predictions,
        models,
        names,
        cases,
        size=settings.size,
        readings=readings,
        device=device,
        value_ranges=value_ranges,
        licences=licences or {},
    )
    if cases[0].rgb is None:
        notes["floors"] = "none, not even grey: they need the photos; name their folder with --rgb"
    else:
        methods += [by.grey(), by.red()]
        if training:
            methods += [by.linear(training, settings.size, partial(progress, "fitting the linear floor"))]
        else:
            notes["linear floor"] = "none: it is fitted on pairs of the split 'train', which are not at hand"
    found = None if regions is None else Regions.find(regions, cases)
    by_networks: dict[str, Any] = {"networks": networks, "backbone": backbone}
    judging = partial(progress, "judging")
    scores = score(cases, methods, size=settings.size, **by_networks, regions=found, progress=judging)
    for method in (method for method in methods if method.averaged):
        made = f"the unequal channels of {len(method.averaged)} of its images were averaged"
        notes[method.name] = "; ".join(filter(None, (notes.get(method.name), made)))
    notes |= {f"reading {number}": line for number, line in enumerate(remarks.lines(), start=1)}
    files = {measure: path.name for measure, path in networks.files.items()}
    notes |= networks.notes
    notes["features"] = f"by {backbone.about}"
    files |= dict.fromkeys(("features_distance", "kid_features"), backbone.about)
    beside = [] if found is None else [_regions(scores, settings, found)]
    if shifts:
        beside.append(_shifts(cases, methods, settings, partial(progress, "judging on shifted photos")))
        notes["shifts"] = "of models and floors; a folder's images were made of the photos as they are"
    shown = tuple(dict.fromkeys(published))
    report = make_report(
        scores,
        settings,
        on=on,
        notes=notes,
        weights=files,
        published=shown,
        supplements=tuple(beside),
        costs=measure_costs(methods, scores.sizes[0]),
    )
    return report if out is None else replace(report, files=write(report, out))


def _cases(
    ground_truth: Path | None,
    pairs: Path | None,
    root: Path | None,
    split: str,
    rgb: Path | None,
    *,
    readings: images.Readings,
    remarks: images.Remarks,
) -> tuple[str, tuple[Case, ...], tuple[Case, ...]]:
    """Return the name of the images, their cases, and those to fit a baseline on."""
    if pairs is not None:
        listed = replace(PairList.read(pairs, root), readings=readings, remarks=remarks)
        fits = split != "train" and any(pair.split == "train" for pair in listed.pairs)
        training = by.from_pairs(listed, "train") if fits else ()
        return f"split '{split}' of {pairs.name}", by.from_pairs(listed, split), training
    if ground_truth is None:
        raise NirgenError("no real NIR images: give their folder, or a pair list")
    photos = ground_truth if rgb is None and folders.has_photos(ground_truth) else rgb
    return ground_truth.resolve().name, by.from_folders(ground_truth, photos, readings, remarks), ()


def _sized_by(predictions: Sequence[Path], cases: tuple[Case, ...]) -> tuple[Case, ...]:
    if not predictions:
        raise NirgenError("--size pred: there is no folder of generated images to take the size from; name PRED")
    return by.sized_by(predictions[0], cases)


def _regions(scores: Scores, settings: Settings, regions: Regions) -> Supplement:
    assert scores.visible is not None
    kinds = {method.name: method.kind for method in scores.methods}
    drawn: dict[str, Any] = {"resamples": settings.resamples, "seed": settings.seed}
    groups = groups_of(scores.cases, settings)
    return tabulate(scores.tones, scores.visible, kinds, groups, about=regions.about, **drawn)


def _shifts(
    cases: Sequence[Case], methods: Sequence[Method], settings: Settings, progress: Callable[[int, int], None]
) -> Supplement:
    groups, drawn = groups_of(cases, settings), {"resamples": settings.resamples, "seed": settings.seed}
    return judge_shifted(cases, methods, groups, size=settings.size, **drawn, progress=progress)


def _methods(
    predictions: Sequence[Path],
    models: Sequence[str],
    names: Sequence[str],
    cases: tuple[Case, ...],
    *,
    size: Size,
    readings: images.Readings,
    device: str | None,
    value_ranges: Sequence[str],
    licences: Mapping[Path, str],
) -> tuple[list[Method], dict[str, str]]:
    """Return the folders and models as methods of unique names, and notes on them."""
    paths = [*predictions, *map(Path, models)]
    if names and len(names) != len(paths):
        raise NirgenError(f"{len(names)} names for {len(paths)} methods; give one for each, folders first")
    shown = list(names) or [path.resolve().name.removesuffix(".safetensors") for path in paths]
    for name in shown:
        if shown.count(name) > 1:
            raise NirgenError(f"two methods would be called '{name}'; name each with --name, PREDs first")
        if name in by.FLOORS:
            raise NirgenError(f"'{name}' is the name of a floor; name each with --name, PREDs first")
    methods, notes = [], {}
    for folder, name in zip(predictions, shown, strict=False):
        reading, licence = images.Reading(damaged=readings.nir.damaged), licences.get(folder, UNKNOWN)
        method, others = by.from_folder(folder, cases, size, name, reading, licence=licence)
        methods.append(method)
        if others:
            notes[name] = f"{others} of its images have no real one and were left aside"
    ranges = _ranges(models, value_ranges)
    for path, name, value_range in zip(models, shown[len(predictions) :], ranges, strict=True):
        model = load_model(path, device=device, value_range=value_range)
        methods.append(by.from_model(model, name, f"model {model.id[:12]}"))
    by.refuse_trained_on(methods, cases)
    return methods, notes


def _ranges(models: Sequence[str], given: Sequence[str]) -> list[str | None]:
    """Return the range of each model; one that is given is of all."""
    if len(given) < 2:
        return [given[0] if given else None] * len(models)
    are_files = [Path(model).suffix.lower() in SUFFIXES for model in models]
    if len(given) != sum(are_files):
        files = f"{sum(are_files)} ONNX and TorchScript files"
        raise NirgenError(f"{len(given)} ranges for {files}; give one --range for all, or one for each")
    own = iter(given)
    return [next(own) if is_file else None for is_file in are_files]
