"""Tolerant reader of COCO annotation files: entries become columns, their faults become findings.

1.3 million annotations fit into memory.
"""

from __future__ import annotations

import json
import math
import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
import numpy as np

from nirgen.errors import NirgenError
from nirgen.files import read_bytes
from nirgen.labels.content import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.validate.findings import Findings


NO_ID = -1  # in place of an id that is no whole number from 0
NOWHERE = -1  # in place of the position of an image or category that has no entry
_LARGEST_ID = 2**53
_NAN = math.nan

_Id = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_ID)]
_Side = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Images:
    """Columns of the N images of a file, in its order."""

    ids: NDArray[np.int64]  # (N,), `NO_ID` where unusable
    names: tuple[str, ...]  # paths relative to the images' folder; empty where missing
    widths: NDArray[np.int64]  # (N,), pixels; 0 where unknown
    heights: NDArray[np.int64]
    keys: tuple[Any, ...]  # this and the next two: of nirgen's datasets, else None
    origins: tuple[Any, ...]
    kinds: tuple[Any, ...]
    sequences: tuple[Any, ...]  # None where an image has none

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Annotations:
    """Columns of the M annotations of a file, in its order."""

    ids: NDArray[np.int64]  # (M,), `NO_ID` where unusable
    image_ids: NDArray[np.int64]  # (M,) as written, `NO_ID` where unusable
    images: NDArray[np.int32]  # (M,) positions of the images, or `NOWHERE`
    categories: NDArray[np.int32]  # (M,) positions of the categories, or `NOWHERE`
    xywh: NDArray[np.float64]  # (M, 4) COCO boxes in pixels; NaN where a box isn't four finite numbers
    areas: NDArray[np.float64]  # (M,) square pixels; NaN where unknown
    crowd: NDArray[np.bool_]  # (M,)
    segmentations: Mapping[int, msgspec.Raw]  # by position, where there is one

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Categories:
    """Columns of the K categories of a file, in its order; names are empty where missing."""

    ids: NDArray[np.int64]  # (K,), `NO_ID` where unusable
    names: tuple[str, ...]
    supercategories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class CocoFile:
    """One annotation file."""

    path: Path
    split: str  # train, val or test in nirgen's datasets, else the file's stem
    root: Path  # the folder that image names are relative to
    images: Images
    annotations: Annotations
    categories: Categories

    def image(self, position: int) -> str:
        """Describe an image."""
        name = f" {self.images.names[position]!r}" if self.images.names[position] else ""
        return f"{self.path.name}: image {_number(self.images.ids[position], position)}{name}"

    def annotation(self, position: int) -> str:
        """Describe an annotation, with its image."""
        image = int(self.annotations.images[position])
        where = f" of {self.images.names[image]!r}" if image != NOWHERE else ""
        return f"{self.path.name}: annotation {_number(self.annotations.ids[position], position)}{where}"

    def box(self, position: int) -> str:
        """Describe an annotation, with its image and its box."""
        x, y, width, height = (f"{round(value, 3):g}" for value in self.annotations.xywh[position].tolist())
        return f"{self.annotation(position)}: [{x}, {y}, {width}, {height}]"


def read_coco(path: Path, split: str, root: Path, findings: Findings) -> CocoFile:
    """Read an annotation file; faulty entries are kept, as far as the columns can hold them.

    Raises:
        NirgenError: It can't be read, or is no COCO annotation file.
    """
    document = _decode(path, findings)
    categories, category_at = _categories(document.categories, path.name, findings)
    try:
        images, image_at = _images(document.images, path.name, findings)
        annotations = _annotations(document.annotations, image_at, category_at, path.name, findings)
    except FAULTS as error:  # entries stay raw until here
        raise NirgenError(f"{path}: no JSON ({error}); write or copy it again") from None
    return CocoFile(path, split, root, images, annotations, categories)


