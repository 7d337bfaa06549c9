"""COCO JSON, including the variants of other tools: string ids, id 0, gaps, missing areas, keys of their own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.errors import NirgenError
from nirgen.labels.frames import OWN_KEYS, Frame, ImageLookup, Label, Reading, image_name
from nirgen.labels.masks import polygons_box
from nirgen.labels.rle import rle_box

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.labels.frames import Box, Json, ReadOptions


Id = str | int


class _Category(msgspec.Struct):
    id: Id
    name: str


class _Unlabelled(msgspec.Struct, kw_only=True):
    file_name: str
    width: int | None = None
    height: int | None = None
    sequence: str | None = None
    split: str | None = None
    attributes: dict[str, Any] | None = None


class _Image(_Unlabelled, kw_only=True):
    id: Id


class _Owner(msgspec.Struct):
    image_id: Id


class _Annotation(msgspec.Struct):
    category_id: Id
    id: Id | None = None
    bbox: list[float] | None = None
    segmentation: Any = None
    area: float | None = None
    iscrowd: int | bool | None = None
    attributes: dict[str, Any] | None = None


_IMAGE = msgspec.json.Decoder(_Image)
_OWNER = msgspec.json.Decoder(_Owner)
_ANNOTATION = msgspec.json.Decoder(_Annotation)
_TOP_KEYS = frozenset({"images", "annotations", "categories", "licenses", "unlabelled"})
_IMAGE_KEYS = frozenset({*_Image.__struct_fields__, "source_id"})


def fits(document: Json) -> bool:
    """Return True if a JSON document is COCO."""
    return isinstance(document, dict) and "images" in document and bool({"annotations", "categories"} & document.keys())


def read(path: Path, options: ReadOptions, document: Mapping[str, msgspec.Raw]) -> Reading:
    """Read a file whose top level is decoded."""

    def part(key: str, kind: Any) -> Any:
        try:
            return msgspec.json.decode(document[key], type=kind | None) if key in document else None
        except msgspec.ValidationError as error:
            raise NirgenError(f"{path}: '{key}' violates COCO's format ({error}); correct it") from None

    categories: list[dict[str, Any]] = part("categories", list[dict[str, Any]]) or []
    raw_images: list[msgspec.Raw] = part("images", list[msgspec.Raw]) or []
    unlabelled: list[msgspec.Raw] = part("unlabelled", list[msgspec.Raw]) or []
    raw_annotations: list[msgspec.Raw] | None = part("annotations", list[msgspec.Raw])
    try:
        names = _names(categories, path)
        images = _by_id(raw_images, path)
        annotations = _by_image(raw_annotations or [], images, path)
    except msgspec.ValidationError as error:
        raise NirgenError(f"{path}: an entry violates COCO's format ({error}); correct it") from None
    own = "nirgen" in (part("info", dict[str, Any]) or {})
    builder = _FrameBuilder(path, names, ImageLookup(options), own, raw_annotations is not None)

    def frames() -> Iterator[Frame]:
        for number, raw in images.items():
            yield builder.frame(raw, annotations.pop(number, []))
        for raw in unlabelled:
            yield builder.unlabelled(raw)

    return Reading(
        frames(),
        total=len(images) + len(unlabelled),
        categories=categories,
        licenses=part("licenses", list[dict[str, Any]]) or [],
        extra={key: msgspec.json.decode(raw) for key, raw in document.items() if key not in _TOP_KEYS},
    )


def _names(categories: Sequence[Mapping[str, Any]], path: Path) -> dict[Id, str]:
    names: dict[Id, str] = {}
    for category in msgspec.convert(categories, list[_Category]):
        if category.id in names:
            raise NirgenError(f"{path}: two categories have the id {category.id!r}; give each its own")
        names[category.id] = category.name
    return names


def _by_id(raws: Sequence[msgspec.Raw], path: Path) -> dict[Id, msgspec.Raw]:
    images: dict[Id, msgspec.Raw] = {}
    for raw in raws:
        number = _IMAGE.decode(raw).id
        if number in images:
            names = [_IMAGE.decode(one).file_name for one in (images[number], raw)]
            raise NirgenError(f"{path}: images '{names[0]}' and '{names[1]}' have the id {number!r}; give each its own")
        images[number] = raw
    return images


def _by_image(raws: Sequence[msgspec.Raw], images: Mapping[Id, msgspec.Raw], path: Path) -> dict[Id, list[msgspec.Raw]]:
    found: dict[Id, list[msgspec.Raw]] = defaultdict(list)
    for raw in raws:
        image = _OWNER.decode(raw).image_id
        if image not in images:
            where = f"{path}: annotation {msgspec.json.decode(raw).get('id')!r}"
            raise NirgenError(f"{where} refers to the missing image {image!r}; add the image, or remove it")
        found[image].append(raw)
    return found


@dataclass(frozen=True)
class _FrameBuilder:
    path: Path
    names: Mapping[Id, str]  # class names by category id
    lookup: ImageLookup  # for images that state no size
    own: bool  # nirgen wrote the file, so its keys on sources are kept
    labelled: bool  # the file has annotations; otherwise its images are unlabelled

    def frame(self, raw: msgspec.Raw, annotations: Sequence[msgspec.Raw]) -> Frame:
        entry = _IMAGE.decode(raw)
        frame = self._frame(raw, entry, entry.id)
        frame.labels = [self._label(one, frame.file_name) for one in annotations] if self.labelled else None
        return frame

    def unlabelled(self, raw: msgspec.Raw) -> Frame:
        try:
            return self._frame(raw, msgspec.json.decode(raw, type=_Unlabelled), None)
        except msgspec.ValidationError as error:
            raise NirgenError(f"{self.path}: an entry of 'unlabelled' is no image ({error}); correct it") from None

    def _frame(self, raw: msgspec.Raw, entry: _Unlabelled, number: Id | None) -> Frame:
        keys = msgspec.json.decode(raw)
        where = f"{self.path}: image {number!r}" if number is not None else str(self.path)
        name = self.lookup.complete(image_name(entry.file_name, where))
        height, width = entry.height, entry.width
        if height is None or width is None:
            height, width = self.lookup.size(name, where)
        return Frame(
            file_name=name,
            width=width,
            height=height,
            labels=None,
            source_id=keys.get("source_id") if self.own else number,
            sequence=entry.sequence,
            split=entry.split,
            attributes=entry.attributes or {},
            extra={key: value for key, value in keys.items() if key not in _IMAGE_KEYS},
        )

    def _label(self, raw: msgspec.Raw, image: str) -> Label:
        keys = msgspec.json.decode(raw)
        where = f"{self.path}: annotation {keys.get('id')!r} of '{image}'"
        try:
            entry = _ANNOTATION.decode(raw)
        except msgspec.ValidationError as error:
            raise NirgenError(f"{where}: {error}; correct it") from None
        if entry.category_id not in self.names:
            missing = f"the missing category {entry.category_id!r}"
            raise NirgenError(f"{where}: refers to {missing}; add it, or remove the annotation")
        bbox, derived = _box(entry, where)
        return Label(
            category=self.names[entry.category_id],
            bbox=bbox,
            key=keys.get("source_key") if self.own else entry.id,
            segmentation=entry.segmentation,
            area=entry.area,
            crowd=bool(entry.iscrowd),
            attributes=entry.attributes or {},
            derived=keys.get("derived") if self.own else derived,
            clipped=self.own and keys.get("clipped", False) is True,
            lost=None if bbox else "no box and no outline",
            source_category=keys.get("source_category") if self.own else None,
            extra={key: value for key, value in keys.items() if key not in OWN_KEYS},
        )


def _box(entry: _Annotation, where: str) -> tuple[Box | None, str | None]:
    """Return the box, and the kind of outline that it was derived from."""
    if entry.bbox:
        if len(entry.bbox) != 4:
            raise NirgenError(f"{where}: its bbox has {len(entry.bbox)} numbers; write x, y, width, height")
        x, y, width, height = entry.bbox
        return (x, y, width, height), None
    outline = entry.segmentation
    try:
        if isinstance(outline, dict):
            return rle_box(outline), "rle"
        if outline:
            return polygons_box(msgspec.convert(outline, list[list[float]])), "polygon"
    except (ValueError, msgspec.ValidationError) as error:
        raise NirgenError(f"{where}: has no bbox, and its segmentation is invalid ({error}); correct it") from None
    return None, None
