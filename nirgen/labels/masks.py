"""Outlines and masks: Cityscapes-like polygons, colour-coded masks of RANUS, and the boxes around both."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from pycocotools import mask as rle_tools

from nirgen import images
from nirgen.config import SPLITS
from nirgen.errors import NirgenError
from nirgen.labels.content import explained, plainly, read_content
from nirgen.labels.frames import Frame, Label, image_name, other_keys
from nirgen.labels.rle import check_rle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.labels.content import Json
    from nirgen.labels.frames import Box, ImageLookup


CURVE_POINTS = 8  # straight segments of a flattened curve


def flatten(vertices: Sequence[Sequence[float]], types: str) -> list[float]:
    """Convert a closed BDD100K outline to a COCO polygon: x and y in turn, curves cut into `CURVE_POINTS` segments.

    A vertex of type `C` is the first of two control points of a cubic Bézier curve, which starts at the vertex before
    and ends at the one after them, whatever its type; the last vertex is followed by the first.

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
            controls = [*vertices[number : number + 3], vertices[0], vertices[0]][:3]
            flat += _curve([flat[-2:], *controls])
            number += 3
    return flat


def _curve(points: Sequence[Sequence[float]]) -> list[float]:
    """Return points (x and y in turn) on a cubic Bézier curve of four points, without the first."""
    flat = []
    for step in range(1, CURVE_POINTS + 1):
        t = step / CURVE_POINTS
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        flat += [
            sum(weight * at for weight, at in zip(weights, axis, strict=True)) for axis in zip(*points, strict=True)
        ]
    return flat


def polygons_box(polygons: Sequence[Sequence[float]]) -> Box:
    """Return the box around COCO polygons."""
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


FARTHEST = 10  # times an image's longest side that a polygon may reach; pycocotools crashes at some that reach farther


def segmentation_of(value: Any, height: int, width: int) -> tuple[Any, str | None]:
    """Return the usable part of a segmentation in an image of that size, None if nothing is, and what is wrong.

    Empty polygons are none; a flat list of numbers is one polygon.

    Example:
        >>> segmentation_of([[1, 2, 5, 2, 5, 8], [], [3, 4]], 10, 10)
        ([[1, 2, 5, 2, 5, 8]], 'a polygon of 2 numbers, which takes an even number from 6')
    """
    if not value:
        return None, None
    if not isinstance(value, list):
        try:
            mask_height, mask_width = check_rle(value)["size"]
        except (ValueError, OverflowError) as error:
            return None, str(error)
        if (mask_height, mask_width) != (height, width):
            return None, f"a mask of {mask_width}x{mask_height} in an image of {width}x{height}"
        return value, None
    kept, fault = [], None
    for polygon in [value] if all(isinstance(one, (int, float)) for one in value) else value:
        try:
            numbers = msgspec.convert(polygon, list[float])
        except msgspec.ValidationError:
            fault = "neither polygons nor run lengths"
            continue
        if not all(map(math.isfinite, numbers)):
            fault = "a polygon with a coordinate that isn't finite"
        elif len(numbers) < 6 or len(numbers) % 2:
            fault = f"a polygon of {len(numbers)} numbers, which takes an even number from 6" if numbers else fault
        elif max(map(abs, numbers)) > FARTHEST * max(height, width):
            fault = f"a polygon that reaches over {FARTHEST} times the image's side"
        else:
            kept.append(polygon)
    return kept or None, fault


# Ends of the stems of label files, and of their images instead.
POLYGON_MARKS = {"_gtFine_polygons": "_leftImg8bit", "_gtCoarse_polygons": "_leftImg8bit", "_polygons": "", "_mask": ""}
FOLDERS = ("gtFine", "gtCoarse", "gtSeg")  # folders that hold all labels; the last one is IDD-AW's


class _Object(msgspec.Struct):
    label: str
    polygon: list[tuple[float, float]]
    deleted: bool | int = False


class _File(msgspec.Struct):
    height: int = msgspec.field(name="imgHeight")
    width: int = msgspec.field(name="imgWidth")
    objects: list[msgspec.Raw]


_OBJECT = msgspec.json.Decoder(_Object, strict=False)
_FILE = msgspec.json.Decoder(_File, strict=False)
_OBJECT_KEYS = frozenset({"label", "polygon", "deleted", "id"})


def are_polygons(document: Json) -> bool:
    """Return True if a JSON document is a Cityscapes-like file of polygons."""
    return isinstance(document, dict) and {"imgHeight", "imgWidth", "objects"} <= document.keys()


def bare_name(relative: str) -> str:
    """Return the image name, without suffix, of a label file."""
    path = PurePosixPath(relative).with_suffix("")
    for ending, other in POLYGON_MARKS.items():
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + other).as_posix()
    return path.as_posix()


