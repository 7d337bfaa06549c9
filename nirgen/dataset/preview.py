"""Preview what decisions would change in a dataset, without its inputs and without a build."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nirgen.curation import diff
from nirgen.curation.decision import scaled
from nirgen.dataset.decisions import Target, TargetBox, check_categories, image_keys, image_of, judge, own_decisions
from nirgen.dataset.folder import PROVENANCE, annotations_name, read_dataset
from nirgen.dataset.plan import Noted
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from nirgen.curation import Decision, Decisions
    from nirgen.dataset.folder import DatasetInfo


@dataclass(frozen=True, slots=True)
class Holds:
    """What a split holds.

    Attributes:
        images: How many.
        boxes: By class, in the order of the classes.
        ignored: Regions to ignore.
    """

    images: int
    boxes: Mapping[str, int]
    ignored: int


@dataclass(frozen=True)
class Foreseen:
    """What a rebuild with other decisions would change.

    Attributes:
        decisions: How many there are.
        already: How many of them the dataset was built with.
        reworded: How many differ from those in reason, author or what was seen, and in nothing else.
        new: How many others would be carried out, by action.
        idle: Others about boxes of images that are rejected.
        unseen: Others about what the dataset doesn't hold because of decisions that are withdrawn.
        withdrawn: What the dataset was built with and isn't decided any more.
        gone: Decisions whose target isn't in the dataset, or wasn't in its inputs when it was built.
        changed: Those whose target isn't what they saw.
        before: What each split holds.
        after: What each would hold; what comes back with a withdrawn rejection isn't counted, for it isn't there.
    """

    decisions: int
    already: int
    reworded: int
    new: Mapping[str, int]
    idle: int
    unseen: int
    withdrawn: tuple[Decision, ...]
    gone: tuple[Noted, ...]
    changed: tuple[Noted, ...]
    before: Mapping[str, Holds]
    after: Mapping[str, Holds]


def foresee(folder: Path, decisions: Decisions) -> Foreseen:
    """Look what a rebuild with these decisions would change.

    Args:
        folder: A dataset of `nirgen build-dataset`; it is only read.
        decisions: All that it would be built with, those that it was built with among them.

    Returns:
        What would change, as far as the dataset tells: what else depends on its inputs isn't looked at.

    Raises:
        NirgenError: It is no dataset of nirgen's, or is damaged; or a decision names a class that it hasn't.
    """
    info = read_dataset(folder)
    check_categories(decisions.all, [category.name for category in info.categories], decisions.path)
    own = own_decisions(info)
    difference = diff(own, decisions.all)
    changed = [(was, now) for was, now in difference.changed if _effect(was) != _effect(now)]
    withdrawn = [*difference.removed, *(was for was, _ in changed)]
    fresh = sorted((*difference.added, *(now for _, now in changed)), key=lambda each: each.order)
    images = read_images(info)
    before = count_held(images, info)
    _withdraw(images, withdrawn)
    sorted_out = _SortedOut.of(fresh, images, own, withdrawn)
    targets = _Targets(images, own)
    judged = judge(sorted_out.sought, images, targets.of, lambda _: None)
    for key, applied in judged.applied.items():
        _carry_out(images, key, applied)
    kept = {each.order for each in decisions.all} - {each.order for each in fresh}
    return Foreseen(
        decisions=len(decisions.all),
        already=len(decisions.all) - len(fresh) - (len(difference.changed) - len(changed)),
        reworded=len(difference.changed) - len(changed),
        new=dict(sorted(judged.counts.items())),
        idle=judged.idle + sorted_out.idle,
        unseen=sorted_out.unseen,
        withdrawn=difference.removed,
        gone=_with_recorded(judged.gone, info, "gone", kept),
        changed=_with_recorded(judged.changed, info, "changed", kept),
        before=before,
        after=count_held(images, info),
    )


def _withdraw(images: Mapping[str, HeldImage], decisions: Iterable[Decision]) -> None:
    """Undo decisions that a dataset was built with, as far as it, or what they saw, tells how it was before."""
    for decision in decisions:
        key = image_of(decision, images)
        if key is None or decision.key == key:
            continue
        boxes, source_key = images[key].boxes, decision.key.removeprefix(f"{key}#")
        box, was = boxes.get(source_key), decision.seen.category
        if decision.action == "add":
            boxes.pop(source_key, None)
        elif decision.action == "relabel" and box is not None and was is not None:
            boxes[source_key] = replace(box, category=was)
        elif decision.action == "delete" and box is None and was is not None:
            boxes[source_key] = HeldBox(was, decision.seen.bbox or (0, 0, 0, 0), ignored=False)


@dataclass(frozen=True, slots=True)
class HeldBox:
    """A box of a dataset.

    Attributes:
        category: Its class, by name.
        bbox: COCO xywh in pixels.
        ignored: Whether it is a region to ignore.
    """

    category: str
    bbox: tuple[float, float, float, float]
    ignored: bool


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image of a dataset.

    Attributes:
        split: `train`, `val` or `test`.
        size: Width and height in pixels.
        sha256: Of the file that it was made from.
        boxes: By their source keys; may be changed.
    """

    split: str
    size: tuple[int, int]
    sha256: str
    boxes: dict[str, HeldBox] = field(default_factory=dict)


