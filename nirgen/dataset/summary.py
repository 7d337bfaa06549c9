"""What a plan comes to, counted: for the terminal, for `--json` and for plan files."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nirgen.dataset.editing import count_boxes
from nirgen.dataset.plan import SPLITS
from nirgen.dataset.tally import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nirgen.dataset.plan import LabelInput, Plan, PlannedImage


def summarise(plan: Plan) -> dict[str, Any]:
    """Count what a plan holds.

    Args:
        plan: The plan.

    Returns:
        Plain values: `digest`; `splits` by name, with images, boxes by class, regions to ignore, and bytes; `classes`,
        what became of each name in the labels; `matched`, `collisions`, `scaled`, `left_out`, `leaks`, `notes`,
        `curation` (docs/formats.md).
    """
    ids = {category.name: category.id for category in plan.categories}
    by_split = {split: [image for image in plan.images if image.split == split] for split in SPLITS}
    return {
        "digest": plan.digest,
        "images": len(plan.images),
        "splits": {split: _split(images, ids) for split, images in by_split.items() if images},
        "classes": [_class_map(each) for each in plan.label_files],
        "matched": [asdict(each) for each in plan.matched],
        "collisions": _collisions(plan.images),
        "scaled": sum(_is_scaled(image) for image in plan.images),
        "left_out": [{**asdict(each), "examples": list(each.examples)} for each in plan.left_out],
        "leaks": [asdict(leak) for leak in plan.leaks],
        "notes": list(plan.notes),
        "curation": plan.curation and plan.curation.described(),
    }


def _split(images: Sequence[PlannedImage], ids: dict[str, int]) -> dict[str, Any]:
    """What a split holds; boxes and regions to ignore are told apart by `iscrowd`."""
    boxes = Counter[int]()
    ignored = empty = 0
    for image in images:
        on_it, to_ignore = count_boxes(image, ids)
        boxes.update(on_it)
        ignored += to_ignore
        empty += image.labels is not None and not on_it and not to_ignore
    kinds = Counter(image.kind for image in images)
    return {
        "generated": kinds["generated"],
        "real": kinds["real"],
        "empty": empty,
        "unlabelled": sum(image.unlabelled for image in images),
        "recordings": len({(image.origin, image.sequence) for image in images if image.sequence}),
        "boxes": {name: boxes[number] for name, number in ids.items()},
        "ignored": ignored,
        "bytes": sum(image.size_bytes for image in images),
    }


def _class_map(labels: LabelInput) -> dict[str, Any]:
    """What became of the labels of one input, by their names in the source."""
    return {
        "origin": labels.origin,
        "file": labels.name,
        "policy": labels.policy,
        "names": labels.counts.get("names", []),
        "lost": labels.counts.get("lost", {}),
        "duplicates": labels.counts.get("duplicates", 0),
    }


def _collisions(images: Iterable[PlannedImage]) -> dict[str, Any]:
    """Paths that images of several inputs share; each keeps its own place, in the folder of its input."""
    origins: dict[str, set[str]] = defaultdict(set)
    for image in images:
        origins[image.target.split("/", 2)[2]].add(image.origin)
    shared = sorted(path for path, bearers in origins.items() if len(bearers) > 1)
    return {"count": len(shared), "examples": shared[:EXAMPLES]}


def _is_scaled(image: PlannedImage) -> bool:
    labels = image.labels
    return labels is not None and (labels.width, labels.height) != (image.width, image.height)
