"""Outlines of objects: curves flattened, and the boxes around polygons and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycocotools import mask as rle_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.labels.frames import Box

CURVE_POINTS = 8
"""Into how many straight pieces a curve is cut."""


def flatten(vertices: Sequence[Sequence[float]], types: str) -> list[float]:
    """A closed outline of BDD100K's as a COCO polygon.

    A vertex of type `C` is the first of two control points of a cubic Bézier curve, which starts at the vertex before
    and ends at the one behind them, whatever the type of that; behind the last vertex comes the first again.

    Args:
        vertices: x and y of each.
        types: `L` or `C` for each vertex.

    Returns:
        x and y by turns, curves cut into `CURVE_POINTS` straight pieces.

    Example:
        >>> flatten([(0, 0), (4, 0), (4, 4)], "LLL")
        [0, 0, 4, 0, 4, 4]
    """
    flat: list[float] = []
    number = 0
    while number < len(vertices):
        if types[number] != "C" or not flat:
            flat += vertices[number][:2]
            number += 1
        else:
            controls = [
                vertices[index] if index < len(vertices) else vertices[0] for index in range(number, number + 3)
            ]
            flat += _curve([flat[-2:], *controls])
            number += 3
    return flat


def _curve(points: Sequence[Sequence[float]]) -> list[float]:
    """Points, x and y by turns, along a cubic Bézier curve of four points, without the first."""
    flat = []
    for step in range(1, CURVE_POINTS + 1):
        t = step / CURVE_POINTS
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        pairs = list(zip(weights, points, strict=True))
        flat += [sum(weight * point[axis] for weight, point in pairs) for axis in (0, 1)]
    return flat


def polygons_box(polygons: Sequence[Sequence[float]]) -> Box:
    """The box around COCO polygons.

    Example:
        >>> polygons_box([[1, 2, 5, 2, 5, 8]])
        (1, 2, 4, 6)
    """
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def rle_box(rle: dict[str, Any]) -> Box:
    """The box around a mask in COCO's RLE, compressed or not.

    Raises:
        ValueError: It is no RLE.
    """
    counts, size = rle.get("counts"), rle.get("size")
    if not (isinstance(size, list) and len(size) == 2 and isinstance(counts, (str, list))):
        raise ValueError("no RLE of COCO's")
    compressed = rle_tools.frPyObjects(rle, *size) if isinstance(counts, list) else {**rle, "counts": counts.encode()}
    x, y, width, height = rle_tools.toBbox(compressed).tolist()
    return x, y, width, height
