"""Apply a curator's decisions to an image and its boxes, by one pure function.

Planning applies them to label entries, `nirgen.browse` to samples in FiftyOne.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from nirgen.curation import DECIMALS, OF_BOXES, Decision, Seen, scaled
from nirgen.errors import NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.curation import Bbox, Decisions


TOLERANCE = 0.05  # pixels by which a box may differ from the one that a decision saw
SMALLEST = 0.001  # width and height of a box, in pixels


@dataclass(frozen=True, slots=True)
class SubjectBox:
    """A box that decisions may be about."""

    category: str
    bbox: Bbox  # COCO xywh in pixels of the dataset's image


@dataclass(frozen=True, slots=True)
class Subject:
    """An image that decisions may be about, as it is without them."""

    sha256: str  # of the file, before any re-encoding
    size: tuple[int, int]  # width and height of the dataset's image
    boxes: Mapping[str, SubjectBox]  # by source key
    dropped: frozenset[str] = frozenset()  # source keys of boxes that are too small once scaled


@dataclass(frozen=True, slots=True)
class Change:
    """A decision with its box before and after it."""

    decision: Decision
    before: SubjectBox | None  # None for an added box
    after: SubjectBox | None  # None for a deleted one

    def __str__(self) -> str:
        """Return the step as provenance records it."""
        decision, before, after, what = self.decision, self.before, self.after, ""
        if decision.action == "add":
            what = f" {decision.category}"
        elif decision.action == "relabel" and before:
            what = f" {before.category} -> {decision.category}"
        elif decision.action == "move" and before and after:
            what = f" {said(before.bbox)} -> {said(after.bbox)}"
        return f"decision: {decision.action}{what}{by(decision)}"


@dataclass(frozen=True, slots=True)
class Noted:
    """A decision with a remark for the curator."""

    key: str
    action: str
    why: str  # why its target is missing, or how it differs from what the decision saw


@dataclass(frozen=True, slots=True)
class Outcome:
    """Effect of decisions on one image."""

    rejected: bool = False
    own: tuple[Decision, ...] = ()  # applied to the image itself
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)  # by source key, in order
    gone: tuple[Noted, ...] = ()  # without a target, and without effect
    changed: tuple[Noted, ...] = ()  # applied to a target that differs from the one seen
    idle: int = 0  # about boxes of a rejected image, without effect

    @property
    def added(self) -> Iterator[tuple[str, tuple[Change, ...]]]:
        """Yield added boxes: source key and changes, sorted by key."""
        return (each for each in sorted(self.changes.items()) if each[1][0].before is None)

    @property
    def applied(self) -> Iterator[Decision]:
        """Yield the decisions that have an effect."""
        yield from self.own
        for changes in self.changes.values():
            yield from (change.decision for change in changes)


def apply_decisions(key: str, subject: Subject, decisions: Iterable[Decision]) -> Outcome:
    """Apply decisions about an image or its boxes to the image without decisions; `key` is the image's.

    The decisions about a box are applied in the order of `Decision.order`, by which `add` comes first. What a decision
    has seen is compared with the subject, or with an added box as it was added.
    """
    ordered = sorted(decisions, key=lambda each: each.order)
    own = tuple(each for each in ordered if each.key == key)
    others = [each for each in ordered if each.key != key]
    changed = [Noted(*each.order, why) for each in own if (why := _other_file(each, subject))]
    if any(each.action == "reject" for each in own):
        return Outcome(rejected=True, own=own, changed=tuple(changed), idle=len(others))
    gone: list[Noted] = []
    boxes = dict(subject.boxes)  # without decisions, added ones included
    changes: dict[str, list[Change]] = defaultdict(list)
    for decision in others:
        source_key = decision.key.removeprefix(f"{key}#")
        fault = _fault(decision, source_key, boxes, subject)
        if fault is not None:
            gone.append(Noted(*decision.order, fault))
            continue
        before = changes[source_key][-1].after if changes[source_key] else boxes.get(source_key)
        after = _applied(decision, before, subject.size)
        if decision.action == "add" and after is not None:
            boxes[source_key] = after
        changes[source_key].append(Change(decision, before, after))
        difference = _difference(decision, boxes[source_key], subject)
        if difference is not None:
            changed.append(Noted(*decision.order, difference))
    found = {source_key: tuple(each) for source_key, each in changes.items() if each}
    return Outcome(own=own, changes=found, gone=tuple(gone), changed=tuple(changed))


def _applied(decision: Decision, box: SubjectBox | None, size: tuple[int, int]) -> SubjectBox | None:
    if decision.action == "delete":
        return None
    bbox = None if decision.bbox is None else placed(decision.bbox, decision, size)
    if box is None:
        return None if bbox is None else SubjectBox(str(decision.category), bbox)
    return SubjectBox(decision.category or box.category, bbox or box.bbox)


def _fault(decision: Decision, source_key: str, boxes: Mapping[str, SubjectBox], subject: Subject) -> str | None:
    """Return why a decision about a box can't be applied."""
    if decision.action == "add":
        if source_key in subject.boxes or source_key in subject.dropped:
            return "the labels have a box of this key already"
    elif source_key in subject.dropped:
        return "the box is too small for the dataset once it is scaled"
    elif source_key not in boxes:
        return "its image has no such box"
    if decision.bbox is not None and placed(decision.bbox, decision, subject.size) is None:
        return "nothing of the new box is in the image"
    return None


