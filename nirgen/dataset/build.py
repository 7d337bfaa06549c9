"""Carry out a plan: write a dataset, whole or not at all."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen._version import __version__
from nirgen.curation import encode
from nirgen.dataset import folder
from nirgen.dataset import writers as yolo
from nirgen.dataset.annotations import label_images
from nirgen.dataset.card import Examples, write_card
from nirgen.dataset.contents import Contents, check_licence, parts_of
from nirgen.dataset.leaks import refuse_leaks
from nirgen.dataset.provenance import provenance_file, write_pairs
from nirgen.dataset.store import Store, place_all, site_for
from nirgen.dataset.writers import coco_files, huggingface_files, rfdetr_files, write_configs
from nirgen.errors import ConfigError, OutputError
from nirgen.files import safe_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.config import GeneratedInput, RealInput
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Placed
    from nirgen.progress import Progress


FORMATS: Mapping[str, Callable[[Store, Plan], AbstractContextManager[Callable[[Labelled], None]]]] = {
    "yolo": yolo.yolo_files,
    "hf": huggingface_files,
    "rfdetr": rfdetr_files,
}
"""What writes the formats besides COCO."""

NOT_DESCRIBED = {"generated", "real", "policy", "curation"}
"""Settings that `dataset.json` doesn't have, because they say where inputs lay."""

_REPORT_EVERY = 100


@dataclass(frozen=True)
class Built:
    """What a build did.

    Attributes:
        out: The dataset, absolute.
        already: Whether it was there already, from the same plan and intact; nothing was written then.
        images: How many it holds.
        annotations: How many it holds, regions to ignore included.
        dropped: Annotations that were too small after scaling.
        placed: Images by what their files are: `hardlink`, `symlink`, `copy`, `encoded`; empty if `already`.
        seconds: How long it took.
    """

    out: Path
    already: bool
    images: int
    annotations: int
    dropped: int
    placed: Mapping[str, int]
    seconds: float


def build(plan: Plan, out: Path, *, replace: bool = False, progress: Progress | None = None) -> Built:
    """Write the dataset of a plan.

    It appears whole or not at all: it is written beside `out`, whose place it takes when it is complete. The same plan
    gives the same bytes, but for `run.json`.

    Args:
        plan: What to write.
        out: The dataset's folder.
        replace: Whether another dataset of nirgen's that is there may be replaced.
        progress: Told how far the work has come.

    Returns:
        What was done.

    Raises:
        NirgenError: The plan has leaks that aren't allowed, or a licence that one of its parts forbids; an image
            changed since it was made; a name leads out of the dataset; or `out` is something else, or can't be written.
            What was there is there still.
    """
    started = time.monotonic()
    _check(plan, out)
    with site_for(out) as site:
        found = _existing(site.out, plan, replace=replace, progress=progress)
        if found is not None:
            return _built(site.out, found.values, Counter(), started, already=True)
        site.new.mkdir()
        values, placed = _write(plan, Store(site.new), progress)
        _keep_scores(site.out, site.new)
        _write_run_json(site.new, plan, started)
        site.change_places()
    return _built(site.out, values, Counter(each.how for each in placed), started)


def _check(plan: Plan, out: Path) -> None:
    """Refuse a plan that must not be carried out, before anything is written."""
    refuse_leaks(plan)
    if not plan.images:
        raise ConfigError("the plan has no images; see what it leaves out, and why")
    check_licence(plan)
    for image in plan.images:
        safe_path(image.target, image.key)
    if "yolo" in plan.config.formats:
        yolo.check_names(plan)
    for given in _inputs(plan):
        if given.folder.resolve().is_relative_to(out.resolve()):
            raise OutputError(f"{out}: holds the images of '{given.origin}' ({given.folder}); name another folder")


def _inputs(plan: Plan) -> list[GeneratedInput | RealInput]:
    return [*plan.config.generated, *plan.config.real]


