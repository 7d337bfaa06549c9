"""Make a plan, write it to a file, and make it again from that file. Nothing of the dataset is written."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen._version import __version__
from nirgen.curation import read_decisions
from nirgen.dataset.annotations import Scaling
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.contents import summarise
from nirgen.dataset.decisions import Target, TargetBox, check_categories, judge
from nirgen.dataset.inputs import Inputs
from nirgen.dataset.leaks import LeakRule, TrainingList, find_leaks, find_near_duplicates
from nirgen.dataset.plan import REASONS, Curated, Plan, PlannedImage, Tally
from nirgen.dataset.splits import assign_splits, sample
from nirgen.errors import NirgenError
from nirgen.files import output_file
from nirgen.labels.file import annotation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nirgen.curation import Decision, Decisions
    from nirgen.dataset.plan import Leak
    from nirgen.labels.file import Category
    from nirgen.progress import Progress


_PLACES = {"generated", "real", "policy", "curation"}
"""Settings that say where things are; what lies there has hashes of its own."""


def make_plan(config: DatasetConfig, report: Progress | None = None) -> Plan:
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
    lineage = LeakRule(TrainingList.each_of(inputs.training), inputs.reals, inputs.generated)
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
    inputs: Inputs, images: Sequence[PlannedImage], rgb: dict[str, Path], report: Progress | None
) -> tuple[Leak, ...]:
    """The leaks, sorted by key, each image once."""
    chosen = [image for image in images if image.kind == "generated"]
    leaks = find_leaks(images, inputs.reals, LeakRule(TrainingList.each_of(inputs.training), inputs.reals, chosen))
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


@dataclass(frozen=True)
class Chosen:
    """The images of a dataset.

    Attributes:
        images: Those that it holds, with the decisions about them, sorted by key.
        rejected: Those that a curator took out, sorted by key.
        curation: What the decisions came to; None without any.
    """

    images: tuple[PlannedImage, ...]
    rejected: tuple[PlannedImage, ...] = ()
    curation: Curated | None = None


def curate(
    images: Sequence[PlannedImage], decisions: Decisions | None, categories: Sequence[Category], tally: Tally
) -> Chosen:
    """Carry decisions out on the images that were divided and sampled.

    Args:
        images: Sorted by key.
        decisions: A curator's; None without any.
        categories: The classes of the dataset.
        tally: Knows why other images stay out; rejected ones are counted there.

    Raises:
        NirgenError: A decision names a class that there isn't, or no image is left.
    """
    if decisions is None:
        return Chosen(tuple(images))
    check_categories(decisions.all, [category.name for category in categories], decisions.path)
    names = {category.id: category.name for category in categories}
    by_key = {image.key: image for image in images}
    reasons = tally.reasons()

    def why(key: str) -> str | None:
        reason = reasons.get(key)
        return reason and f"its image is among what stays out: {REASONS[reason]}"

    judged = judge(decisions.all, by_key, lambda key: _target(by_key[key], names), why)
    decided = [_decided(image, judged.applied.get(image.key, ())) for image in images]
    rejected = tuple(image for image in decided if _is_rejected(image))
    for image in rejected:
        tally.add(image.origin, "rejected", [image.key.removeprefix(f"{image.origin}/")])
    kept = tuple(image for image in decided if not _is_rejected(image))
    if not kept:
        raise NirgenError(f"{decisions.path}: rejects every image of the dataset; keep some")
    curation = Curated(
        sha256=decisions.sha256,
        decisions=decisions.all,
        applied=dict(sorted(judged.counts.items())),
        idle=judged.idle,
        gone=tuple(judged.gone),
        changed=tuple(judged.changed),
    )
    return Chosen(kept, rejected, curation)


def _decided(image: PlannedImage, decisions: Sequence[Decision]) -> PlannedImage:
    """An image with the decisions about it."""
    return replace(image, decisions=tuple(sorted(decisions, key=lambda each: each.order))) if decisions else image


def _is_rejected(image: PlannedImage) -> bool:
    return any(each.action == "reject" and each.key == image.key for each in image.decisions)


def _target(image: PlannedImage, names: Mapping[int, str]) -> Target:
    """An image as decisions are about it."""
    scaling, boxes, dropped = Scaling.of(image), dict[str, TargetBox](), set[str]()
    for raw in image.labels.annotations if image.labels else ():
        values = annotation(raw)
        scaled = values if scaling.identity else scaling.annotation(values)
        if scaled is None:
            dropped.add(values["source_key"])
        else:
            x, y, width, height = scaled["bbox"]
            boxes[values["source_key"]] = TargetBox(names[values["category_id"]], (x, y, width, height))
    return Target(image.sha256, (image.width, image.height), boxes, frozenset(dropped))


def note(inputs: Inputs, images: Sequence[PlannedImage], rgb: Collection[str]) -> Iterator[str]:
    """Say what isn't as one may expect, one line each, without absolute paths.

    Args:
        inputs: All that was read.
        images: The images of the dataset.
        rgb: The keys of those whose RGB file is known and there.
    """
    judging = [image for image in images if image.split != "train"]
    if not inputs.config.real:
        yield "there are no real images: everything is in train, and nothing judges a detector"
    elif not judging:
        yield "no image is in val or test: nothing judges a detector"
    policies = sorted({file.policy for file in inputs.labels})
    if len(policies) > 1:
        yield f"labels were made by several policies: {', '.join(policies)}"
    for matched in inputs.matched:
        if matched.name:
            yield f"{matched.origin}: {matched.name} image(s) found labels by name alone, in folders that differ"
    if judging:
        yield from _unknown_lineage(inputs)
        if inputs.config.near_duplicates:
            yield from _uncompared(images, rgb)


def _unknown_lineage(inputs: Inputs) -> Iterator[str]:
    for translation in inputs.translations:
        if not translation.training:
            generator = translation.generator
            name = generator.model_id[:12]
            yield f"{generator.origin}: its generator {name} has no list of what trained it: leaks by it can't be told"


def _uncompared(images: Sequence[PlannedImage], rgb: Collection[str]) -> Iterator[str]:
    """Of images whose RGB side couldn't be compared with that of others."""
    for origin in sorted({image.origin for image in images}):
        ours = [image for image in images if image.origin == origin]
        sought = [image for image in ours if image.kind == "generated" or image.split != "train"]
        gone = sum(image.key not in rgb for image in sought)
        if gone:
            what = "RGB sources aren't there" if ours[0].kind == "generated" else "have no RGB partner that is there"
            remedy = "--sources" if ours[0].kind == "generated" else "--real-pairs"
            yield f"{origin}: {gone} of {len(sought)} {what} ({remedy}): they weren't compared with other RGB images"


