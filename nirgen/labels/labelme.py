"""labelme: a JSON file for each image, with shapes of points in pixels."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.errors import NirgenError
from nirgen.labels.content import explained, plainly, read_content
from nirgen.labels.frames import Frame, Label, box_of, image_name, to_ignore
from nirgen.labels.masks import polygons_box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.labels.content import Json
    from nirgen.labels.frames import ImageLookup


class _Shape(msgspec.Struct):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    flags: dict[str, Any] | None = None
    group_id: int | str | None = None


class _File(msgspec.Struct):
    shapes: list[_Shape]
    path: str = msgspec.field(name="imagePath")
    height: int | None = msgspec.field(default=None, name="imageHeight")
    width: int | None = msgspec.field(default=None, name="imageWidth")
    flags: dict[str, Any] | None = None


_FILE = msgspec.json.Decoder(_File, strict=False)


def fits(document: Json) -> bool:
    """Return True if a JSON document is labelme's."""
    return isinstance(document, dict) and {"shapes", "imagePath"} <= document.keys()


def frame(path: Path, relative: str, lookup: ImageLookup) -> Frame:
    """Read a file, whose path relative to the source is `relative`.

    The image has the name of `imagePath`, without its folders, and lies in the folder of the file.
    """
    data = read_content(path)
    with explained(path, data):
        try:
            file = _FILE.decode(data)
        except msgspec.ValidationError as error:
            raise NirgenError(
                f"{path}: not labelme's JSON ({plainly(error)}); correct it, or remove the file"
            ) from None
    name = PurePosixPath(relative).parent / PurePosixPath(file.path.replace("\\", "/")).name
    found = lookup.complete(image_name(name.as_posix(), str(path)))
    height, width = file.height, file.width
    if not height or not width:
        height, width = lookup.size(found, str(path))
    flags = {key: value for key, value in (file.flags or {}).items() if value is not None}
    return Frame(found, width, height, [_label(shape) for shape in file.shapes], attributes=flags)


def _label(shape: _Shape) -> Label:
    kind, points, flags = shape.shape_type or "polygon", shape.points, shape.flags or {}
    extra = {} if shape.group_id is None else {"group_id": shape.group_id}
    label = Label(shape.label, None, attributes=flags, crowd=to_ignore(flags), extra=extra)
    if kind in {"rectangle", "mask"} and len(points) == 2:
        label.bbox, _ = box_of(*points[0], *points[1])  # drawn from any corner
        label.derived = "mask" if kind == "mask" else None
    elif kind == "circle" and len(points) == 2:
        radius = math.dist(*points)
        label.bbox = (points[0][0] - radius, points[0][1] - radius, 2 * radius, 2 * radius)
        label.derived = "circle"
    elif kind in {"polygon", "rectangle", "oriented_rectangle"} and len(points) > 2:
        polygon = _flat(points)
        label.bbox, label.derived = polygons_box([polygon]), None if kind == "rectangle" else "polygon"
        label.segmentation = None if kind == "rectangle" else [polygon]
    else:
        label.lost = f"a {kind} of {len(points)} point(s), which has no box"
    return label


def _flat(points: Sequence[tuple[float, float]]) -> list[float]:
    return [coordinate for point in points for coordinate in point]
