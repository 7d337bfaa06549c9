"""Carry out a plan: write a dataset, whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen._version import __version__
from nirgen.dataset import folder, writers
from nirgen.dataset.annotations import label_images
from nirgen.dataset.card import write_card
from nirgen.dataset.config import PLACES
from nirgen.dataset.contents import Contents, check_licence, describe_colour, parts_of
from nirgen.dataset.examples import Examples
from nirgen.dataset.losses import find_losses
from nirgen.dataset.provenance import provenance_file, write_pairs
from nirgen.dataset.store import Store, place_all, site_for
from nirgen.errors import ConfigError, NirgenError, OutputError
from nirgen.files import safe_path, seal
from nirgen.runlog import environment, write_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.losses import Losses
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Placed
    from nirgen.progress import Progress


FORMATS: Mapping[str, Callable[[Store, Plan], AbstractContextManager[Callable[[Labelled], None]]]] = {
    "yolo": writers.yolo_files,
    "hf": writers.huggingface_files,
    "rfdetr": writers.rfdetr_files,
}
"""Writers of the formats besides COCO."""

_REPORT_EVERY = 100


@dataclass(frozen=True)
class Built:
    """Result of a build."""

    out: Path  # the dataset, absolute
    already: bool  # it existed, from the same plan and intact; nothing was written
    images: int
    annotations: int  # regions to ignore included
    dropped: int  # annotations that were too small after scaling
    placed: Mapping[str, int]  # images by `hardlink`, `symlink`, `copy` and `encoded`; empty if `already`
    seconds: float


def build(
    plan: Plan,
    out: Path,
    *,
    replace: bool = False,
    allow_loss: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Write the dataset of a plan to a folder.

    It is written beside `out` and takes its place when it is complete. The same plan gives the same bytes, except for
    `run.json`.

    Args:
        plan: The plan.
        out: The folder.
        replace: Replace another dataset of nirgen there.
        allow_loss: Replace it even if the plan lacks images, splits, formats or decisions that it has.
        progress: Progress callback.

    Raises:
        NirgenError: The plan must not be built (`check_plan`), an image changed since it was made, `out` is
            something else or can't be written, or would lose something. What was in `out` stays.
    """
    started = time.monotonic()
    check_plan(plan)
    for given in plan.config.inputs:
        if given.folder.resolve().is_relative_to(out.resolve()):
            raise OutputError(f"{out}: holds the images of '{given.origin}' ({given.folder}); name another folder")
    values: Mapping[str, Any]
    placed: list[Placed] = []
    with site_for(out) as site:
        found = _existing(site.out, plan, replace=replace, allow_loss=allow_loss, progress=progress)
        if found is not None:
            values = found.values
        else:
            site.new.mkdir()
            store = Store(site.new)
            values, placed = _write(plan, store, progress)
            for name in sorted(folder.ADDED):  # their readers know what of them still holds
                if (site.out / name).is_file():
                    shutil.copyfile(site.out / name, site.new / name)
            _write_run_json(site.new, plan, started)
            site.change_places(lambda: _check(store, plan, site.out))
    splits = list(values["splits"].values())
    return Built(
        out=site.out,
        already=found is not None,
        images=sum(split["images"] for split in splits),
        annotations=sum(sum(split["boxes"].values()) + split["ignored"] for split in splits),
        dropped=values["dropped_after_scaling"]["boxes"],
        placed=dict(sorted(Counter(each.how for each in placed).items())),
        seconds=round(time.monotonic() - started, 3),
    )


def _check(store: Store, plan: Plan, out: Path) -> None:
    """Raise OutputError unless the new folder holds what was written there, and nothing else."""
    try:
        info = folder.read_dataset(store.root)
    except NirgenError:
        info = None
    if info is None or (info.digest, info.files) != (plan.digest, store.hashes):
        lost: str | None = folder.DATASET_JSON
    else:
        lost = next(chain(store.altered(), folder.foreign(info)), None)
    if lost is not None:
        raise OutputError(
            f"{out}: {lost} was removed, changed or added while the dataset was built, so it was not put in place; run "
            "the same command again"
        )


def check_plan(plan: Plan) -> None:
    """Refuse a plan without images, or with leaks, colour, a licence, paths or YOLO names that aren't allowed."""
    refuse_leaks(plan)
    refuse_colour(plan)
    if not plan.images:
        raise ConfigError("the plan has no images; see what it leaves out, and why")
    check_licence(plan)
    for image in plan.images:
        safe_path(image.target, image.key)
    if "yolo" in plan.config.formats:
        writers.check_names(plan)


def refuse_leaks(plan: Plan) -> None:
    """Raise a NirgenError if validation or test images were seen in training, unless the user allows it."""
    if not plan.leaks or plan.config.allow_leak:
        return
    count = len({leak.key for leak in plan.leaks})
    first = plan.leaks[0]
    raise NirgenError(
        f"{count} image(s) in validation or test were seen in training, such as '{first.key}' ({first.kind}: "
        f"{first.other}); remove them, put them into train, or give --allow-leak, which the dataset's card states"
    )