class _Document(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[Any] = []


_DOCUMENT = msgspec.json.Decoder(_Document)


def _decode(path: Path, findings: Findings) -> _Document:
    try:
        data = read_bytes(path)
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a COCO annotation file") from None
    try:
        data.decode()  # texts that stay raw are not looked at
        return _document(data, path)
    except FAULTS as error:
        strict = str(error)
    try:  # Python's reader accepts NaN, which msgspec encodes as null
        data = msgspec.json.encode(json.loads(data))
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NirgenError(f"{path}: no JSON ({strict}); write or copy it again") from None
    findings.add("lax-json", f"{path.name}: {strict}")
    return _document(data, path)


def _document(data: bytes, path: Path) -> _Document:
    try:
        return _DOCUMENT.decode(data)
    except msgspec.ValidationError as error:
        raise NirgenError(
            f"{path}: no COCO annotations ({error}); give a file with images, annotations and categories"
        ) from None


def _categories(entries: Iterable[Any], name: str, findings: Findings) -> tuple[Categories, dict[Any, int]]:
    values = [entry if isinstance(entry, dict) else {} for entry in entries]
    at = {_hashable(value.get("id")): position for position, value in reversed(list(enumerate(values)))}
    ids = [_whole(value.get("id")) for value in values]
    faulty = [value for value, number in zip(values, ids, strict=True) if number == NO_ID]
    findings.add_all("bad-id", faulty, lambda value: f"{name}: category {value.get('name')!r}: id {value.get('id')!r}")
    return Categories(np.array(ids, np.int64), _texts(values, "name"), _texts(values, "supercategory")), at


def _images(entries: Sequence[msgspec.Raw], name: str, findings: Findings) -> tuple[Images, dict[Any, int]]:
    at: dict[Any, int] = {}
    read = []
    for position, raw in enumerate(entries):
        entry, number, faults = _read_image(raw)
        at.setdefault(_hashable(number), position)
        read.append(entry)
        for check, fault in faults:
            findings.add(check, f"{name}: image {_number(entry.id, position)}: {fault}")
    return Images(
        np.array([entry.id for entry in read], np.int64),
        tuple(entry.file_name for entry in read),
        np.array([entry.width for entry in read], np.int64),
        np.array([entry.height for entry in read], np.int64),
        *(tuple(getattr(entry, column) for entry in read) for column in ("key", "origin", "kind", "sequence")),
    ), at


def _annotations(
    entries: Sequence[msgspec.Raw],
    image_at: Mapping[Any, int],
    category_at: Mapping[Any, int],
    name: str,
    findings: Findings,
) -> Annotations:
    ids, image_ids, images, categories = array("q"), array("q"), array("i"), array("i")
    boxes, areas, crowd = array("d"), array("d"), array("b")
    segmentations = {}
    for position, raw in enumerate(entries):
        entry, image_id, category_id, faults = _read_annotation(raw)
        ids.append(entry.id)
        image_ids.append(entry.image_id)
        images.append(image_at.get(_hashable(image_id), NOWHERE))
        categories.append(category_at.get(_hashable(category_id), NOWHERE))
        boxes.extend(entry.bbox)
        areas.append(entry.area)
        crowd.append(entry.iscrowd)
        if bytes(entry.segmentation) not in {b"null", b"[]"}:
            segmentations[position] = entry.segmentation
        for check, fault in faults:
            findings.add(check, f"{name}: annotation {_number(entry.id, position)}: {fault}")
    return Annotations(
        np.array(ids, np.int64),
        np.array(image_ids, np.int64),
        np.array(images, np.int32),
        np.array(categories, np.int32),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(areas, np.float64),
        np.array(crowd, np.bool_),
        segmentations,
    )


class _Image(msgspec.Struct, gc=False):
    """A sound image entry; the last four keys are those of nirgen's datasets."""

    id: _Id
    file_name: str
    width: _Side
    height: _Side
    key: str | None = None
    origin: str | None = None
    kind: str | None = None
    sequence: str | int | float | None = None


class _Annotation(msgspec.Struct, gc=False):
    """A sound annotation; `bbox` is COCO xywh in pixels."""

    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: _Box
    area: Annotated[float, msgspec.Meta(gt=0)]
    iscrowd: Literal[0, 1]
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


_Fault = tuple[str, str]  # a check's name and the description
_IMAGE = msgspec.json.Decoder(_Image)
_ANNOTATION = msgspec.json.Decoder(_Annotation)


def _read_image(raw: msgspec.Raw) -> tuple[_Image, Any, tuple[_Fault, ...]]:
    """Return the entry, its id as written, its faults; unusable are an id of `NO_ID`, an empty name, sides of 0."""
    try:
        entry = _IMAGE.decode(raw)
    except msgspec.ValidationError:
        values = _mapping(raw)
        name = values.get("file_name")
        entry = _Image(
            _whole(values.get("id")),
            name if isinstance(name, str) else "",
            max(0, _whole(values.get("width"))),
            max(0, _whole(values.get("height"))),
            *(_plain(values.get(key)) for key in ("key", "origin", "kind", "sequence")),
        )
        return entry, values.get("id"), tuple(_image_faults(values))
    return entry, entry.id, ()


def _read_annotation(raw: msgspec.Raw) -> tuple[_Annotation, Any, Any, tuple[_Fault, ...]]:
    """Return the annotation, the ids of its image and category as written, its faults; unusable are `NO_ID` and NaN."""
    try:
        entry = _ANNOTATION.decode(raw)
    except msgspec.ValidationError:
        values = _mapping(raw)
        entry = _Annotation(
            _whole(values.get("id")),
            _whole(values.get("image_id")),
            _whole(values.get("category_id")),
            _box(values.get("bbox")) or (_NAN, _NAN, _NAN, _NAN),
            _area(values.get("area")),
            1 if values.get("iscrowd") == 1 else 0,
            msgspec.Raw(msgspec.json.encode(values.get("segmentation"))),
        )
        return entry, values.get("image_id"), values.get("category_id"), tuple(_annotation_faults(values))
    return entry, entry.image_id, entry.category_id, ()


def _image_faults(values: Mapping[str, Any]) -> Iterator[_Fault]:
    yield from _key_faults(values, ("id",), ("file_name", "width", "height"))
    if "file_name" in values and not isinstance(values["file_name"], str):
        yield "missing-key", f"file_name is {_shown(values['file_name'])}"
    sides = {side: values[side] for side in ("width", "height") if side in values}
    if any(_whole(value) < 1 for value in sides.values()):
        yield "bad-size", ", ".join(f"{side} {_shown(value)}" for side, value in sides.items())


def _annotation_faults(values: Mapping[str, Any]) -> Iterator[_Fault]:
    yield from _key_faults(values, ("id", "image_id", "category_id"), ("bbox", "area", "iscrowd"))
    if "bbox" in values and _box(values["bbox"]) is None:
        yield "bad-box", f"bbox {_shown(values['bbox'])}"
    if "area" in values and not _area(values["area"]) > 0:
        yield "bad-area", f"area {_shown(values['area'])}"
    if "iscrowd" in values and values["iscrowd"] not in (0, 1):
        yield "bad-crowd", f"iscrowd {_shown(values['iscrowd'])}"


def _key_faults(values: Mapping[str, Any], ids: Sequence[str], others: Sequence[str]) -> Iterator[_Fault]:
    absent = [key for key in (*ids, *others) if key not in values]
    if absent:
        yield "missing-key", f"no {', '.join(absent)}"
    for key in ids:
        if key in values and _whole(values[key]) == NO_ID:
            yield "bad-id", f"{key} {_shown(values[key])}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else None


def _mapping(raw: msgspec.Raw) -> dict[str, Any]:
    values = msgspec.json.decode(raw)
    return cast("dict[str, Any]", values) if isinstance(values, dict) else {}


def _whole(value: Any) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_ID
    return cast("int", value) if whole else NO_ID


def _box(value: Any) -> _Box | None:
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(part) for part in value):
        return None
    return float(value[0]), float(value[1]), float(value[2]), float(value[3])


def _area(value: Any) -> float:
    return float(value) if _is_number(value) else _NAN


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _texts(entries: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    values = (entry.get(key) for entry in entries)
    return tuple(value if isinstance(value, str) else "" for value in values)


def _hashable(number: Any) -> Any:
    """Return an id usable as a dictionary's key; one that can't be an id equals no other."""
    return number if isinstance(number, (int, float, str)) else object()


def _number(number: int, position: int) -> str:
    return str(number) if number != NO_ID else f"at position {position}"
