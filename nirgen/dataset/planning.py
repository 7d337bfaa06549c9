"""Make a plan: read the inputs, divide, sample, carry out decisions, look for leaks. Nothing is written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from nirgen.curation import read_decisions
from nirgen.dataset.curating import curate
from nirgen.dataset.inputs import Inputs
from nirgen.dataset.leaks import find_leaks, find_near_duplicates
from nirgen.dataset.lineage import Lineage, TrainingList
from nirgen.dataset.notes import note
from nirgen.dataset.plan import Plan, PlannedImage
from nirgen.dataset.sampling import sample
from nirgen.dataset.splits import assign_splits
from nirgen.dataset.tally import Tally
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.plan import Leak, Report

_PLACES = {"generated", "real", "policy", "curation"}
"""Settings that say where things are; what lies there has hashes of its own."""


def make_plan(config: DatasetConfig, report: Report | None = None) -> Plan:
    """Plan a dataset.

    Args:
        config: What is asked for.
        report: Told how far the reading of files is.

    Returns:
        The plan. Its leaks are named and not refused: `leaks.refuse_leaks` does that.

    Raises:
        NirgenError: An input or a file of decisions can't be used, inputs don't fit each other, or no image is left.
    """
    tally = Tally()
    decisions = None if config.curation is None else read_decisions(config.curation)
    inputs = Inputs.read(config, tally, report)
    chosen = curate(_choose(inputs, tally), decisions, inputs.categories, tally)
    images = chosen.images
    rgb = _rgb_files(inputs, images) if config.near_duplicates else {}
    plan = Plan(
        config=inputs.config,
        categories=inputs.categories,
        label_files=inputs.label_inputs(),
        generators=tuple(translation.generator for translation in inputs.translations),
        training=inputs.training,
        images=images,
        matched=inputs.matched,
        left_out=tally.left_out(),
        leaks=_leaks(inputs, images, rgb, report),
        notes=tuple(note(inputs, images, rgb)),
        inputs=inputs.digests() | ({} if decisions is None else {"curation": decisions.sha256}),
        digest="",
        rejected=chosen.rejected,
        curation=chosen.curation,
    )
    return replace(plan, digest=_digest(plan))


def _choose(inputs: Inputs, tally: Tally) -> tuple[PlannedImage, ...]:
    """The images of the dataset with their splits, sorted by key."""
    lineage = Lineage(TrainingList.each_of(inputs.training), inputs.reals, inputs.generated)
    locked = [lineage.file(image) is not None or lineage.sequence(image) is not None for image in inputs.reals]
    splits = assign_splits(inputs.reals, locked, inputs.config)
    chosen = sample(inputs.generated, splits.count("train"), inputs.config)
    taken = {image.key for image in chosen}
    for image in inputs.generated:
        if image.key not in taken:
            tally.add(image.origin, "not-sampled", [str(image.source)])
    real = [image.planned(split) for image, split in zip(inputs.reals, splits, strict=True)]
    if not chosen and not real:
        raise NirgenError("no image is left for the dataset; raise --limit, or see that labels and images fit")
    return tuple(sorted((*chosen, *real), key=lambda image: image.key))


def _leaks(
    inputs: Inputs, images: Sequence[PlannedImage], rgb: dict[str, Path], report: Report | None
) -> tuple[Leak, ...]:
    """The leaks, sorted by key, each image once."""
    chosen = [image for image in images if image.kind == "generated"]
    leaks = find_leaks(images, inputs.reals, Lineage(TrainingList.each_of(inputs.training), inputs.reals, chosen))
    if inputs.config.near_duplicates:
        named = {leak.key for leak in leaks}
        leaks += [leak for leak in find_near_duplicates(images, rgb, report=report) if leak.key not in named]
    return tuple(sorted(leaks, key=lambda leak: leak.key))


def _rgb_files(inputs: Inputs, images: Sequence[PlannedImage]) -> dict[str, Path]:
    """The RGB files of images by their keys, as far as they are there; none if no image judges a detector."""
    if all(image.split == "train" for image in images):
        return {}
    roots = {translation.given.origin: translation.sources for translation in inputs.translations}
    files = {image.key: image.rgb for image in inputs.reals if image.rgb is not None}
    for image in images:
        root = roots.get(image.origin)
        if root is not None and image.source is not None and (root / image.source).is_file():
            files[image.key] = root / image.source
    return files


def _digest(plan: Plan) -> str:
    """The sha256 of all that decides what the dataset holds."""
    values: dict[str, Any] = {
        "config": plan.config.model_dump(mode="json", exclude=_PLACES),
        "categories": [asdict(category) for category in plan.categories],
        "label_files": [asdict(each) for each in plan.label_files],
        "generators": [asdict(each) for each in plan.generators],
        "images": [_image_values(image) for image in plan.images],
        "matched": [asdict(each) for each in plan.matched],
        "left_out": [asdict(each) for each in plan.left_out],
        "leaks": [asdict(each) for each in plan.leaks],
        "notes": plan.notes,
        "inputs": dict(plan.inputs),
    }
    if plan.curation is not None:
        values["curation"] = plan.curation.described()
        values["rejected"] = [_image_values(image) for image in plan.rejected]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _image_values(image: PlannedImage) -> list[Any]:
    """What decides how an image is written; labels and decisions are those of their files, by hash and name."""
    names = [field.name for field in fields(PlannedImage) if field.name not in {"path", "labels", "decisions"}]
    return [*(getattr(image, name) for name in names), image.labels and image.labels.file_name]
