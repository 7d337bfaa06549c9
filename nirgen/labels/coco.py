"""COCO JSON, including the variants of other tools: string ids, id 0, gaps, missing areas, keys of their own."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.errors import NirgenError
from nirgen.labels.content import plainly
from nirgen.labels.frames import (
    OWN_KEYS,
    TURNED,
    Frame,
    ImageLookup,
    Label,
    Reading,
    box_of,
    image_name,
    rotation_of,
    to_ignore,
    turned_box,
)
from nirgen.labels.masks import polygons_box, segmentation_of
from nirgen.labels.rle import rle_box

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.labels.content import Json
    from nirgen.labels.frames import Box, ReadOptions


Id = str | int


class _Category(msgspec.Struct):
    id: Id
    name: str
    supercategory: str | None = None


class _Licence(msgspec.Struct):
    id: Id | None = None


class _Unlabelled(msgspec.Struct, kw_only=True):
    file_name: str
    width: int | None = None
    height: int | None = None
    sequence: str | int | None = None
    split: str | None = None
    license: Id | None = None
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


# A whole number in another type, such as 1.0 or "1", is that number.
_IMAGE = msgspec.json.Decoder(_Image, strict=False)
_UNLABELLED = msgspec.json.Decoder(_Unlabelled, strict=False)
_OWNER = msgspec.json.Decoder(_Owner, strict=False)
_ANNOTATION = msgspec.json.Decoder(_Annotation, strict=False)
_OUTSIDE = 0.1  # share of boxes beyond their image from which on they may be corners
_TOP_KEYS = frozenset({"images", "annotations", "categories", "licenses", "unlabelled"})
_IMAGE_KEYS = frozenset({*_Image.__struct_fields__, "source_id"}) - {"license"}
_OTHER_TASKS = {"caption": "captions", "segments_info": "panoptic segmentation", "question": "questions"}


def fits(document: Json) -> bool:
    """Return True if a JSON document is COCO."""
    return isinstance(document, dict) and "images" in document and bool({"annotations", "categories"} & document.keys())


def read(path: Path, options: ReadOptions, document: Mapping[str, msgspec.Raw]) -> Reading:
    """Read a file whose top level is decoded."""

    def part(key: str, kind: Any) -> Any:
        try:
            return msgspec.json.decode(document[key], type=kind | None) if key in document else None
        except msgspec.ValidationError as error:
            raise NirgenError(f"{path}: '{key}' violates COCO's format ({plainly(error)}); correct it") from None

    raw_categories: list[dict[str, Any]] = part("categories", list[dict[str, Any]]) or []
    licences: list[dict[str, Any]] = part("licenses", list[dict[str, Any]]) or []
    raw_images: list[msgspec.Raw] = part("images", list[msgspec.Raw]) or []
    unlabelled: list[msgspec.Raw] = part("unlabelled", list[msgspec.Raw]) or []
    raw_annotations: list[msgspec.Raw] | None = part("annotations", list[msgspec.Raw])
    info: dict[str, Any] = part("info", dict[str, Any]) or {}
    _refuse_other_tasks(raw_annotations or [], path)
    try:
        msgspec.convert(licences, list[_Licence], strict=False)
        categories = [_without_null(category) for category in raw_categories]
        names = _names(categories, path)
        images = _by_id(raw_images, path)
        annotations = _by_image(raw_annotations or [], images, path)
        categories = _without_unused_copies(categories, raw_annotations or [], options)
    except msgspec.ValidationError as error:
        raise NirgenError(f"{path}: an entry violates COCO's format ({plainly(error)}); correct it") from None
    labelled = raw_annotations is not None and bool(raw_annotations or categories)
    corners = _Corners(options)
    builder = _FrameBuilder(path, names, ImageLookup(options), "nirgen" in info, labelled, corners)

    def frames() -> Iterator[Frame]:
        for number, raw in images.items():
            yield builder.frame(raw, annotations.pop(number, []))
        for raw in unlabelled:
            yield builder.unlabelled(raw)
        corners.warn()

    extra = {key: msgspec.json.decode(raw) for key, raw in document.items() if key not in _TOP_KEYS}
    return Reading(
        frames(),
        total=len(images) + len(unlabelled),
        categories=categories,
        licenses=[_without_null(licence) for licence in licences],
        extra=_without_null(extra),
    )


def _refuse_other_tasks(annotations: Sequence[msgspec.Raw], path: Path) -> None:
    keys = msgspec.json.decode(annotations[0]) if annotations else None
    for key, task in _OTHER_TASKS.items():
        if isinstance(keys, dict) and key in keys and "bbox" not in keys:
            raise NirgenError(f"{path}: COCO's labels of {task}, which have no boxes; give those of instances")


def _without_null(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if value is not None}


def _same(number: Id) -> Id:
    """Return an id as a whole number if it is the text of one, so that 1 and "1" are the same."""
    whole = isinstance(number, str) and len(number) < 19 and number.isascii() and number.isdecimal()
    return int(number) if whole and str(int(number)) == number else number


def _names(categories: Sequence[dict[str, Any]], path: Path) -> dict[Id, str]:
    names: dict[Id, str] = {}
    for keys, category in zip(categories, msgspec.convert(categories, list[_Category], strict=False), strict=True):
        keys["id"] = number = _same(category.id)
        if number in names:
            raise NirgenError(f"{path}: two categories have the id {number!r}; give each its own")
        if not category.name.strip():
            raise NirgenError(f"{path}: category {number!r} has no name; name it")
        names[number] = category.name
    return names


def _without_unused_copies(
    categories: Sequence[dict[str, Any]], annotations: Sequence[msgspec.Raw], options: ReadOptions
) -> list[dict[str, Any]]:
    """Return the categories without those that no label has, and whose name another one has that labels have."""
    copies = {name for name, count in Counter(category["name"] for category in categories).items() if count > 1}
    if not copies:
        return list(categories)
    used = {_same(_ANNOTATION.decode(raw).category_id) for raw in annotations}
    taken = {category["name"] for category in categories if category["id"] in used}
    kept = []
    for category in categories:
        if category["name"] in copies & taken and category["id"] not in used:
            name, number = category["name"], category["id"]
            options.note(f"category {number!r} is left out: no label has it, and another one is named '{name}'")
        else:
            kept.append(category)
    return kept


def _by_id(raws: Sequence[msgspec.Raw], path: Path) -> dict[Id, msgspec.Raw]:
    images: dict[Id, msgspec.Raw] = {}
    for raw in raws:
        number = _same(_IMAGE.decode(raw).id)
        if number in images:
            names = [_IMAGE.decode(one).file_name for one in (images[number], raw)]
            raise NirgenError(f"{path}: images '{names[0]}' and '{names[1]}' have the id {number!r}; give each its own")
        images[number] = raw
    return images


def _by_image(raws: Sequence[msgspec.Raw], images: Mapping[Id, msgspec.Raw], path: Path) -> dict[Id, list[msgspec.Raw]]:
    found: dict[Id, list[msgspec.Raw]] = defaultdict(list)
    for raw in raws:
        image = _same(_OWNER.decode(raw).image_id)
        if image not in images:
            where = f"{path}: annotation {msgspec.json.decode(raw).get('id')!r}"
            raise NirgenError(f"{where} refers to the missing image {image!r}; add the image, or remove it")
        found[image].append(raw)
    return found


class _Corners:
    """Watch for boxes that are x1, y1, x2, y2 instead of COCO's x, y, width, height."""

    def __init__(self, options: ReadOptions) -> None:
        self._options, self._boxes, self._outside, self._fit = options, 0, 0, True
        self.given = options.boxes == "xyxy"

    def see(self, box: Sequence[float], frame: Frame) -> None:
        """Compare a box with its image under both readings."""
        x, y, third, fourth = box
        self._boxes += 1
        self._fit &= x < third <= frame.width + 1 and y < fourth <= frame.height + 1
        self._outside += x + third > frame.width + 2 or y + fourth > frame.height + 2

    def warn(self) -> None:
        """Note that all boxes seen fit their images as corners, and many of them don't as they are read."""
        if not self.given and self._fit and self._outside > _OUTSIDE * self._boxes:
            self._options.note(
                f"all {self._boxes} boxes look like x1, y1, x2, y2, not COCO's x, y, width, height: {self._outside} "
                "of them reach out of their image; if so, convert them by nirgen labels --boxes xyxy"
            )