def refuse_colour(plan: Plan) -> None:
    """Raise a NirgenError if real images, which should be NIR, are in colour, unless the user allows it."""
    if plan.coloured and not plan.config.allow_colour:
        real = sum(image.kind == "real" for image in plan.images)
        raise NirgenError(
            f"{len(plan.coloured)} of {real} real images are in colour, such as '{plan.coloured[0]}', and NIR isn't; "
            "give the NIR images instead of the photos, or --allow-colour, which the dataset's card states"
        )


def refuse_losses(out: Path, losses: Losses) -> None:
    """Raise a NirgenError that names what would be lost, if images, splits, formats or decisions would be."""
    if losses.grave:
        raise NirgenError(
            f"{out}: would lose {losses}; give the inputs and options that it was built with, as 'nirgen rebuild "
            f"{out}' does, or --allow-loss"
        )


def _existing(
    out: Path, plan: Plan, *, replace: bool, allow_loss: bool, progress: Progress | None
) -> folder.DatasetInfo | None:
    """Return the dataset in `out` if it is the plan's own and intact; None if `out` is free or may be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not folder.is_dataset(out):
        raise OutputError(f"{out}: exists, and is no dataset of nirgen's; name another folder")
    info = folder.read_dataset(out)
    same = (info.digest, info.nirgen_version) == (plan.digest, __version__)
    changed = next(folder.altered(info, progress), None) if same else None
    if same and changed is None:
        return info
    if not replace:
        what = f"this dataset, but {changed!r} is missing or altered" if same else "another dataset"
        raise OutputError(f"{out}: holds {what}; give --replace to build it anew, or name another folder")
    given = plan.config.curation  # may lie in the dataset, and will be its own file
    strangers = [
        name
        for name in folder.foreign(info)
        if not (given and (out / name).name == folder.CURATION and (out / name).resolve() == given.resolve())
    ]
    if strangers:
        raise OutputError(
            f"{out}: {len(strangers)} of its files aren't of the dataset, such as {strangers[0]!r}, and would be lost; "
            "move them away, or name another folder"
        )
    if not allow_loss:
        refuse_losses(out, find_losses(info, plan))
    return None


def _write(plan: Plan, store: Store, progress: Progress | None) -> tuple[dict[str, Any], list[Placed]]:
    """Write all files but `run.json`; return the values of `dataset.json` and the placed images."""
    placed = place_all(plan.images, store, plan.config, progress)
    contents, examples = Contents(), Examples.of(plan)
    with ExitStack() as stack:
        takers = [stack.enter_context(writers.coco_files(store, plan))]
        takers += [stack.enter_context(FORMATS[name](store, plan)) for name in sorted(plan.config.formats)]
        add_provenance = stack.enter_context(provenance_file(store, plan))
        for done, (labelled, each) in enumerate(zip(label_images(plan), placed, strict=True), start=1):
            for take in takers:
                take(labelled)
            add_provenance(labelled, each)
            contents.add(labelled, each)
            examples.add(labelled)
            if progress is not None and (done % _REPORT_EVERY == 0 or done == len(placed)):
                progress("annotations", done, len(placed))
    write_pairs(store, plan.training)
    if plan.curation is not None:
        store.write(folder.CURATION, plan.curation.data)
    writers.write_configs(store, plan)
    write_card(store, plan, contents, examples)
    described = msgspec.json.encode(_described(plan, contents, store))
    values = seal(msgspec.json.decode(described))
    (store.root / folder.DATASET_JSON).write_bytes(msgspec.json.format(msgspec.json.encode(values), indent=1) + b"\n")
    return values, placed


def _described(plan: Plan, contents: Contents, store: Store) -> dict[str, Any]:
    """Return the values of `dataset.json`."""
    return {
        "schema": folder.SCHEMA,
        "nirgen": __version__,
        "digest": plan.digest,
        "config": plan.config.model_dump(mode="json", exclude=PLACES),
        "categories": [asdict(category) for category in plan.categories],
        **contents.described(plan),
        "labels": [asdict(labels) for labels in plan.label_files],
        "generators": [asdict(generator) for generator in plan.generators],
        "matched": [asdict(each) for each in plan.matched],
        "left_out": [asdict(each) for each in plan.left_out],
        "leaks": [asdict(leak) for leak in plan.leaks],
        "coloured": describe_colour(plan),
        "notes": list(plan.notes),
        "curation": plan.curation and plan.curation.described(),
        "licences": [asdict(part) for part in parts_of(plan)],
        "files": dict(sorted(store.hashes.items())),
    }


def _write_run_json(root: Path, plan: Plan, started: float) -> None:
    """Write clock, host and absolute paths, which the other files must not contain."""
    seconds, config = time.monotonic() - started, plan.config.moved(Path.absolute)
    values = {
        "schema": folder.SCHEMA,
        "started": datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        **environment(),
        "inputs": {given.origin: given.model_dump(mode="json", exclude={"origin"}) for given in config.inputs},
        "policy": config.policy,
        "curation": config.curation and str(config.curation),
    }
    write_run(root, values)
