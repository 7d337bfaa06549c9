"""One entry of a COCO file: as it should be, or what is wrong with it and what of it can be used still."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NO_ID = -1
"""Stands for an id that is no whole number from 0."""

_LARGEST_ID = 2**53
_NAN = math.nan

Id = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_ID)]
Side = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Box = tuple[float, float, float, float]


class Image(msgspec.Struct, gc=False):
    """An image entry as it should be; the last four keys are those of nirgen's datasets."""

    id: Id
    file_name: str
    width: Side
    height: Side
    key: Any = None
    origin: Any = None
    kind: Any = None
    sequence: Any = None


class Annotation(msgspec.Struct, gc=False):
    """An annotation as it should be; `bbox` is COCO xywh in pixels, the key is that of nirgen's datasets."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: Box
    area: Annotated[float, msgspec.Meta(gt=0)]
    iscrowd: Literal[0, 1]
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    key: str | None = None


Fault = tuple[str, str]
"""A check's name and what is wrong in words."""

_IMAGE = msgspec.json.Decoder(Image)
_ANNOTATION = msgspec.json.Decoder(Annotation)


def read_image(raw: msgspec.Raw) -> tuple[Image, Any, tuple[Fault, ...]]:
    """Read one image entry.

    Args:
        raw: Its JSON.

    Returns:
        The entry, with an id of `NO_ID`, an empty name and sides of 0 for what can't be used; the id as it is written;
        what is wrong.
    """
    try:
        entry = _IMAGE.decode(raw)
    except msgspec.ValidationError:
        values = _mapping(raw)
        name = values.get("file_name")
        entry = Image(
            _whole(values.get("id")),
            name if isinstance(name, str) else "",
            max(0, _whole(values.get("width"))),
            max(0, _whole(values.get("height"))),
            *(values.get(key) for key in ("key", "origin", "kind", "sequence")),
        )
        return entry, values.get("id"), tuple(_image_faults(values))
    return entry, entry.id, ()


def read_annotation(raw: msgspec.Raw) -> tuple[Annotation, Any, Any, tuple[Fault, ...]]:
    """Read one annotation.

    Args:
        raw: Its JSON.

    Returns:
        The annotation, with ids of `NO_ID` and NaN in boxes and areas for what can't be used; the ids of its image and
        its category as they are written; what is wrong.
    """
    try:
        entry = _ANNOTATION.decode(raw)
    except msgspec.ValidationError:
        values = _mapping(raw)
        key = values.get("key")
        entry = Annotation(
            _whole(values.get("id")),
            _whole(values.get("image_id")),
            _whole(values.get("category_id")),
            _box(values.get("bbox")) or (_NAN, _NAN, _NAN, _NAN),
            _area(values.get("area")),
            1 if values.get("iscrowd") == 1 else 0,
            msgspec.Raw(msgspec.json.encode(values.get("segmentation"))),
            key if isinstance(key, str) else None,
        )
        return entry, values.get("image_id"), values.get("category_id"), tuple(_annotation_faults(values))
    return entry, entry.image_id, entry.category_id, ()


def _image_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _missing(values, ("id", "file_name", "width", "height"))
    yield from _bad_ids(values, ("id",))
    if "file_name" in values and not isinstance(values["file_name"], str):
        yield "missing-key", f"file_name is {_shown(values['file_name'])}"
    sides = {side: values[side] for side in ("width", "height") if side in values}
    if any(_whole(value) < 1 for value in sides.values()):
        yield "bad-size", ", ".join(f"{side} {_shown(value)}" for side, value in sides.items())


def _annotation_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _missing(values, ("id", "image_id", "category_id", "bbox", "area", "iscrowd"))
    yield from _bad_ids(values, ("id", "image_id", "category_id"))
    if "bbox" in values and _box(values["bbox"]) is None:
        yield "bad-box", f"bbox {_shown(values['bbox'])}"
    if "area" in values and not _area(values["area"]) > 0:
        yield "bad-area", f"area {_shown(values['area'])}"
    if "iscrowd" in values and values["iscrowd"] not in {0, 1}:
        yield "bad-crowd", f"iscrowd {_shown(values['iscrowd'])}"


def _missing(values: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Fault]:
    absent = [key for key in keys if key not in values]
    if absent:
        yield "missing-key", f"no {', '.join(absent)}"


def _bad_ids(values: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Fault]:
    for key in keys:
        if key in values and _whole(values[key]) == NO_ID:
            yield "bad-id", f"{key} {_shown(values[key])}"


def _mapping(raw: msgspec.Raw) -> dict[str, Any]:
    values = msgspec.json.decode(raw)
    return cast("dict[str, Any]", values) if isinstance(values, dict) else {}


def _whole(value: Any) -> int:
    """A whole number from 0, or `NO_ID`."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_ID
    return cast("int", value) if whole else NO_ID


def _box(value: Any) -> Box | None:
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(part) for part in value):
        return None
    return float(value[0]), float(value[1]), float(value[2]), float(value[3])


def _area(value: Any) -> float:
    return float(value) if _is_number(value) else _NAN


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