@dataclass(frozen=True)
class _FrameBuilder:
    path: Path
    names: Mapping[Id, str]  # class names by category id
    lookup: ImageLookup  # for images that state no size
    own: bool  # nirgen wrote the file, so its keys on sources are kept
    labelled: bool  # the file has annotations or classes; otherwise its images are unlabelled
    corners: _Corners

    def frame(self, raw: msgspec.Raw, annotations: Sequence[msgspec.Raw]) -> Frame:
        entry = _IMAGE.decode(raw)
        frame = self._frame(raw, entry, entry.id)
        frame.labels = [self._label(one, frame) for one in annotations] if self.labelled else None
        return frame

    def unlabelled(self, raw: msgspec.Raw) -> Frame:
        try:
            return self._frame(raw, _UNLABELLED.decode(raw), None)
        except msgspec.ValidationError as error:
            raise NirgenError(
                f"{self.path}: an entry of 'unlabelled' is no image ({plainly(error)}); correct it"
            ) from None

    def _frame(self, raw: msgspec.Raw, entry: _Unlabelled, number: Id | None) -> Frame:
        keys = msgspec.json.decode(raw)
        where = f"{self.path}: image {number!r}" if number is not None else str(self.path)
        name = self.lookup.complete(image_name(entry.file_name, where))
        height, width = entry.height, entry.width
        if not height or not width:
            height, width = self.lookup.size(name, where)
        return Frame(
            file_name=name,
            width=width,
            height=height,
            labels=None,
            source_id=keys.get("source_id") if self.own else number,
            sequence=None if entry.sequence is None else str(entry.sequence),
            split=entry.split,
            attributes=entry.attributes or {},
            extra={key: value for key, value in keys.items() if key not in _IMAGE_KEYS},
        )

    def _label(self, raw: msgspec.Raw, frame: Frame) -> Label:
        keys = msgspec.json.decode(raw)
        where = f"{self.path}: annotation {keys.get('id')!r} of '{frame.file_name}'"
        try:
            entry = _ANNOTATION.decode(raw)
        except msgspec.ValidationError as error:
            raise NirgenError(f"{where}: {plainly(error)}; correct it") from None
        category = _same(entry.category_id)
        if category not in self.names:
            missing = f"the missing category {category!r}"
            raise NirgenError(f"{where}: refers to {missing}; add it, or remove the annotation")
        attributes = entry.attributes or {}
        bbox, derived, swapped = self._box(entry, frame, where)
        if bbox and (degrees := rotation_of(attributes)) and keys.get("derived") != TURNED:
            bbox, derived = turned_box(bbox, degrees), TURNED
        return Label(
            category=self.names[category],
            bbox=bbox,
            key=keys.get("source_key") if self.own else entry.id,
            segmentation=entry.segmentation,
            area=entry.area,
            crowd=bool(entry.iscrowd) or to_ignore(keys) or to_ignore(attributes),
            attributes=attributes,
            derived=keys.get("derived") if self.own else derived,
            swapped=swapped,
            clipped=self.own and keys.get("clipped", False) is True,
            lost=None if bbox else "no box and no outline",
            source_category=keys.get("source_category") if self.own else None,
            extra={key: value for key, value in keys.items() if key not in OWN_KEYS},
        )

    def _box(self, entry: _Annotation, frame: Frame, where: str) -> tuple[Box | None, str | None, bool]:
        """Return the box, the kind of outline that it was derived from, and True if its corners were exchanged."""
        if entry.bbox:
            if len(entry.bbox) != 4:
                raise NirgenError(f"{where}: its bbox has {len(entry.bbox)} numbers; write x, y, width, height")
            self.corners.see(entry.bbox, frame)
            x, y, right, bottom = entry.bbox
            if self.corners.given:
                box, swapped = box_of(x, y, right, bottom)
                return box, None, swapped
            if right < 0 or bottom < 0:
                box, swapped = box_of(x, y, x + right, y + bottom)
                return box, None, swapped
            return (x, y, right, bottom), None, False
        outline, fault = segmentation_of(entry.segmentation, frame.height, frame.width)
        if fault is not None and outline is None:
            raise NirgenError(f"{where}: has no bbox, and its segmentation is invalid ({fault}); correct it")
        if isinstance(outline, dict):
            return rle_box(outline), "rle", False
        return (polygons_box(outline), "polygon", False) if outline else (None, None, False)
