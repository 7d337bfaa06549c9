"""Decisions about images and boxes of a dataset: merged and compared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


DECIMALS = 3
"""Of a pixel, in boxes."""

Bbox = tuple[float, float, float, float]
"""COCO xywh in pixels."""

Action = Literal["add", "delete", "flag", "keep", "move", "reject", "relabel"]

ACTIONS: tuple[Action, ...] = ("add", "delete", "flag", "keep", "move", "reject", "relabel")
OF_BOXES: frozenset[Action] = frozenset({"add", "delete", "move", "relabel"})
"""The actions that only a box can have; `keep` and `flag` are of images and boxes alike."""

CONTRADICTIONS: frozenset[frozenset[Action]] = frozenset(
    frozenset[Action](pair)
    for pair in (
        ("reject", "keep"),
        ("reject", "flag"),
        ("keep", "flag"),
        ("delete", "keep"),
        ("delete", "flag"),
        ("delete", "relabel"),
        ("delete", "move"),
        ("delete", "add"),
    )
)
"""Actions that one image, or one box, can't have both."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decision was about, as it was when it was made; what isn't known is None.

    It speaks of the dataset without decisions: a box that was relabelled twice has the class that its source gave it.

    Attributes:
        sha256: Of a decision about an image: the hash of the file that went into the dataset, before any re-encoding.
        category: Of a decision about a box: its class.
        bbox: The same: COCO xywh in pixels of an image of the decision's `width` and `height`.
    """

    sha256: str | None = None
    category: str | None = None
    bbox: Bbox | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of an image or a box.

    Attributes:
        key: The stable key of an image, `ORIGIN/PATH`, or of a box, `ORIGIN/PATH#SOURCE_KEY`.
        action: Of an image `reject`, `keep` or `flag`; of a box `delete`, `keep`, `flag`, `relabel`, `move` or `add`.
        category: What `relabel` and `add` make of a box: the class, by its name.
        bbox: Where `move` and `add` put a box: COCO xywh in pixels of an image of `width` x `height`.
        width: Of the image that `bbox` and `seen.bbox` are measured on, in pixels; None without either.
        height: The same.
        reason: Why, in words; may be empty.
        author: Whose decision it is; may be empty.
        seen: What it was about.
    """

    key: str
    action: Action
    category: str | None = None
    bbox: Bbox | None = None
    width: int | None = None
    height: int | None = None
    reason: str = ""
    author: str = ""
    seen: Seen = Seen()

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the image that its boxes are measured on."""
        return None if self.width is None or self.height is None else (self.width, self.height)

    @property
    def order(self) -> tuple[str, str]:
        """What decisions are sorted by; no two of a file share it."""
        return self.key, self.action

    def rounded(self) -> Decision:
        """The same with boxes of as many decimals as files have."""
        if self.bbox is None and self.seen.bbox is None:
            return self
        seen = replace(self.seen, bbox=_rounded(self.seen.bbox))
        return replace(self, bbox=_rounded(self.bbox), seen=seen)


def added_key(image_key: str, category: str, bbox: Bbox, width: int, height: int) -> str:
    """The key of a box that a curator adds; after a rebuild the dataset has the box by this key.

    Args:
        image_key: Of the image that it is on.
        category: Its class, by name.
        bbox: COCO xywh in pixels of an image of `width` x `height`.
        width: In pixels.
        height: The same.

    Example:
        >>> added_key("bdd100k/a.jpg", "car", (10, 20, 30, 40), 1280, 720)
        'bdd100k/a.jpg#+a756db5eb2c1'
    """
    text = json.dumps([category, _rounded(bbox), width, height], ensure_ascii=False, separators=(",", ":"))
    return f"{image_key}#+{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def scaled(bbox: Bbox, old: tuple[int, int] | None, new: tuple[int, int] | None) -> Bbox:
    """A box as measured on an image of another size.

    Args:
        bbox: COCO xywh in pixels of an image of size `old`.
        old: Width and height in pixels; None if unknown, which leaves the box as it is.
        new: The same of the other image.

    Example:
        >>> scaled((10, 20, 30, 40), (1280, 720), (640, 360))
        (5.0, 10.0, 15.0, 20.0)
    """
    if old is None or new is None or old == new:
        return bbox
    x, y = new[0] / old[0], new[1] / old[1]
    return bbox[0] * x, bbox[1] * y, bbox[2] * x, bbox[3] * y


def _rounded(bbox: Bbox | None) -> Bbox | None:
    if bbox is None:
        return None
    x, y, width, height = (round(float(value), DECIMALS) + 0.0 for value in bbox)
    return x, y, width, height


def unite(older: Iterable[Decision], newer: Iterable[Decision]) -> tuple[Decision, ...]:
    """All decisions of two files that speak of the same dataset without decisions.

    Args:
        older: The first.
        newer: The second; what it contradicts of the first, or has of the same key and action, goes.

    Returns:
        The decisions, sorted by key and action.
    """
    united = {decision.order: decision.rounded() for decision in older}
    for decision in newer:
        _remove_contradicted(united, decision)
        united[decision.order] = decision.rounded()
    return tuple(united[order] for order in sorted(united))


def merge(base: Iterable[Decision], new: Iterable[Decision]) -> tuple[Decision, ...]:
    """Put new decisions on top of older ones.

    What a new decision contradicts goes, as does an older one of the same action. `seen` of the result speaks of the
    dataset without decisions: where an older decision has changed class or place of a box, a new one takes over what
    the older one saw. A new decision that brings a box back to what it was takes the older one away and stays out
    itself, and so does the deletion of an added box.

    Args:
        base: What the dataset was built with.
        new: What was decided since, by somebody who saw that dataset.

    Returns:
        The decisions, sorted by key and action; the base, if there is nothing new.
    """
    merged = {decision.order: decision.rounded() for decision in base}
    earlier = dict(merged)
    for decision in sorted((each.rounded() for each in new), key=lambda each: each.order):
        removes_added = decision.action == "delete" and (decision.key, "add") in earlier
        if removes_added:
            for action in ACTIONS:
                merged.pop((decision.key, action), None)
        _remove_contradicted(merged, decision)
        if not removes_added and not _takes_back(decision, earlier):
            merged[decision.order] = _as_without(decision, earlier)
    return tuple(merged[order] for order in sorted(merged))


def _remove_contradicted(decisions: dict[tuple[str, str], Decision], new: Decision) -> None:
    """Remove what can't stand beside a new decision."""
    for action in ACTIONS:
        if action == new.action or {action, new.action} in CONTRADICTIONS:
            decisions.pop((new.key, action), None)