def _difference(decision: Decision, box: SubjectBox, subject: Subject) -> str | None:
    """Return how a box differs from the one that a decision saw."""
    seen, found = decision.seen, []
    if seen.category not in {None, box.category}:
        found.append(f"its class was {seen.category}, and is {box.category}")
    if seen.bbox is not None:
        was = scaled(seen.bbox, decision.size, subject.size)
        if max(abs(one - other) for one, other in zip(was, box.bbox, strict=True)) > TOLERANCE:
            found.append(f"its box was at {said(was)}, and is at {said(box.bbox)}")
    return "; ".join(found) or _other_file(decision, subject)


def _other_file(decision: Decision, subject: Subject) -> str | None:
    sha256 = decision.seen.sha256
    return (
        None if sha256 in {None, subject.sha256} else f"its file was {str(sha256)[:12]}, and is {subject.sha256[:12]}"
    )


def placed(bbox: Bbox, decision: Decision, size: tuple[int, int]) -> Bbox | None:
    """Return a box of a decision on an image of `size`, cut at its border; None if too little of it remains."""
    x, y, width, height = scaled(bbox, decision.size, size)
    left, top = max(0.0, round(x, DECIMALS)), max(0.0, round(y, DECIMALS))
    right, bottom = (
        min(float(side), round(end, DECIMALS)) for side, end in zip(size, (x + width, y + height), strict=True)
    )
    box = (left, top, round(right - left, DECIMALS), round(bottom - top, DECIMALS))
    return box if min(box[2:]) >= SMALLEST and round(box[2] * box[3], DECIMALS) > 0 else None


def decide(key: str, before: Subject, after: Subject) -> Iterator[Decision]:
    """Yield the decisions that turn the boxes of an image, `before`, into others: the inverse of `apply_decisions`.

    Keys in `after` that `before` lacks are those of `added_key`.
    """
    width, height = before.size
    for source_key, box in before.boxes.items():
        seen = Seen(category=box.category, bbox=box.bbox)
        decision = Decision(f"{key}#{source_key}", "delete", width=width, height=height, seen=seen)
        now = after.boxes.get(source_key)
        if now is None:
            yield decision
            continue
        if now.category != box.category:
            yield replace(decision, action="relabel", category=now.category)
        if now.bbox != box.bbox:
            yield replace(decision, action="move", bbox=now.bbox)
    for source_key, box in after.boxes.items():
        if source_key not in before.boxes:
            yield Decision(f"{key}#{source_key}", "add", box.category, box.bbox, width, height)


