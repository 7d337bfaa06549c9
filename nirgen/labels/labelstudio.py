"""Label Studio's JSON: a list of tasks, with regions in percent of the image; also its short form, JSON_MIN."""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from nirgen.errors import NirgenError
from nirgen.labels.content import plainly
from nirgen.labels.frames import TURNED, Frame, ImageLookup, Label, Reading, image_name
from nirgen.labels.masks import polygons_box

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nirgen.labels.content import Json
    from nirgen.labels.frames import ReadOptions


_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # put before the names of uploaded files
_KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels")


class _Value(msgspec.Struct):
    """A region in percent of width and height; `rotation` is in degrees, clockwise about the upper left corner."""

    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    rotation: float | None = None
    points: list[tuple[float, float]] | None = None
    across: float | None = msgspec.field(default=None, name="radiusX")
    down: float | None = msgspec.field(default=None, name="radiusY")


class _Size(msgspec.Struct):
    width: int | None = msgspec.field(default=None, name="original_width")
    height: int | None = msgspec.field(default=None, name="original_height")


def fits(document: Json) -> bool:
    """Return True if a JSON document is a list of Label Studio's tasks."""
    if not isinstance(document, list) or not document:
        return False
    first = msgspec.json.decode(document[0])
    if not isinstance(first, dict):
        return False
    full = isinstance(first.get("data"), dict) and isinstance(first.get("annotations"), list)
    return full or (isinstance(first.get("image"), str) and "annotator" in first)


def read(path: Path, options: ReadOptions, document: list[msgspec.Raw]) -> Reading:
    """Read a file whose top level is decoded."""
    lookup = ImageLookup(options)

    def frames() -> Iterator[Frame]:
        for position, raw in enumerate(document):
            keys = msgspec.json.decode(raw)
            where = f"{path}: task {keys.get('id', f'at position {position}') if isinstance(keys, dict) else position}"
            try:
                yield _frame(keys, where, lookup, options)
            except (msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
                raise NirgenError(
                    f"{where}: not a task of Label Studio ({plainly(error)}); export it as JSON"
                ) from None

    return Reading(frames(), len(document))


def _frame(keys: dict[str, Any], where: str, lookup: ImageLookup, options: ReadOptions) -> Frame:
    regions: list[dict[str, Any]] | None
    if "data" in keys:
        address = next((value for value in keys["data"].values() if isinstance(value, str)), "")
        done = [one for one in keys.get("annotations") or () if not one.get("was_cancelled")]
        if len(done) > 1:
            options.note("tasks with several annotations have the labels of the first one")
        regions = (done[0].get("result") or []) if done else None
    else:
        address, regions = keys["image"], _short(keys)
    name = _name(address, where, lookup)
    first = msgspec.convert(next(iter(regions or ()), {}), _Size, strict=False)
    height, width = first.height, first.width
    if not height or not width:
        height, width = lookup.size(name, where)
    labels = None if regions is None else [one for region in regions for one in _labels(region, width, height)]
    return Frame(name, width, height, labels, source_id=keys.get("id"))


def _short(keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the regions of a task in the short form as in the full one."""
    lists = [
        value for value in keys.values() if isinstance(value, list) and all(isinstance(one, dict) for one in value)
    ]
    return [
        {**region, "value": region, "type": kind}
        for regions in lists
        for region in regions
        for kind in _KINDS
        if kind in region
    ]


def _name(address: str, where: str, lookup: ImageLookup) -> str:
    """Return the name of an image by its address: a URL, a path of Label Studio's storage, or of an uploaded file."""
    parts = urlsplit(address)
    given = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    name = PurePosixPath(given.replace("\\", "/")).name
    found = lookup.find(image_name(name, where))
    plain = _UPLOADED.sub("", name) if "/upload/" in given or "/" not in given else name
    return found or lookup.complete(image_name(plain, where))


def _labels(region: Mapping[str, Any], width: int, height: int) -> Iterator[Label]:
    """Yield the labels of a region, one for each class that it has; regions of other kinds describe the image."""
    kind, keys = str(region.get("type")), region.get("value") or {}
    if kind not in _KINDS:
        return
    value = msgspec.convert(keys, _Value, strict=False)
    for category in keys.get(kind) or ():
        label = Label(str(category), None, key=region.get("id"))
        if value.points and len(value.points) > 2:
            polygon = [
                part / 100 * side for point in value.points for part, side in zip(point, (width, height), strict=True)
            ]
            label.bbox, label.segmentation, label.derived = polygons_box([polygon]), [polygon], "polygon"
        elif None not in (value.x, value.y, value.width, value.height):
            outline = _corners(value, width, height)
            label.bbox, label.derived = polygons_box([outline]), TURNED if value.rotation else None
        elif None not in (value.x, value.y, value.across, value.down):
            x, y = (value.x or 0) / 100 * width, (value.y or 0) / 100 * height
            label.bbox, label.derived = _ellipse(x, y, value, width, height), "ellipse"
        else:
            label.lost = f"{kind.removesuffix('labels')}, which has no box"
        yield label


def _corners(value: _Value, width: int, height: int) -> list[float]:
    """Return the corners of a rectangle in pixels, x and y in turn."""
    x, y = (value.x or 0) / 100 * width, (value.y or 0) / 100 * height
    w, h = (value.width or 0) / 100 * width, (value.height or 0) / 100 * height
    turn = math.radians(value.rotation or 0)
    cos, sin = math.cos(turn), math.sin(turn)
    corners = ((0.0, 0.0), (w, 0.0), (w, h), (0.0, h))
    return [part for dx, dy in corners for part in (x + dx * cos - dy * sin, y + dx * sin + dy * cos)]


def _ellipse(x: float, y: float, value: _Value, width: int, height: int) -> tuple[float, float, float, float]:
    across, down = (value.across or 0) / 100 * width, (value.down or 0) / 100 * height
    turn = math.radians(value.rotation or 0)
    wide = math.hypot(across * math.cos(turn), down * math.sin(turn))
    high = math.hypot(across * math.sin(turn), down * math.cos(turn))
    return x - wide, y - high, 2 * wide, 2 * high
