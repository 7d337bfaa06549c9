"""Boxes, areas and segmentations of annotation files; boxes are COCO xywh in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen.validate.coco import NOWHERE
from nirgen.validate.segmentation import SegmentationError, extent_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings

OVERLAP = 0.9
"""IoU over which two boxes of a class are taken for one object counted twice."""

_ROUNDING = 0.011
"""Pixels beyond the frame that rounding to two decimals explains."""

_AREA_TOLERANCE = 0.01
_STRAYED = 0.5


def check_boxes(files: Sequence[CocoFile], findings: Findings) -> None:
    """Check all boxes of all files."""
    for file in files:
        _check_sizes(file, findings)
        _check_frames(file, findings)
        _check_areas(file, findings)
        _check_overlaps(file, findings)
        _check_segmentations(file, findings)


def _check_sizes(file: CocoFile, findings: Findings) -> None:
    width, height = file.annotations.xywh[:, 2], file.annotations.xywh[:, 3]
    degenerate = (width <= 0) | (height <= 0)  # NaN, which was found before, is neither
    tiny = ((width < 1) | (height < 1)) & ~degenerate
    findings.add_all("degenerate-box", np.flatnonzero(degenerate), file.box)
    findings.add_all("tiny-box", np.flatnonzero(tiny), file.box)


def _check_frames(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    x, y, width, height = table.xywh.T
    framed = table.images != NOWHERE
    right = np.where(framed, file.images.widths[table.images], 0) if len(file.images) else np.zeros(len(table))
    below = np.where(framed, file.images.heights[table.images], 0) if len(file.images) else np.zeros(len(table))
    framed &= (right > 0) & (below > 0) & (width > 0) & (height > 0)
    outside = framed & ((x >= right) | (y >= below) | (x + width <= 0) | (y + height <= 0))
    beyond = np.max([-x, -y, x + width - right, y + height - below], axis=0)
    overhanging = framed & ~outside & (beyond > 1)
    edge = framed & ~outside & ~overhanging & (beyond > _ROUNDING)

    def describe(position: int) -> str:
        return f"{file.box(position)}, of {int(right[position])}x{int(below[position])}"

    findings.add_all("outside-box", np.flatnonzero(outside), describe)
    findings.add_all("overhanging-box", np.flatnonzero(overhanging), describe)
    findings.add_all("edge-box", np.flatnonzero(edge), describe)


def _check_areas(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    boxes = table.xywh[:, 2] * table.xywh[:, 3]
    masked = np.zeros(len(table), np.bool_)
    masked[list(table.segmentations)] = True
    tolerance = np.maximum(1, _AREA_TOLERANCE * boxes)
    excess = np.where(masked, table.areas - boxes, np.abs(table.areas - boxes))
    misfit = (excess > tolerance) & (boxes > 0)
    findings.add_all(
        "area-mismatch", np.flatnonzero(misfit), lambda at: f"{file.box(at)}, area {table.areas[at].round(3):g}"
    )


def _check_overlaps(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    usable = ~table.crowd & (table.images != NOWHERE) & (table.xywh[:, 2:] > 0).all(axis=1)
    positions = np.flatnonzero(usable)
    groups = table.images[positions].astype(np.int64) * (len(file.categories) + 1) + table.categories[positions]
    first, second, overlaps = same_boxes(table.xywh[positions], groups)
    pairs = list(zip(positions[first], positions[second], overlaps, strict=True))
    findings.add_all(
        "same-boxes", pairs, lambda pair: f"{file.box(pair[0])} and {table.ids[pair[1]]}, IoU {pair[2]:.2f}"
    )


def same_boxes(
    xywh: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Find pairs of boxes that nearly cover each other.

    Boxes are sorted by group and left side. Where two have an IoU over `OVERLAP`, the left side of the second lies in
    the first tenth of the first; so each is compared with the next in order, then with the one after it, until no box
    has another that begins so near.

    Args:
        xywh: (M, 4), COCO boxes of positive width and height.
        groups: (M,), only boxes of one group are compared: those of one class in one image.

    Returns:
        The positions of both boxes of each pair, and their IoU; sorted.
    """
    order = np.lexsort((xywh[:, 0], groups))
    boxes, groups = xywh[order], groups[order]
    reach = boxes[:, 0] + (1 - OVERLAP) * boxes[:, 2]
    found: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    near = np.arange(len(boxes))
    for step in range(1, len(boxes)):
        near = near[near + step < len(boxes)]
        near = near[(groups[near] == groups[near + step]) & (boxes[near + step, 0] <= reach[near])]
        if not len(near):
            break
        overlaps = _overlaps(boxes[near], boxes[near + step])
        pairs = overlaps > OVERLAP
        one, other = order[near[pairs]], order[near[pairs] + step]
        found.append((np.minimum(one, other), np.maximum(one, other), overlaps[pairs]))
    if not found:
        nothing = np.zeros(0, np.intp)
        return nothing, nothing, np.zeros(0)
    first, second, ious = (np.concatenate(column) for column in zip(*found, strict=True))
    ordered = np.lexsort((second, first))
    return first[ordered], second[ordered], ious[ordered]


def _overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of each box of `one` with its like in `other`: both (M, 4)."""
    shared = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    intersection = np.prod(np.maximum(shared, 0), axis=1)
    areas = np.prod(one[:, 2:], axis=1) + np.prod(other[:, 2:], axis=1)
    ious: NDArray[np.float64] = intersection / (areas - intersection)
    return ious


def _check_segmentations(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    positions, extents = [], []
    for position, raw in table.segmentations.items():
        image = int(table.images[position])
        sides = (0, 0) if image == NOWHERE else (int(file.images.heights[image]), int(file.images.widths[image]))
        try:
            extent = extent_of(raw, *sides)
        except SegmentationError as error:
            findings.add("bad-segmentation", f"{file.annotation(position)}: {error}")
            continue
        if extent is not None:
            positions.append(position)
            extents.append(extent)
    if not positions:
        return
    drawn = np.array(extents)
    drawn[:, 2:] -= drawn[:, :2]
    boxes = table.xywh[positions]
    sized = (drawn[:, 2:] > 0).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    overlaps = _overlaps(drawn[sized], boxes[sized])
    strayed = np.array(positions)[sized][overlaps < _STRAYED]
    findings.add_all("strayed-segmentation", strayed, file.box)