def nir_name(name: str) -> str:
    """Return the NIR image name of IDD-AW labels, which lie in `gtSeg`; other names stay.

    Example:
        >>> nir_name("train/FOG/gtSeg/12/a")
        'train/FOG/nir/12/a_nir.png'
    """
    parts = name.split("/")
    if FOLDERS[-1] not in parts[:-1]:
        return name
    parts[parts.index(FOLDERS[-1])] = "nir"
    return "/".join(parts) + "_nir.png"


def polygon_frame(path: Path, relative: str, lookup: ImageLookup) -> Frame:
    """Read a file of polygons, whose path relative to the source is `relative`."""
    data = read_content(path)
    with explained(path, data):
        try:
            file = _FILE.decode(data)
            labels = [_polygon_label(raw) for raw in file.objects]
        except msgspec.ValidationError as error:
            raise NirgenError(
                f"{path}: no Cityscapes-like polygons ({plainly(error)}); correct it, or remove it"
            ) from None
    folders = [part for part in PurePosixPath(relative).parent.parts if part not in FOLDERS]
    bare = image_name(bare_name(relative), str(path))
    found = lookup.complete(bare)
    name, size = found if found != bare else nir_name(bare), (file.height, file.width)
    height, width = size if all(size) else lookup.size(name, str(path))
    return Frame(
        file_name=name,
        width=width,
        height=height,
        labels=[label for label in labels if label is not None],
        sequence="/".join(folders) or None,
        split=next((part for part in folders if part in SPLITS), None),
    )


def _polygon_label(raw: msgspec.Raw) -> Label | None:
    entry = _OBJECT.decode(raw)
    if entry.deleted:
        return None
    keys: dict[str, Any] = msgspec.json.decode(raw)
    flat = [coordinate for point in entry.polygon for coordinate in point]
    usable = len(entry.polygon) > 2
    crowd = entry.label.endswith("group") and entry.label != "group"
    return Label(
        category=entry.label.removesuffix("group").strip() if crowd else entry.label,
        bbox=polygons_box([flat]) if usable else None,
        key=keys.get("id"),
        segmentation=[flat] if usable else None,
        crowd=crowd,
        derived="polygon",
        lost=None if usable else "an outline of under 3 points",
        extra=other_keys(keys, _OBJECT_KEYS),
    )


# sRGB of the classes of RANUS.
CLASSES = {
    "ignore": (0, 0, 0),
    "sky": (128, 128, 128),
    "ground": (128, 0, 0),
    "water": (0, 128, 128),
    "mountain": (128, 128, 0),
    "road": (128, 64, 128),
    "construction": (128, 0, 128),
    "vegetation": (0, 128, 0),
    "object": (64, 64, 0),
    "vehicle": (0, 0, 128),
    "human": (64, 0, 128),
}
BOXED = ("vehicle", "human")  # classes that get boxes; the others are ground and background
TOLERANCE = 10  # largest deviation from a colour, as the sum over channels
SMALLEST = 20  # smallest number of pixels of a piece
TOO_SMALL = f"under {SMALLEST} pixels"
MASK_MARK, MASK_SUFFIXES = "_gt", (".png",)


def mask_frame(path: Path, relative: str, lookup: ImageLookup) -> Frame:
    """Read a RANUS mask, whose path relative to the source is `relative`; its folder is the sequence.

    The image of `01/x_gt.png` is `01/x_nir.png`, or the one found in the folder of images.
    """
    pixels = images.read(path)
    name = PurePosixPath(relative)
    bare = name.with_name(name.stem.removesuffix(MASK_MARK)).as_posix()
    found = lookup.complete(bare)
    return Frame(
        file_name=image_name(found if found != bare else f"{bare}_nir.png", str(path)),
        width=pixels.shape[1],
        height=pixels.shape[0],
        labels=[label for category in BOXED for label in _pieces(pixels, category)],
        sequence=name.parent.as_posix() if name.parent.parts else None,
    )


def of_class(pixels: NDArray[np.uint8], category: str) -> NDArray[np.bool_]:
    """Return where an (H, W, 3) mask has the colour of a class: (H, W)."""
    near: NDArray[np.bool_] = np.abs(pixels.astype(np.int16) - CLASSES[category]).sum(axis=2) <= TOLERANCE
    return near


def _pieces(pixels: NDArray[np.uint8], category: str) -> Iterator[Label]:
    """Yield the connected pieces (diagonal neighbours included) of one class in an (H, W, 3) mask."""
    from scipy import ndimage  # slow to import

    pieces, _ = ndimage.label(of_class(pixels, category), structure=np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
        piece = pieces == number
        if piece[rows, columns].sum() < SMALLEST:
            yield Label(category, None, lost=TOO_SMALL)
            continue
        rle = rle_tools.encode(np.asfortranarray(piece, dtype=np.uint8))
        yield Label(
            category,
            bbox=(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start),
            segmentation={"size": rle["size"], "counts": rle["counts"].decode()},
            derived="mask",
        )
