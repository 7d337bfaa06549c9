"""New decisions put on top of those that a dataset was built with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nirgen.curation.decision import ACTIONS, CONTRADICTIONS, scaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nirgen.curation.decision import Decision


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
