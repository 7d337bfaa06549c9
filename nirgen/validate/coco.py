"""Tolerant reader of COCO annotation files: any file becomes columns, and what is wrong becomes findings.

1.3 million annotations fit into memory.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
import numpy as np

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.validate.findings import Findings


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


NOWHERE = -1
"""The position of an image or a category that has no entry."""


@dataclass(frozen=True)
class Images:
    """The images of a file, in its order; N of them.

    Attributes:
        ids: (N,) int64; `NO_ID` where an entry has none that can be used.
        names: N paths relative to the images' folder; an empty one where there is none.
        widths: (N,) int64, pixels; 0 where not known.
        heights: The same.
        keys: N stable keys of a nirgen dataset, else None; and so are `origins`, `kinds` and `sequences`.
        origins: See `keys`.
        kinds: See `keys`.
        sequences: See `keys`; other files may have them too.
    """

    ids: NDArray[np.int64]
    names: tuple[str, ...]
    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    keys: tuple[Any, ...]
    origins: tuple[Any, ...]
    kinds: tuple[Any, ...]
    sequences: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Annotations:
    """The annotations of a file, in its order; M of them.

    Attributes:
        ids: (M,) int64; `NO_ID` where one has none that can be used.
        image_ids: (M,) int64, as they are written; `NO_ID` as above.
        images: (M,) int32 position of the image; `NOWHERE` where it has no entry.
        categories: (M,) int32 position of the category; `NOWHERE` likewise.
        xywh: (M, 4) float64, COCO boxes in pixels; NaN where a box isn't four finite numbers.
        areas: (M,) float64, square pixels; NaN where not known.
        crowd: (M,) bool.
        segmentations: By position, the raw JSON of those that have one.
        keys: M stable keys of a nirgen dataset, else None.
    """

    ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    images: NDArray[np.int32]
    categories: NDArray[np.int32]
    xywh: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    segmentations: Mapping[int, msgspec.Raw]
    keys: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Categories:
    """The categories of a file, in its order; K of them.

    Attributes:
        ids: (K,) int64; `NO_ID` where one has none that can be used.
        names: K names; an empty one where there is none.
        supercategories: K names; an empty one where there is none.
    """

    ids: NDArray[np.int64]
    names: tuple[str, ...]
    supercategories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class CocoFile:
    """One annotation file.

    Attributes:
        path: Of the file.
        split: What it is called: `train`, `val` or `test` of a nirgen dataset, else the file's stem.
        root: The folder that its images' names are relative to.
        images: See `Images`.
        annotations: See `Annotations`.
        categories: See `Categories`.
    """

    path: Path
    split: str
    root: Path
    images: Images
    annotations: Annotations
    categories: Categories

    def image(self, position: int) -> str:
        """An image in words."""
        name = f" {self.images.names[position]!r}" if self.images.names[position] else ""
        return f"{self.path.name}: image {_number(self.images.ids[position], position)}{name}"

    def annotation(self, position: int) -> str:
        """An annotation in words, with its image."""
        image = int(self.annotations.images[position])
        where = f" of {self.images.names[image]!r}" if image != NOWHERE else ""
        return f"{self.path.name}: annotation {_number(self.annotations.ids[position], position)}{where}"

    def box(self, position: int) -> str:
        """An annotation in words, with its image and its box."""
        x, y, width, height = (f"{value:g}" for value in self.annotations.xywh[position].round(3))
        return f"{self.annotation(position)}: [{x}, {y}, {width}, {height}]"


def read_coco(path: Path, split: str, root: Path, findings: Findings) -> CocoFile:
    """Read an annotation file.

    Args:
        path: The file.
        split: What to call it.
        root: The folder that its images' names are relative to.
        findings: Takes what is wrong with single entries.

    Returns:
        The file; what is wrong with it is in the columns still, as far as they can hold it.

    Raises:
        NirgenError: It can't be read, or is no COCO annotation file.
    """
    document = _decode(path, findings)
    categories, category_at = _categories(document.categories, path.name, findings)
    try:
        images, image_at = _images(document.images, path.name, findings)
        annotations = _annotations(document.annotations, image_at, category_at, path.name, findings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # entries stay raw until here
        raise NirgenError(f"{path}: no JSON ({error}); write or copy it again") from None
    return CocoFile(path, split, root, images, annotations, categories)


class _Document(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[Any] = []


_DOCUMENT = msgspec.json.Decoder(_Document)


def _decode(path: Path, findings: Findings) -> _Document:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a COCO annotation file") from None
    try:
        return _document(data, path)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        strict = str(error)
    try:  # Python's reader takes NaN, which encoding makes null
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
    ids = []
    for value in values:
        number = value.get("id")
        usable = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 2**53
        ids.append(number if usable else NO_ID)
        if not usable:
            findings.add("bad-id", f"{name}: category {value.get('name')!r}: id {number!r}")
    return Categories(np.array(ids, np.int64), _texts(values, "name"), _texts(values, "supercategory")), at


def _images(entries: Sequence[msgspec.Raw], name: str, findings: Findings) -> tuple[Images, dict[Any, int]]:
    at: dict[Any, int] = {}
    read = []
    for position, raw in enumerate(entries):
        entry, number, faults = read_image(raw)
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
    keys: list[str | None] = []
    segmentations = {}
    for position, raw in enumerate(entries):
        entry, image_id, category_id, faults = read_annotation(raw)
        ids.append(entry.id)
        image_ids.append(entry.image_id)
        images.append(image_at.get(_hashable(image_id), NOWHERE))
        categories.append(category_at.get(_hashable(category_id), NOWHERE))
        boxes.extend(entry.bbox)
        areas.append(entry.area)
        crowd.append(entry.iscrowd)
        keys.append(entry.key)
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
        keys,
    )


def _texts(entries: Iterable[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    values = (entry.get(key) for entry in entries)
    return tuple(value if isinstance(value, str) else "" for value in values)


def _hashable(number: Any) -> Any:
    """An id that a dictionary can hold; what is none can refer to nothing."""
    return number if isinstance(number, (int, float, str)) else object()


def _number(number: int, position: int) -> str:
    return str(number) if number != NO_ID else f"at position {position}"
