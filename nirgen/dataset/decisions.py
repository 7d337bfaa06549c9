"""Decisions applied to the images and boxes of a dataset: which find their target, and what they change."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nirgen.curation import read_decisions
from nirgen.curation.decision import OF_BOXES, scaled
from nirgen.dataset.folder import CURATION
from nirgen.dataset.plan import Noted
from nirgen.errors import NirgenError, nearest
from nirgen.labels.file import annotation, box_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.curation.decision import Bbox, Decision
    from nirgen.dataset.folder import DatasetInfo
    from nirgen.dataset.plan import PlannedImage


TOLERANCE = 0.05
"""By how many pixels a box may lie elsewhere than a decision saw it, and count as the same."""

SMALLEST = 0.001
"""Width and height, in pixels, that a box has at least once it is in the image."""


@dataclass(frozen=True, slots=True)
class TargetBox:
    """A box that decisions may be about, as it is without them.

    Attributes:
        category: Its class, by name.
        bbox: COCO xywh in pixels of the dataset's image.
    """

    category: str
    bbox: Bbox


@dataclass(frozen=True, slots=True)
class Target:
    """An image that decisions may be about, as it is without them.

    Attributes:
        sha256: Of the file that goes into the dataset, before any re-encoding.
        size: Width and height of the dataset's image, in pixels.
        boxes: By their source keys.
        dropped: The source keys of boxes that are too small to be in the dataset.
    """

    sha256: str
    size: tuple[int, int]
    boxes: Mapping[str, TargetBox]
    dropped: frozenset[str] = frozenset()


@dataclass
class Judged:
    """What decisions come to.

    Attributes:
        applied: By the key of the image, those that have an effect: its own, and those of its boxes.
        counts: How many these are, by action.
        gone: Those whose target isn't there, and why.
        changed: Those whose target isn't any more what they saw, and how. They are applied as well.
        idle: Decisions about boxes of images that are rejected, which have no effect.
    """

    applied: dict[str, list[Decision]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)
    gone: list[Noted] = field(default_factory=list)
    changed: list[Noted] = field(default_factory=list)
    idle: int = 0


def judge(
    decisions: Iterable[Decision],
    keys: Mapping[str, object],
    target: Callable[[str], Target],
    why: Callable[[str], str | None],
) -> Judged:
    """Look for what decisions are about.

    Args:
        decisions: Sorted by key and action.
        keys: The keys of the images that there are, without regard to decisions.
        target: Gives one of these images.
        why: Says of the key of another image why it isn't there; None if nothing is known of it.

    Returns:
        What they come to.
    """
    judged = Judged()
    by_image: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        image = image_of(decision, keys)
        if image is None:
            judged.gone.append(_noted(decision, _why_gone(decision, why)))
        else:
            by_image[image].append(decision)
    for key, group in by_image.items():
        _judge_image(key, group, target(key), judged)
    judged.gone.sort(key=lambda each: (each.key, each.action))
    judged.changed.sort(key=lambda each: (each.key, each.action))
    return judged


def image_of(decision: Decision, keys: Mapping[str, object]) -> str | None:
    """The key of the image that a decision is about, or whose box it is about; None if no image has it."""
    if decision.action not in OF_BOXES and decision.key in keys:
        return decision.key
    if decision.action == "reject":
        return None
    return next((image for image in image_keys(decision.key) if image in keys), None)


def image_keys(key: str) -> list[str]:
    """What may be the key of a box's image, for both parts of the key may have a `#`; the longest first.

    Example:
        >>> image_keys("bdd100k/a#b.jpg#7")
        ['bdd100k/a#b.jpg', 'bdd100k/a']
    """
    return [key[:place] for place in range(len(key) - 1, 0, -1) if key[place] == "#"]


def check_categories(decisions: Iterable[Decision], names: Sequence[str], path: Path) -> None:
    """Make sure that decisions name classes of the dataset.

    Raises:
        NirgenError: One doesn't.
    """
    for decision in decisions:
        if decision.category is not None and decision.category not in names:
            raise NirgenError(
                f"{path}: {decision.action} of {decision.key!r} names the class {decision.category!r}, which the "
                f"dataset hasn't{nearest(decision.category, names)} (there are {', '.join(names)})"
            )


def placed(bbox: Bbox, decision: Decision, size: tuple[int, int]) -> Bbox | None:
    """A box of a decision on an image of the dataset, cut at its border.

    Args:
        bbox: COCO xywh in pixels of an image of the decision's size.
        decision: What has it.
        size: Width and height of the dataset's image, in pixels.

    Returns:
        COCO xywh in pixels of the dataset's image; None if too little of it is in there.
    """
    x, y, width, height = scaled(bbox, decision.size, size)
    left, top = max(0.0, round(x, 3)), max(0.0, round(y, 3))
    right, bottom = min(float(size[0]), round(x + width, 3)), min(float(size[1]), round(y + height, 3))
    box = (left, top, round(right - left, 3), round(bottom - top, 3))
    return box if min(box[2:]) >= SMALLEST and round(box[2] * box[3], 3) > 0 else None


def _judge_image(key: str, group: Sequence[Decision], target: Target, judged: Judged) -> None:
    own = [each for each in group if each.key == key]
    others = [each for each in group if each.key != key]
    for decision in own:
        _apply(key, decision, _image_change(decision, target), judged)
    if any(each.action == "reject" for each in own):
        judged.idle += len(others)
        return
    boxes = dict(target.boxes)
    for decision in sorted(others, key=lambda each: (each.action != "add", each.order)):
        source_key = decision.key.removeprefix(f"{key}#")
        fault = _box_fault(decision, source_key, boxes, target)
        if fault is not None:
            judged.gone.append(_noted(decision, fault))
            continue
        if decision.action == "add":
            box = placed(decision.bbox or (0, 0, 0, 0), decision, target.size)
            boxes[source_key] = TargetBox(str(decision.category), box or (0, 0, 0, 0))
        _apply(key, decision, _box_change(decision, boxes[source_key], target), judged)


def _apply(image: str, decision: Decision, change: str | None, judged: Judged) -> None:
    judged.applied[image].append(decision)
    judged.counts[decision.action] += 1
    if change is not None:
        judged.changed.append(_noted(decision, change))


def _image_change(decision: Decision, target: Target) -> str | None:
    """What is another in an image than a decision saw."""
    if decision.seen.sha256 not in {None, target.sha256}:
        return f"its file was {str(decision.seen.sha256)[:12]}, and is {target.sha256[:12]}"
    return None


def _box_fault(decision: Decision, source_key: str, boxes: Mapping[str, TargetBox], target: Target) -> str | None:
    """Why a decision about a box can't be carried out."""
    if decision.action == "add":
        if source_key in target.boxes or source_key in target.dropped:
            return "the labels have a box of this key already"
    elif source_key in target.dropped:
        return "the box is too small for the dataset once it is scaled"
    elif source_key not in boxes:
        return "its image has no such box"
    if decision.bbox is not None and placed(decision.bbox, decision, target.size) is None:
        return "nothing of the new box is in the image"
    return None