PLAN_SCHEMA = 1


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan, with paths relative to the file's folder.

    Raises:
        OutputError: The file can't be written.
    """
    folder = path.absolute().parent
    values = {
        "schema": PLAN_SCHEMA,
        "nirgen": __version__,
        "digest": plan.digest,
        "config": plan.config.moved(lambda place: Path(os.path.relpath(place, folder))).model_dump(mode="json"),
        "inputs": dict(plan.inputs),
        "summary": summarise(plan),
    }
    with output_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def apply_plan(path: Path, report: Progress | None = None) -> Plan:
    """Make the plan of a file anew, and see that it is the same.

    Args:
        path: What `write_plan` wrote.
        report: Told how far the reading of files is.

    Returns:
        The plan.

    Raises:
        NirgenError: The file is no plan, or its inputs have changed since; the message names them.
    """
    recorded = _read_plan_file(path)
    folder = path.absolute().parent
    config = DatasetConfig.read(recorded["config"], where=str(path))
    plan = make_plan(config.moved(lambda place: Path(os.path.normpath(folder / place))), report)
    if plan.digest != recorded["digest"]:
        changes = ", ".join(_changes(recorded, plan)) or f"nirgen (planned with {recorded.get('nirgen')})"
        raise NirgenError(f"{path}: not what it was any more: {changes}; plan again with --plan, and look at it")
    return plan


def _read_plan_file(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); '--plan FILE' writes a plan") from None
    except ValueError:
        values = None
    if not isinstance(values, dict) or not {"schema", "digest", "config", "inputs", "summary"} <= values.keys():
        raise NirgenError(f"{path}: no plan of nirgen's; '--plan FILE' writes one")
    if values["schema"] != PLAN_SCHEMA:
        raise NirgenError(f"{path}: has schema {values['schema']}, and this nirgen reads {PLAN_SCHEMA}; plan again")
    return values


def _changes(recorded: Mapping[str, Any], plan: Plan) -> list[str]:
    """What is another than it was, by name: inputs, else what stays out of them, else what is noted."""
    names = sorted(recorded["inputs"].keys() | plan.inputs.keys())
    changed = [name for name in names if recorded["inputs"].get(name) != plan.inputs.get(name)]
    if changed:
        return changed
    before, now = recorded["summary"], summarise(plan)
    differing = [
        each
        for each in (*before["left_out"], *now["left_out"])
        if each not in before["left_out"] or each not in now["left_out"]
    ]
    if differing:
        return sorted({f"{each['origin']}: what stays out" for each in differing})
    return [note for note in now["notes"] if note not in before["notes"]]
