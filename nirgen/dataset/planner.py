"""Make a plan, write it to a file, and make it again from that file. Nothing of the dataset is written."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen._version import __version__
from nirgen.curation import read_decisions
from nirgen.dataset.annotations import subject_of
from nirgen.dataset.config import PLACES, DatasetConfig
from nirgen.dataset.contents import summarise
from nirgen.dataset.decisions import Curated, apply_decisions, assign, check_categories, explain_unknown
from nirgen.dataset.inputs import Inputs
from nirgen.dataset.plan import REASONS, Plan, PlannedImage, Tally
from nirgen.dataset.splits import Lineage, assign_splits, find_leaks, find_near_duplicates, most_generated, sample
from nirgen.errors import NirgenError
from nirgen.files import check_schema, output_file, read_json
from nirgen.labels.annotations import REPAIRS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nirgen.curation import Decisions
    from nirgen.dataset.plan import Leak
    from nirgen.labels.file import Category
    from nirgen.progress import Progress


def make_plan(config: DatasetConfig, report: Progress | None = None, *, decisions: Decisions | None = None) -> Plan:
    """Plan a dataset. Its leaks are listed and not refused: `build` refuses them.

    Args:
        config: Settings.
        report: Progress callback.
        decisions: Decisions; by default those of the file that `config.curation` names.

    Raises:
        NirgenError: An input or the file of decisions can't be used, inputs don't fit together, or no image is left.
    """
    tally = Tally()
    if decisions is None and config.curation is not None:
        decisions = read_decisions(config.curation)
    inputs = Inputs.read(config, tally, report)
    images, curation = _choose(inputs, tally), None
    rejected: tuple[PlannedImage, ...] = ()
    if decisions is not None:
        images, rejected, curation = curate(images, decisions, inputs.categories, tally)
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
        notes=tuple(_notes(inputs, images, rgb)),
        inputs=inputs.digests() | ({} if decisions is None else {"curation": decisions.sha256}),
        digest="",
        rejected=rejected,
        curation=curation,
    )
    return replace(plan, digest=_digest(plan))


def _choose(inputs: Inputs, tally: Tally) -> tuple[PlannedImage, ...]:
    """Return the images of the dataset with their splits, sorted by key."""
    config = inputs.config
    lineage = Lineage(inputs.training, inputs.reals, inputs.generated)
    locked = [lineage.file(image) is not None or lineage.sequence(image) is not None for image in inputs.reals]
    splits = assign_splits(inputs.reals, locked, config.splits, config.split_by, config.seed)
    limit = most_generated(config.limit, config.generated_per_real, splits.count("train"))
    chosen = sample(inputs.generated, limit, config.balance, config.seed)
    taken = {image.key for image in chosen}
    for image in inputs.generated:
        if image.key not in taken:
            tally.add(image.origin, "not-sampled", [str(image.source)])
    real = [image.planned(split) for image, split in zip(inputs.reals, splits, strict=True)]
    if not chosen and not real:
        raise NirgenError(
            f"no image is left for the dataset: none of {len(inputs.generated)} is sampled; raise --limit"
        )
    return tuple(sorted((*chosen, *real), key=lambda image: image.key))


def _leaks(
    inputs: Inputs, images: Sequence[PlannedImage], rgb: dict[str, Path], report: Progress | None
) -> tuple[Leak, ...]:
    """Return the leaks sorted by key, each image once."""
    chosen = [image for image in images if image.kind == "generated"]
    leaks = find_leaks(images, inputs.reals, Lineage(inputs.training, inputs.reals, chosen))
    if inputs.config.near_duplicates:
        named = {leak.key for leak in leaks}
        leaks += [leak for leak in find_near_duplicates(images, rgb, report) if leak.key not in named]
    return tuple(sorted(leaks, key=lambda leak: leak.key))


def _rgb_files(inputs: Inputs, images: Sequence[PlannedImage]) -> dict[str, Path]:
    """Return the existing RGB files of images by key; empty if everything is in train."""
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
    """Return the sha256 of all that decides what the dataset holds."""
    lists = ("categories", "label_files", "generators", "matched", "left_out", "leaks")
    values: dict[str, Any] = {name: [asdict(each) for each in getattr(plan, name)] for name in lists}
    values |= {"notes": plan.notes, "inputs": dict(plan.inputs)}
    values["config"] = plan.config.model_dump(mode="json", exclude=PLACES)
    values["images"] = [_image_values(image) for image in plan.images]
    if plan.curation is not None:
        values["curation"] = plan.curation.described()
        values["rejected"] = [_image_values(image) for image in plan.rejected]
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _image_values(image: PlannedImage) -> list[Any]:
    """Return what decides how an image is written; labels and decisions are covered by the hashes of their files."""
    names = [
        field.name for field in fields(PlannedImage) if field.name not in {"path", "labels", "outcome", "in_colour"}
    ]
    return [*(getattr(image, name) for name in names), image.labels and image.labels.file_name]


def curate(
    images: Sequence[PlannedImage], decisions: Decisions, categories: Sequence[Category], tally: Tally
) -> tuple[tuple[PlannedImage, ...], tuple[PlannedImage, ...], Curated]:
    """Apply decisions to images that have their splits and are sampled, sorted by key.

    `tally` has the reasons of images that are left out; rejected ones are added.

    Returns:
        The images that are kept, those that are rejected, and the effect of the decisions.

    Raises:
        NirgenError: A decision names an unknown class, or no image is left.
    """
    check_categories(decisions.all, [category.name for category in categories], decisions.path)
    names = {category.id: category.name for category in categories}
    by_key = {image.key: image for image in images}
    reasons = {key: f"its image is among what stays out: {REASONS[reason]}" for key, reason in tally.reasons().items()}
    by_image, unknown = assign(decisions.all, by_key)
    outcomes = {key: apply_decisions(key, subject_of(by_key[key], names), group) for key, group in by_image.items()}
    decided = [replace(image, outcome=outcomes.get(image.key)) for image in images]
    kept = tuple(image for image in decided if not (image.outcome and image.outcome.rejected))
    rejected = tuple(image for image in decided if image.outcome and image.outcome.rejected)
    for image in rejected:
        tally.add(image.origin, "rejected", [image.key.removeprefix(f"{image.origin}/")])
    if not kept:
        raise NirgenError(f"{decisions.path}: rejects every image of the dataset; keep some")
    curation = Curated.of(decisions, outcomes.values(), [explain_unknown(each, reasons.get) for each in unknown])
    return kept, rejected, curation


def _notes(inputs: Inputs, images: Sequence[PlannedImage], rgb: Collection[str]) -> Iterator[str]:
    """Yield remarks on a plan, one line each, without absolute paths; `rgb` has the keys of images with an RGB file."""
    judging = [image for image in images if image.split != "train"]
    if inputs.note is not None:
        yield inputs.note
    if not inputs.config.real:
        yield "there are no real images: everything is in train, and nothing judges a detector"
    elif not judging:
        yield "no image is in val or test: nothing judges a detector"
    policies = sorted({file.policy for file in inputs.labels})
    if len(policies) > 1:
        yield f"labels were made by several policies: {', '.join(policies)}"
    yield from _label_notes(inputs)
    if not judging:
        return
    for generator in (each.generator for each in inputs.translations if not each.training):
        name = generator.model_id[:12]
        yield f"{generator.origin}: its generator {name} has no list of what trained it: leaks by it can't be told"
    for origin in sorted({image.origin for image in images}) if inputs.config.near_duplicates else ():
        ours = [image for image in images if image.origin == origin]
        sought = [image for image in ours if image.kind == "generated" or image.split != "train"]
        gone = sum(image.key not in rgb for image in sought)
        if gone:
            what = "RGB sources aren't there" if ours[0].kind == "generated" else "have no RGB partner that is there"
            remedy = "--sources" if ours[0].kind == "generated" else "--real-pairs"
            yield f"{origin}: {gone} of {len(sought)} {what} ({remedy}): they weren't compared with other RGB images"


def _label_notes(inputs: Inputs) -> Iterator[str]:
    for matched in inputs.matched:
        if matched.name:
            yield f"{matched.origin}: {matched.name} image(s) found labels by name alone, in folders that differ"
        if matched.spelling:
            found = f"{matched.spelling} image(s) found labels under another spelling (%20, Unicode) or ending"
            yield f"{matched.origin}: {found}"
    for given, file in zip(inputs.config.inputs, inputs.labels, strict=True):
        for key, text in REPAIRS.items():
            if count := file.counts.get(key):
                yield f"{given.origin}: {count} {text}"
        for note in file.counts.get("notes", ()):
            yield f"{given.origin}: {note}"


PLAN_SCHEMA = 1


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan, with paths relative to the file's folder."""
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
    """Make the plan of a file again.

    Raises:
        NirgenError: The file is no plan, or the plan has changed; the message names the inputs that differ.
    """
    recorded = _read_plan_file(path)
    folder = path.absolute().parent
    config = DatasetConfig.read(recorded["config"], where=str(path))
    plan = make_plan(config.moved(lambda place: Path(os.path.normpath(folder / place))), report)
    if plan.digest != recorded["digest"]:
        changes = ", ".join(_changes(recorded, plan)) or f"nirgen (planned with {recorded.get('nirgen')})"
        raise NirgenError(f"{path}: the plan has changed since: {changes}; plan again with --plan, and check it")
    return plan


def _read_plan_file(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); '--plan FILE' writes a plan") from None
    except ValueError:
        values = None
    if not isinstance(values, dict) or not {"schema", "digest", "config", "inputs", "summary"} <= values.keys():
        raise NirgenError(f"{path}: not a plan of nirgen; '--plan FILE' writes one")
    check_schema(path, values["schema"], PLAN_SCHEMA, "plan again")
    return values


def _changes(recorded: Mapping[str, Any], plan: Plan) -> list[str]:
    """Return what differs: names of inputs, else inputs with other images left out, else notes."""
    names = sorted(recorded["inputs"].keys() | plan.inputs.keys())
    if changed := [name for name in names if recorded["inputs"].get(name) != plan.inputs.get(name)]:
        return changed
    before, now = recorded["summary"], summarise(plan)
    differing = [each for each in before["left_out"] if each not in now["left_out"]]
    differing += [each for each in now["left_out"] if each not in before["left_out"]]
    if differing:
        return sorted({f"{each['origin']}: what is left out" for each in differing})
    return [note for note in now["notes"] if note not in before["notes"]]
