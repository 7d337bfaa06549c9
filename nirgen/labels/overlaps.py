"""Boxes of one class that lie on each other, as a merge of classes or two annotators leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 0.9
"""The intersection over union above which two boxes count as one."""


def overlapping(boxes: Sequence[Sequence[float]], classes: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of boxes of one class that overlap by more than `LIMIT`.

    Boxes are swept from left to right: one that begins farther right of another than `1 - LIMIT` of that one's width
    can't overlap it enough.

    Args:
        boxes: COCO's x, y, width, height in pixels.
        classes: The class of each.

    Returns:
        Their positions, the smaller one first; sorted.

    Example:
        >>> overlapping([(0, 0, 10, 10), (0, 0, 10, 9.5), (0, 0, 10, 10)], ["car", "car", "person"])
        [(0, 1)]
    """
    order = sorted(range(len(boxes)), key=lambda position: boxes[position][0])
    found = []
    for rank, first in enumerate(order):
        reach = boxes[first][0] + (1 - LIMIT) * boxes[first][2]
        for second in order[rank + 1 :]:
            if boxes[second][0] > reach:
                break
            if classes[first] == classes[second] and _overlap(boxes[first], boxes[second]) > LIMIT:
                found.append((min(first, second), max(first, second)))
    return sorted(found)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """The intersection over union of two boxes."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def later_copies(pairs: Sequence[tuple[int, int]]) -> set[int]:
    """The boxes to remove so that no overlapping pair is left: the later of two, if the earlier one stays.

    Example:
        >>> later_copies([(0, 1), (1, 2)])
        {1}
    """
    removed = set[int]()
    for first, second in pairs:
        if first not in removed:
            removed.add(second)
    return removed