def _existing(out: Path, plan: Plan, *, replace: bool, progress: Progress | None) -> folder.DatasetInfo | None:
    """The dataset that is there already, if it is the plan's own and intact; one that may be replaced isn't."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not folder.is_dataset(out):
        raise OutputError(f"{out}: there, and no dataset of nirgen's; name another folder")
    info = folder.read_dataset(out)
    same = (info.digest, info.nirgen_version) == (plan.digest, __version__)
    changed = next(folder.altered(info, progress), None) if same else None
    if same and changed is None:
        return info
    if not replace:
        what = f"this dataset, but {changed!r} is missing or altered" if same else "another dataset"
        raise OutputError(f"{out}: holds {what}; say --replace to build it anew, or name another folder")
    strangers = [name for name in folder.foreign(info) if not _is_given(out / name, plan)]
    if strangers:
        raise OutputError(
            f"{out}: {len(strangers)} of its files aren't of the dataset, such as {strangers[0]!r}, and would be lost; "
            "move them away, or name another folder"
        )
    if folder.CURATION in info.files and plan.curation is None and (out / folder.CURATION).exists():
        raise OutputError(
            f"{out}: was built with decisions, which would be lost; say --curation {out / folder.CURATION}, or move "
            "that file away"
        )
    return None


def _is_given(path: Path, plan: Plan) -> bool:
    """Whether a file is that of the plan's decisions, all of which the new dataset will have."""
    given = plan.config.curation
    return given is not None and path.name == folder.CURATION and path.resolve() == given.resolve()


def _keep_scores(old: Path, new: Path) -> None:
    """Carry scores over from the dataset that is replaced; their reader knows which of them still hold."""
    if (old / folder.SCORES).is_file():
        shutil.copyfile(old / folder.SCORES, new / folder.SCORES)


def _write(plan: Plan, store: Store, progress: Progress | None) -> tuple[dict[str, Any], list[Placed]]:
    """Write all files but `run.json`; what `dataset.json` says, and how the images came."""
    placed = place_all(plan.images, store, plan.config, progress)
    contents, examples = Contents(), Examples.of(plan)
    with ExitStack() as stack:
        takers = [stack.enter_context(coco_files(store, plan))]
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
        store.write(folder.CURATION, encode(plan.curation.decisions))
    write_configs(store, plan)
    write_card(store, plan, contents, examples)
    values = _described(plan, contents, store)
    (store.root / folder.DATASET_JSON).write_bytes(msgspec.json.format(msgspec.json.encode(values), indent=1) + b"\n")
    return values, placed


def _described(plan: Plan, contents: Contents, store: Store) -> dict[str, Any]:
    """What `dataset.json` says."""
    return {
        "schema": folder.SCHEMA,
        "nirgen": __version__,
        "digest": plan.digest,
        "config": plan.config.model_dump(mode="json", exclude=NOT_DESCRIBED),
        "categories": [asdict(category) for category in plan.categories],
        **contents.described(plan),
        "labels": [asdict(labels) for labels in plan.label_files],
        "generators": [asdict(generator) for generator in plan.generators],
        "matched": [asdict(each) for each in plan.matched],
        "left_out": [asdict(each) for each in plan.left_out],
        "leaks": [asdict(leak) for leak in plan.leaks],
        "notes": list(plan.notes),
        "curation": plan.curation and plan.curation.described(),
        "licences": [asdict(part) for part in parts_of(plan)],
        "files": dict(sorted(store.hashes.items())),
    }


def _built(
    out: Path, values: Mapping[str, Any], placed: Mapping[str, int], started: float, *, already: bool = False
) -> Built:
    splits: Sequence[Mapping[str, Any]] = list(values["splits"].values())
    return Built(
        out=out,
        already=already,
        images=sum(split["images"] for split in splits),
        annotations=sum(sum(split["boxes"].values()) + split["ignored"] for split in splits),
        dropped=values["dropped_after_scaling"]["boxes"],
        placed=dict(sorted(placed.items())),
        seconds=round(time.monotonic() - started, 3),
    )


def _write_run_json(root: Path, plan: Plan, started: float) -> None:
    """Clocks, host and absolute paths: all that must not be in the other files."""
    seconds = time.monotonic() - started
    values = {
        "schema": folder.SCHEMA,
        "started": datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "nirgen": __version__,
        "inputs": {
            given.origin: {
                name: None if value is None else str(value.absolute())
                for name, value in given.model_dump(exclude={"origin"}).items()
            }
            for given in _inputs(plan)
        },
        "curation": None if plan.config.curation is None else str(plan.config.curation.absolute()),
    }
    (root / folder.RUN_JSON).write_bytes(json.dumps(values, indent=2).encode() + b"\n")