def assign(decisions: Iterable[Decision], keys: Collection[str]) -> tuple[dict[str, list[Decision]], list[Decision]]:
    """Return decisions by the key of their image, one of `keys`, and those whose image is unknown."""
    by_image: dict[str, list[Decision]] = defaultdict(list)
    unknown = []
    for decision in decisions:
        image = next((key for key in possible_images(decision) if key in keys), None)
        if image is None:
            unknown.append(decision)
        else:
            by_image[image].append(decision)
    return by_image, unknown


def possible_images(decision: Decision) -> list[str]:
    """Return the keys that the image of a decision may have, the likeliest first."""
    if decision.action == "reject":
        return [decision.key]
    return [*([] if decision.action in OF_BOXES else [decision.key]), *image_keys(decision.key)]


def image_keys(key: str) -> list[str]:
    """Return the possible image keys of a box, the longest first: both parts of its key may contain `#`.

    Example:
        >>> image_keys("bdd100k/a#b.jpg#7")
        ['bdd100k/a#b.jpg', 'bdd100k/a']
    """
    return [key[:place] for place in range(len(key) - 1, 0, -1) if key[place] == "#"]


@dataclass(frozen=True)
class Curated:
    """Effect of a curator's decisions on a dataset."""

    data: bytes  # all decisions, as `nirgen.curation.encode` writes them
    decisions: int
    applied: Mapping[str, int]  # decisions that had an effect, by action
    idle: int  # decisions about boxes of rejected images
    gone: tuple[Noted, ...]  # without a target
    changed: tuple[Noted, ...]  # applied to a target that differs from the one seen

    @classmethod
    def of(cls, decisions: Decisions, outcomes: Collection[Outcome], unknown: Iterable[Noted]) -> Self:
        """Sum up the outcomes of all images; `unknown` are decisions without an image."""
        applied = Counter(decision.action for outcome in outcomes for decision in outcome.applied)
        gone = [*unknown, *(each for outcome in outcomes for each in outcome.gone)]
        changed = [each for outcome in outcomes for each in outcome.changed]
        for notes in (gone, changed):
            notes.sort(key=lambda each: (each.key, each.action))
        return cls(
            data=decisions.data,
            decisions=len(decisions.all),
            applied=dict(sorted(applied.items())),
            idle=sum(outcome.idle for outcome in outcomes),
            gone=tuple(gone),
            changed=tuple(changed),
        )

    @property
    def keys(self) -> set[str]:
        """Return the keys of the images and boxes that decisions are about."""
        return {json.loads(line)["key"] for line in self.data.splitlines()}

    def described(self) -> dict[str, Any]:
        """Return plain values, as in `dataset.json`."""
        values = asdict(self)
        return {"sha256": hashlib.sha256(values.pop("data")).hexdigest(), **values}


def explain_unknown(decision: Decision, reason: Callable[[str], str | None]) -> Noted:
    """Return why there is no image for a decision; `reason` gives that of an image by its key, if known."""
    found = next((why for key in possible_images(decision) if (why := reason(key)) is not None), None)
    return Noted(*decision.order, found or "the dataset has no such image")


def check_categories(decisions: Iterable[Decision], names: Sequence[str], path: Path) -> None:
    """Refuse decisions of the file `path` about a class that the dataset lacks."""
    for decision in decisions:
        if decision.category is not None and decision.category not in names:
            raise NirgenError(
                f"{path}: {decision.action} of {decision.key!r} names the class {decision.category!r}, which the "
                f"dataset lacks{nearest(decision.category, names)} (its classes: {', '.join(names)})"
            )


def said(bbox: Bbox) -> str:
    """Return a box as text.

    Example:
        >>> said((10, 20.5, 30, 40))
        '10,20.5 30x40'
    """
    x, y, width, height = (f"{round(value, DECIMALS):.10g}" for value in bbox)
    return f"{x},{y} {width}x{height}"


def by(decision: Decision) -> str:
    """Return author and reason in parentheses, with a leading space; empty if neither is known.

    Example:
        >>> by(Decision("bdd100k/a.jpg", "reject", author="anna", reason="blurred"))
        ' (anna: blurred)'
    """
    words = ": ".join(text for each in (decision.author, decision.reason) if (text := " ".join(each.split())))
    return f" ({words})" if words else ""