def _takes_back(new: Decision, earlier: Mapping[tuple[str, str], Decision]) -> bool:
    """Whether a decision gives a box what it had before an earlier one."""
    old = earlier.get(new.order)
    if old is None:
        return False
    if new.action == "relabel":
        return new.category == old.seen.category
    if new.action != "move" or old.seen.bbox is None:
        return False
    was = replace(new, bbox=scaled(old.seen.bbox, old.size, new.size)).rounded()
    return new.bbox == was.bbox


def _as_without(new: Decision, earlier: Mapping[tuple[str, str], Decision]) -> Decision:
    """A decision whose `seen` speaks of the dataset without the earlier ones."""
    relabelled, moved = earlier.get((new.key, "relabel")), earlier.get((new.key, "move"))
    seen, size = new.seen, new.size
    if relabelled is not None:
        seen = replace(seen, category=relabelled.seen.category)
    if moved is not None:
        size = size or moved.size
        seen = replace(seen, bbox=moved.seen.bbox and scaled(moved.seen.bbox, moved.size, size))
    if size is None or (new.bbox is None and seen.bbox is None):
        return replace(new, seen=seen, width=None, height=None)
    return replace(new, seen=seen, width=size[0], height=size[1]).rounded()


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, each sorted by key and action.

    Attributes:
        added: Decisions of the second list alone.
        removed: Decisions of the first list alone.
        changed: Decisions of one key and action that differ otherwise: as in the first list, and as in the second.
    """

    added: tuple[Decision, ...]
    removed: tuple[Decision, ...]
    changed: tuple[tuple[Decision, Decision], ...]

    @property
    def any(self) -> bool:
        """Whether there is a difference."""
        return bool(self.added or self.removed or self.changed)


def diff(a: Iterable[Decision], b: Iterable[Decision]) -> Difference:
    """Compare two lists of decisions.

    Args:
        a: The first.
        b: The second.

    Returns:
        What has to be done to the first to get the second.
    """
    before, after = ({each.order: each.rounded() for each in decisions} for decisions in (a, b))
    return Difference(
        added=tuple(after[order] for order in sorted(after.keys() - before.keys())),
        removed=tuple(before[order] for order in sorted(before.keys() - after.keys())),
        changed=tuple(
            (before[order], after[order])
            for order in sorted(before.keys() & after.keys())
            if before[order] != after[order]
        ),
    )