def _box_change(decision: Decision, box: TargetBox, target: Target) -> str | None:
    """What is another in a box than a decision saw."""
    seen, changes = decision.seen, []
    if seen.category not in {None, box.category}:
        changes.append(f"its class was {seen.category}, and is {box.category}")
    if seen.bbox is not None:
        was = scaled(seen.bbox, decision.size, target.size)
        if max(abs(one - other) for one, other in zip(was, box.bbox, strict=True)) > TOLERANCE:
            changes.append(f"its box was at {said(was)}, and is at {said(box.bbox)}")
    return "; ".join(changes) or _image_change(decision, target)


def said(bbox: Bbox) -> str:
    """A box in words.

    Example:
        >>> said((10, 20.5, 30, 40))
        '10,20.5 30x40'
    """
    x, y, width, height = (f"{round(value, 3):.10g}" for value in bbox)
    return f"{x},{y} {width}x{height}"


def _why_gone(decision: Decision, why: Callable[[str], str | None]) -> str:
    """Why there is no image for a decision."""
    candidates = [decision.key] if decision.action not in OF_BOXES else []
    candidates += [] if decision.action == "reject" else image_keys(decision.key)
    found = next((reason for key in candidates if (reason := why(key)) is not None), None)
    return found or "the dataset has no such image"


def _noted(decision: Decision, why: str) -> Noted:
    return Noted(decision.key, decision.action, why)


