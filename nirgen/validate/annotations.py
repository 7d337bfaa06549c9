"""Checks of annotation files: ids, references, categories, boxes, areas and segmentations.

Boxes are COCO xywh in pixels.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from nirgen.labels.masks import FARTHEST
from nirgen.labels.rle import check_rle
from nirgen.validate.coco import NO_ID, NOWHERE
from nirgen.validate.findings import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nirgen.labels.file import Category
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings


_INT32 = 2**31 - 1
_WIDE = 1000
OVERLAP = 0.9  # IoU over which two boxes of a class count as one object twice
_ROUNDING = 0.011  # pixels beyond the frame that come of rounding to two decimals
_AREA_TOLERANCE = 0.01
_STRAYED = 0.5


def check_annotations(files: Sequence[CocoFile], findings: Findings) -> None:
    """Check each file, and that their categories agree; faults of single entries were found by `read_coco`."""
    for file in files:
        _check_ids(file, findings)
        _check_references(file, findings)
        _check_category_names(file, findings)
        with np.errstate(over="ignore", invalid="ignore"):  # of boxes beyond any image
            _check_boxes(file, findings)
            _check_areas(file, findings)
            _check_overlaps(file, findings)
            _check_segmentations(file, findings)
    _check_categories(files, findings)


def check_classes(
    files: Sequence[CocoFile], recorded: Sequence[Category], policy: Sequence[str] | None, findings: Findings
) -> None:
    """Compare a nirgen dataset's categories with those of `dataset.json`, and with its policy's if that is known."""
    wanted = [f"{category.id} {category.name}" for category in recorded]
    for file in files:
        if _numbered(file) != wanted:
            findings.add("category-order", f"{file.path.name}: {_classes(file)}; dataset.json has {', '.join(wanted)}")
        if policy is not None and list(file.categories.names) != list(policy):
            findings.add("policy-classes", f"{file.path.name}: {_classes(file)}; the policy has {', '.join(policy)}")


def _check_ids(file: CocoFile, findings: Findings) -> None:
    lists: tuple[tuple[str, NDArray[np.int64], Callable[[int], str]], ...] = (
        ("annotations", file.annotations.ids, file.annotation),
        ("images", file.images.ids, file.image),
        ("categories", file.categories.ids, lambda position: _category(file, position)),
    )
    for what, ids, describe in lists:
        zeros = np.flatnonzero(ids == 0)
        findings.add_all("zero-id" if what == "annotations" else "zero-entry-id", zeros, describe)
        findings.add_all("duplicate-id", _repeated(ids), describe)
        used = ids[ids != NO_ID]
        largest = int(used.max(initial=0))
        if largest > _INT32 or largest > _WIDE * max(len(used), _WIDE):
            findings.add("wide-ids", f"{file.path.name}: {what} up to {largest}, {len(used)} of them")


def _check_references(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    findings.add_all(
        "no-image",
        np.flatnonzero(table.images == NOWHERE),
        lambda position: f"{file.annotation(position)}: image_id {_number(table.image_ids[position])}",
    )
    findings.add_all("no-category", np.flatnonzero(table.categories == NOWHERE), file.annotation)
    names = np.array(file.images.names, object)
    named = np.flatnonzero(names.astype(bool))
    _, numbers = np.unique(names[named].astype(str), return_inverse=True)
    findings.add_all("duplicate-file", named[_repeated(numbers.astype(np.int64))], file.image)
    boxes = np.bincount(table.images[table.images != NOWHERE], minlength=len(names))
    findings.add_all("empty-images", np.flatnonzero(boxes == 0), file.image)


def _check_category_names(file: CocoFile, findings: Findings) -> None:
    names = file.categories.names
    bad = [position for position, name in enumerate(names) if not name or name in names[:position]]
    findings.add_all("bad-category", bad, lambda position: _category(file, position))
    used = set(file.annotations.categories.tolist())
    for position, name in enumerate(names):
        others = file.categories.supercategories[:position] + file.categories.supercategories[position + 1 :]
        if position not in used and name and name in others:
            findings.add("shadowed-category", _category(file, position))


def _check_categories(files: Sequence[CocoFile], findings: Findings) -> None:
    """Compare the categories of all files; find those without boxes, and files whose ids are not 1 to N in order."""
    has_boxes: dict[str, bool] = {}
    for file in files:
        if _classes(file) != _classes(files[0]):
            shown = f"{file.path.name}: {_classes(file)}; {files[0].path.name}: {_classes(files[0])}"
            findings.add("categories-differ", shown)
        used = set(file.annotations.categories.tolist())
        for position, name in enumerate(file.categories.names):
            has_boxes[name] = has_boxes.get(name, False) or position in used
    findings.add_all("empty-category", [name for name, found in has_boxes.items() if not found], repr)
    gapped = [file for file in files if file.categories.ids.tolist() != list(range(1, len(file.categories) + 1))]
    findings.add_all("category-gaps", gapped, lambda file: f"{file.path.name}: {_classes(file)}")


def _repeated(ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the positions of ids that an earlier position has."""
    positions = np.flatnonzero(ids != NO_ID)
    order = positions[np.argsort(ids[positions], kind="stable")]
    return np.sort(order[1:][ids[order[1:]] == ids[order[:-1]]])