@dataclass(frozen=True)
class _SortedOut:
    """New decisions by whether the dataset can tell what they are about.

    Attributes:
        sought: Those that it can be asked for.
        idle: How many are about boxes of images that are rejected already.
        unseen: How many are about what decisions took out that are withdrawn.
    """

    sought: list[Decision]
    idle: int
    unseen: int

    @classmethod
    def of(
        cls,
        fresh: Iterable[Decision],
        images: Mapping[str, HeldImage],
        own: Iterable[Decision],
        withdrawn: Iterable[Decision],
    ) -> Self:
        """Sort new decisions."""
        back = {each.key for each in withdrawn if each.action in {"delete", "reject"}}
        rejected = {each.key for each in own if each.action == "reject"} - back
        sought, idle, unseen = [], 0, 0
        for decision in fresh:
            about = {decision.key, *image_keys(decision.key)}
            if rejected & about:
                idle += 1
            elif back & about and not _is_there(decision, images):
                unseen += 1
            else:
                sought.append(decision)
        return cls(sought, idle, unseen)


class _Targets:
    """The images of a dataset as they are without decisions, as far as that can be told.

    Args:
        images: By key.
        own: The decisions that the dataset was built with.
    """

    def __init__(self, images: Mapping[str, HeldImage], own: Iterable[Decision]) -> None:
        self._images = images
        self._own = {each.order: each for each in own if each.action in {"relabel", "move"}}

    def of(self, key: str) -> Target:
        """One of them."""
        image = self._images[key]
        boxes = {}
        for source_key, box in image.boxes.items():
            category, bbox = box.category, box.bbox
            relabelled = self._own.get((f"{key}#{source_key}", "relabel"))
            moved = self._own.get((f"{key}#{source_key}", "move"))
            if relabelled is not None:
                category = relabelled.seen.category or category
            if moved is not None and moved.seen.bbox is not None:
                bbox = scaled(moved.seen.bbox, moved.size, image.size)
            boxes[source_key] = TargetBox(category, bbox)
        return Target(image.sha256, image.size, boxes)


def _is_there(decision: Decision, images: Mapping[str, HeldImage]) -> bool:
    """Whether the dataset holds what a decision is about, or what it adds a box to."""
    key = image_of(decision, images)
    if key is None:
        return False
    return decision.key == key or decision.action == "add" or decision.key.removeprefix(f"{key}#") in images[key].boxes