class Editing:
    """The decisions about one image and its boxes.

    Args:
        image: The image, with its decisions.
        ids: The ids of the dataset's categories by their names.
    """

    def __init__(self, image: PlannedImage, ids: Mapping[str, int]) -> None:
        self._size = image.width, image.height
        self._ids = ids
        self._names = {number: name for name, number in ids.items()}
        self._by_key: dict[str, list[Decision]] = {}
        for decision in image.decisions:
            if decision.key != image.key:
                self._by_key.setdefault(decision.key.removeprefix(f"{image.key}#"), []).append(decision)

    def apply(self, source_key: str, values: dict[str, Any]) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
        """Carry out the decisions about an annotation.

        Args:
            source_key: What its label file calls it.
            values: Its COCO keys, on the dataset's image.

        Returns:
            The keys as they are decided, None if it was deleted; and what was done, in words.
        """
        steps = []
        for decision in self._by_key.get(source_key, ()):
            if decision.action == "delete":
                return None, ()
            values, step = self._edited(values, decision)
            steps.append(step)
        return values, tuple(steps)

    def added(self) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
        """The annotations that decisions add, edited by others: source key, COCO keys, what was done in words."""
        for source_key, decisions in sorted(self._by_key.items()):
            if any(decision.action == "add" for decision in decisions):
                values = self._new(next(each for each in decisions if each.action == "add"), source_key)
                edited, steps = self.apply(source_key, values)
                if edited is not None:
                    yield source_key, edited, steps

    def _new(self, decision: Decision, source_key: str) -> dict[str, Any]:
        assert decision.category is not None
        assert decision.bbox is not None
        box = placed(decision.bbox, decision, self._size)
        assert box is not None  # or else it was listed as gone
        return {
            "category_id": self._ids[decision.category],
            "bbox": list(box),
            "area": round(box[2] * box[3], 3),
            "iscrowd": 0,
            "source_key": source_key,
            "source_category": decision.category,
        }

    def _edited(self, values: dict[str, Any], decision: Decision) -> tuple[dict[str, Any], str]:
        """An annotation after one decision, and what that did in words."""
        what = ""
        if decision.action == "relabel":
            number = self._ids[str(decision.category)]
            what = f" {self._names[values['category_id']]} -> {decision.category}"
            values = values | {"category_id": number}
        elif decision.action == "move" and decision.bbox is not None:
            box = placed(decision.bbox, decision, self._size)
            assert box is not None  # or else it was listed as gone
            what = f" {said(values['bbox'])} -> {said(box)}"
            values = {name: value for name, value in values.items() if name != "segmentation"}
            values |= {"bbox": list(box), "area": round(box[2] * box[3], 3)}
        elif decision.action == "add":
            what = f" {decision.category}"
        return values, f"decision: {decision.action}{what}{by(decision)}"


def image_steps(image: PlannedImage) -> Iterator[str]:
    """What was decided about an image that stays, in words."""
    for decision in image.decisions:
        if decision.key == image.key:
            yield f"decision: {decision.action}{by(decision)}"


def by(decision: Decision) -> str:
    """Whose decision it is and why, in brackets behind a blank; empty if neither is known.

    Example:
        >>> from nirgen.curation import Decision
        >>> by(Decision("bdd100k/a.jpg", "reject", author="anna", reason="blurred"))
        ' (anna: blurred)'
    """
    words = ": ".join(text for each in (decision.author, decision.reason) if (text := " ".join(each.split())))
    return f" ({words})" if words else ""


def count_boxes(image: PlannedImage, ids: Mapping[str, int]) -> tuple[Counter[int], int]:
    """How many boxes of each category id an image has by its labels and decisions, and how many regions to ignore."""
    if image.labels is None:
        boxes, ignored = Counter[int](), 0
    elif not image.decisions:
        boxes = box_counts(image.labels)
        return boxes, len(image.labels.annotations) - boxes.total()
    else:
        boxes, ignored = Counter(), 0
    editing = Editing(image, ids)
    raws = () if image.labels is None else image.labels.annotations
    edited = [editing.apply(values["source_key"], values)[0] for values in map(annotation, raws)]
    for values in (*edited, *(values for _, values, _ in editing.added())):
        if values is not None and values["iscrowd"]:
            ignored += 1
        elif values is not None:
            boxes[values["category_id"]] += 1
    return boxes, ignored


def own_decisions(info: DatasetInfo) -> tuple[Decision, ...]:
    """The decisions that a dataset was built with.

    Raises:
        NirgenError: It was built with some, and they can't be read.
    """
    return () if info.curation is None else read_decisions(info.folder / CURATION).all