def _classes(file: CocoFile) -> str:
    shown = _numbered(file)
    return ", ".join(shown if len(shown) <= 5 else [*shown[:3], "…", shown[-1]])


def _numbered(file: CocoFile) -> list[str]:
    entries = zip(file.categories.ids, file.categories.names, strict=True)
    return [f"{_number(number)} {name}" for number, name in entries]


def _category(file: CocoFile, position: int) -> str:
    number, name = file.categories.ids[position], file.categories.names[position]
    return f"{file.path.name}: category {_number(number)} {name!r}"


def _number(number: Any) -> str:
    return "?" if number == NO_ID else str(number)


def _check_boxes(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    x, y, width, height = table.xywh.T
    degenerate = (width <= 0) | (height <= 0)  # NaN, found by `read_coco`, is neither
    tiny = ((width < 1) | (height < 1)) & ~degenerate
    findings.add_all("degenerate-box", np.flatnonzero(degenerate), file.box)
    findings.add_all("tiny-box", np.flatnonzero(tiny), file.box)
    right = np.append(file.images.widths, 0)[table.images]  # the last for `NOWHERE`
    below = np.append(file.images.heights, 0)[table.images]
    framed = (right > 0) & (below > 0) & (width > 0) & (height > 0)
    outside = framed & ((x >= right) | (y >= below) | (x + width <= 0) | (y + height <= 0))
    beyond = np.max([-x, -y, x + width - right, y + height - below], axis=0)
    overhanging = framed & ~outside & (beyond > 1)
    edge = framed & ~outside & ~overhanging & (beyond > _ROUNDING)

    def describe(position: int) -> str:
        return f"{file.box(position)}, of {int(right[position])}x{int(below[position])}"

    for check, found in (("outside-box", outside), ("overhanging-box", overhanging), ("edge-box", edge)):
        findings.add_all(check, np.flatnonzero(found), describe)


def _check_areas(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    boxes = table.xywh[:, 2] * table.xywh[:, 3]
    excess = table.areas - boxes
    plain = np.setdiff1d(np.arange(len(table)), list(table.segmentations))  # without a mask, which may be smaller
    excess[plain] = np.abs(excess[plain])
    misfit = np.flatnonzero((excess > np.maximum(1, _AREA_TOLERANCE * boxes)) & (boxes > 0))
    findings.add_all("area-mismatch", misfit, lambda at: f"{file.box(at)}, area {round(float(table.areas[at]), 3):g}")


def _check_overlaps(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    usable = ~table.crowd & (table.images != NOWHERE) & (table.xywh[:, 2:] > 0).all(axis=1)
    positions = np.flatnonzero(usable)
    groups = table.images[positions].astype(np.int64) * (len(file.categories) + 1) + table.categories[positions]
    same = same_boxes(table.xywh[positions], groups)
    shown = [f"{file.box(positions[a])} and {table.ids[positions[b]]}, IoU {iou:.2f}" for a, b, iou in same.pairs]
    findings.add_counted("same-boxes", same.total, shown)
    if not same.all:
        why = f"{file.path.name}: so many boxes of a class are near each other that same boxes were counted in part"
        findings.skip("boxes", why, partly=True)


class Same(NamedTuple):
    """Pairs of boxes of a group with an IoU over `OVERLAP`."""

    total: int
    all: bool  # False if there may be more
    pairs: list[tuple[int, int, float]]  # the first of them, sorted: positions of both boxes, and the IoU


def same_boxes(
    xywh: NDArray[np.float64], groups: NDArray[np.int64], most: int = EXAMPLES, effort: int = 20_000_000
) -> Same:
    """Find boxes that are almost the same; equal ones are counted without looking at their pairs.

    The left side of one of such boxes lies in the first tenth of the other. So distinct boxes are sorted by group and
    left side, and each is compared with its successors while they begin that near.

    Args:
        xywh: (M, 4), COCO boxes of positive width and height.
        groups: (M,); only boxes of one group (a class in an image) are compared.
        most: Number of pairs that are returned.
        effort: Number of comparisons, and 20 for each box, after which the search ends.
    """
    order = np.lexsort((*xywh.T[::-1], groups))  # stable: equal boxes stay in order
    boxes, groups = xywh[order], groups[order]
    fresh = np.append(True, (boxes[1:] != boxes[:-1]).any(axis=1) | (groups[1:] != groups[:-1]))[: len(boxes)]
    starts = np.flatnonzero(fresh)  # of distinct boxes
    boxes, groups, sizes = boxes[starts], groups[starts], np.diff(np.append(starts, len(order)))
    reach = boxes[:, 0] + (1 - OVERLAP) * boxes[:, 2]

    def first_ones(one: int, other: int, iou: float) -> list[tuple[int, int, float]]:
        """Return the first pairs of two sets of equal boxes, or of one set with itself."""
        some, others = (
            order[starts[each] : starts[each] + min(sizes[each], most + 1)].tolist() for each in (one, other)
        )
        pairs = ((min(a, b), max(a, b), iou) for a in some for b in others if a < b or one != other)
        return heapq.nsmallest(most, pairs)

    several = np.flatnonzero(sizes > 1)
    count = int((sizes * (sizes - 1) // 2).sum())
    chosen = several[np.argsort(order[starts[several]])[:most]]
    found = [pair for each in chosen.tolist() for pair in first_ones(each, each, 1.0)]
    near, left = np.arange(len(boxes)), effort + 20 * len(boxes)
    for step in range(1, len(boxes)):
        near = near[near + step < len(boxes)]
        near = near[(groups[near] == groups[near + step]) & (boxes[near + step, 0] <= reach[near])]
        left -= len(near)
        if not len(near) or left < 0:
            break
        overlaps = _overlaps(boxes[near], boxes[near + step])
        same = overlaps > OVERLAP
        one, ious = near[same], overlaps[same]
        count += int((sizes[one] * sizes[one + step]).sum())
        earliest = np.minimum(order[starts[one]], order[starts[one + step]])
        latest = np.maximum(order[starts[one]], order[starts[one + step]])
        for at in np.lexsort((latest, earliest))[:most].tolist():
            found += first_ones(int(one[at]), int(one[at]) + step, float(ious[at]))
        found = heapq.nsmallest(most, found)
    return Same(count, left >= 0, heapq.nsmallest(most, found))


def _overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the IoU of each box of `one` with the box at its position in `other`; both (M, 4)."""
    shared = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    intersection = np.prod(np.maximum(shared, 0), axis=1)
    areas = np.prod(one[:, 2:], axis=1) + np.prod(other[:, 2:], axis=1)
    ious: NDArray[np.float64] = intersection / (areas - intersection)
    return ious


def _check_segmentations(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    heights, widths = np.append(file.images.heights, 0), np.append(file.images.widths, 0)
    extents = {}
    for position, raw in table.segmentations.items():
        image = table.images[position]
        try:
            extents[position] = extent_of(raw, int(heights[image]), int(widths[image]))
        except ValueError as error:
            findings.add("bad-segmentation", f"{file.annotation(position)}: {error}")
    positions = np.array([position for position, extent in extents.items() if extent], np.intp)
    drawn = np.array([extent for extent in extents.values() if extent]).reshape(-1, 4)
    drawn[:, 2:] -= drawn[:, :2]
    boxes = table.xywh[positions]
    sized = (drawn[:, 2:] > 0).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    strayed = positions[sized][_overlaps(drawn[sized], boxes[sized]) < _STRAYED]
    findings.add_all("strayed-segmentation", strayed, file.box)


def extent_of(raw: msgspec.Raw, height: int, width: int) -> tuple[float, float, float, float] | None:
    """Check the JSON of a segmentation, and return left, top, right and bottom of all polygons; None for run lengths.

    All in pixels; height and width of the image are 0 if unknown.

    Raises:
        ValueError: pycocotools could not decode it, or would draw a mask of another size.

    Example:
        >>> extent_of(msgspec.Raw(b"[[1, 2, 5, 2, 5, 8]]"), 10, 10)
        (1.0, 2.0, 5.0, 8.0)
        >>> extent_of(msgspec.Raw(b'{"size": [2, 3], "counts": [4, 2]}'), 2, 3)
    """
    try:
        polygons = _POLYGONS.decode(raw)
    except msgspec.ValidationError:
        mask_height, mask_width = check_rle(msgspec.json.decode(raw))["size"]
        if height and width and (mask_height, mask_width) != (height, width):
            raise ValueError(f"a mask of {mask_width}x{mask_height} in an image of {width}x{height}") from None
        return None
    if not polygons:
        return None
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers, which takes an even number from 6")
        if max(map(abs, polygon)) > FARTHEST * max(height, width) > 0:
            raise ValueError(f"a polygon that reaches over {FARTHEST} times the image's side")
    across = [x for polygon in polygons for x in polygon[::2]]
    down = [y for polygon in polygons for y in polygon[1::2]]
    return min(across), min(down), max(across), max(down)


_POLYGONS = msgspec.json.Decoder(list[list[float]])