def _effect(decision: Decision) -> tuple[Any, ...]:
    """What a decision does, whatever its reason."""
    size = None if decision.bbox is None else decision.size
    return decision.order, decision.category, decision.bbox, size


def _carry_out(images: dict[str, HeldImage], key: str, decisions: Iterable[Decision]) -> None:
    boxes = images[key].boxes
    for decision in sorted(decisions, key=lambda each: each.order):
        source_key = decision.key.removeprefix(f"{key}#")
        if decision.action == "reject":
            del images[key]
        elif decision.action == "delete":
            del boxes[source_key]
        elif decision.action == "add":
            boxes[source_key] = HeldBox(str(decision.category), decision.bbox or (0, 0, 0, 0), ignored=False)
        elif decision.action == "relabel":
            boxes[source_key] = replace(boxes[source_key], category=str(decision.category))


def _with_recorded(
    found: Iterable[Noted], info: DatasetInfo, what: str, kept: Collection[tuple[str, str]]
) -> tuple[Noted, ...]:
    """Decisions to know of: new ones, and those that the dataset's build listed and that still stand."""
    recorded = [Noted(**each) for each in (info.curation or {}).get(what, ())]
    noted = [*found, *(each for each in recorded if (each.key, each.action) in kept)]
    return tuple(sorted(noted, key=lambda each: (each.key, each.action)))


class _ImageEntry(msgspec.Struct, gc=False):
    id: int
    key: str
    width: int
    height: int


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    key: str
    bbox: tuple[float, float, float, float]
    iscrowd: int


class _Document(msgspec.Struct):
    images: list[_ImageEntry]
    annotations: list[_Annotation]


_DECODER = msgspec.json.Decoder(_Document)


def read_images(info: DatasetInfo) -> dict[str, HeldImage]:
    """Read the images of a dataset with their boxes.

    Returns:
        By key.

    Raises:
        NirgenError: A file of the dataset is damaged.
    """
    names = {category.id: category.name for category in info.categories}
    hashes = _input_hashes(info.folder / PROVENANCE)
    images: dict[str, HeldImage] = {}
    for split in info.splits:
        path = info.folder / annotations_name(split)
        try:
            document = _DECODER.decode(path.read_bytes())
            keys = {image.id: image.key for image in document.images}
            for image in document.images:
                images[image.key] = HeldImage(split, (image.width, image.height), hashes.get(image.key, ""))
            for each in document.annotations:
                source_key = each.key.removeprefix(f"{keys[each.image_id]}#")
                box = HeldBox(names[each.category_id], each.bbox, bool(each.iscrowd))
                images[keys[each.image_id]].boxes[source_key] = box
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:100]
            raise NirgenError(f"{path}: can't be read ({reason}); build the dataset again") from None
    return images


def _input_hashes(path: Path) -> dict[str, str]:
    """The sha256 of the file that each image comes from, by the image's key."""
    try:
        table = pq.read_table(path, columns=["key", "input_sha256"], filters=[("kind", "=", "image")])
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise NirgenError(f"{path}: can't be read ({reason}); build the dataset again") from None
    return dict(zip(table["key"].to_pylist(), table["input_sha256"].to_pylist(), strict=True))


def count_held(images: Mapping[str, HeldImage], info: DatasetInfo) -> dict[str, Holds]:
    """Count what each split holds.

    Args:
        images: By key.
        info: What the dataset says of itself.
    """
    names = [category.name for category in info.categories]
    counts: dict[str, Counter[str]] = {split: Counter() for split in info.splits}
    held: dict[str, Counter[str]] = {split: Counter() for split in info.splits}
    for image in images.values():
        held[image.split]["images"] += 1
        for box in image.boxes.values():
            if box.ignored:
                held[image.split]["ignored"] += 1
            else:
                counts[image.split][box.category] += 1
    return {
        split: Holds(held[split]["images"], {name: counts[split][name] for name in names}, held[split]["ignored"])
        for split in info.splits
    }
