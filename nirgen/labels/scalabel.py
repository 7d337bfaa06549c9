"""BDD100K labels in Scalabel's format, of every year: lists of frames, also as `frames` of an object with `config`.

In 2018 a file was an object for one image, with `frames` that have `objects`. A folder of files is one source.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen import images
from nirgen.errors import NirgenError
from nirgen.labels.content import explained, plainly, read_json
from nirgen.labels.frames import OWN_KEYS, Frame, ImageLookup, Label, Reading, box_of, image_name, other_keys, to_ignore
from nirgen.labels.masks import flatten, polygons_box
from nirgen.labels.rle import rle_box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nirgen.labels.content import Json
    from nirgen.labels.frames import ReadOptions


SIZE = (720, 1280)  # (height, width) of all BDD100K images


class _Size(msgspec.Struct):
    width: int
    height: int


class _Named(msgspec.Struct):
    name: str
    video: str | None = msgspec.field(default=None, name="videoName")


class _Config(msgspec.Struct):
    size: _Size | None = msgspec.field(default=None, name="imageSize")


class _Box(msgspec.Struct):
    x1: float
    y1: float
    x2: float
    y2: float


class _DrawnLabel(msgspec.Struct):
    box2d: _Box | None = None


class _DrawnObjects(msgspec.Struct):
    objects: list[_DrawnLabel] | None = None


class _Drawn(_Named):
    labels: list[_DrawnLabel] | None = None
    frames: list[_DrawnObjects] | None = None

    def boxes(self) -> Iterator[_Box]:
        """Yield the boxes of a frame of any year."""
        for labels in (self.labels, *(inner.objects for inner in self.frames or ())):
            yield from (label.box2d for label in labels or () if label.box2d)


class _Poly(msgspec.Struct):
    vertices: list[list[float]]
    types: str | None = None
    closed: bool = True


class _Label(msgspec.Struct):
    category: str
    id: str | int | None = None
    attributes: dict[str, Any] | None = None
    box2d: _Box | None = None
    poly2d: list[_Poly | tuple[float, float, str]] | None = None
    rle: dict[str, Any] | None = None


class _Objects(msgspec.Struct):
    objects: list[_Label] | None = None
    timestamp: int | None = None


class _Frame(msgspec.Struct):
    name: str
    labels: list[_Label] | None = None
    frames: list[_Objects] | None = None
    size: _Size | None = None
    video: str | None = msgspec.field(default=None, name="videoName")
    attributes: dict[str, Any] | None = None


_DRAWN = msgspec.json.Decoder(_Drawn, strict=False)
_FRAME = msgspec.json.Decoder(_Frame, strict=False)
_FRAME_KEYS = frozenset({*_Frame.__struct_encode_fields__, "id", "file_name", "width", "height", "sequence", "split"})
_NAMES = {name.title(): name for name in ("occluded", "truncated", "crowd")}  # attributes that some files capitalise
_CLASS_KEYS = frozenset({"id", "name", "supercategory", "color"})  # of a list of classes
_LABEL_KEYS = frozenset({*_Label.__struct_fields__, *OWN_KEYS})


def fits(document: Json) -> bool:
    """Return True if a JSON document is in Scalabel's format."""
    try:
        if isinstance(document, list):
            frames = document
        elif "name" in document and "frames" in document:
            return True
        else:
            frames = msgspec.json.decode(document.get("frames", b"[]"), type=list[msgspec.Raw])
        return bool(frames) and bool(msgspec.json.decode(frames[0], type=_Named))
    except msgspec.ValidationError:
        return False


def read(files: Sequence[Path], options: ReadOptions, document: Json) -> Reading:
    """Read the files of a source; `document` is the content of the first one."""
    lookup = ImageLookup(options, SIZE)
    first = {files[0]: document}
    _refuse_other_lists(document, files[0])
    if options.bdd_inclusive:
        options.note("boxes are x2 - x1 + 1 wide, as BDD100K's own converter makes them")

    total, videos, repeated = 0, dict[str, str | None](), False
    for path in files:
        for raw in _raw_frames(path, first.get(path))[0]:
            total += 1
            drawn = _drawn(raw)
            repeated |= drawn is not None and videos.setdefault(drawn.name, drawn.video) != drawn.video
            for box in drawn.boxes() if drawn is not None else ():
                lookup.reach = max(lookup.reach[0], box.y1, box.y2), max(lookup.reach[1], box.x1, box.x2)
    if repeated:
        options.note("names repeat across videos, so images are named videoName/name")

    def frames() -> Iterator[Frame]:
        for path in files:
            raws, size = _raw_frames(path, first.get(path))
            for raw in raws:
                with explained(path):
                    frame = _frame(raw, path, size, lookup, options, by_video=repeated)
                yield frame

    return Reading(frames(), total=total)


def _drawn(raw: msgspec.Raw) -> _Drawn | None:
    try:
        return _DRAWN.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # the frame itself is refused with the reason


def _refuse_other_lists(document: Json, path: Path) -> None:
    """Refuse lists of objects with a name that are no frames."""
    if not isinstance(document, list):
        return
    with explained(path):
        first = msgspec.json.decode(document[0])
        if "bbox" in first and "labels" not in first:
            raise NirgenError(
                f"{path}: a flat list of detections (name, category, bbox), not of frames; write each image once, with "
                "its boxes as 'box2d' in 'labels'"
            )
        if first.keys() <= _CLASS_KEYS:
            entries = [msgspec.json.decode(raw) for raw in document]
            names = [entry.get("name") for entry in entries if entry.keys() <= _CLASS_KEYS]
            endings = {PurePosixPath(str(name)).suffix.lower() for name in names}
            if len(names) == len(entries) and not endings & images.SUFFIXES:
                raise NirgenError(f"{path}: a list of names, such as {names[0]!r}, not of images; give their labels")


def _raw_frames(path: Path, document: Json | None) -> tuple[list[msgspec.Raw], _Size | None]:
    """Return the frames of a document, and the size that it states for all."""
    document = document or read_json(path)
    if isinstance(document, list):
        return document, None
    try:
        if "name" in document:  # one image of 2018
            return [msgspec.Raw(msgspec.json.encode(document))], None
        config = msgspec.json.decode(document.get("config", b"null"), type=_Config | None)
        frames = msgspec.json.decode(document.get("frames", b"null"), type=list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise NirgenError(
            f"{path}: no BDD100K labels ({plainly(error)}); give a file or folder of these only"
        ) from None
    return frames, config.size if config else None


def _frame(
    raw: msgspec.Raw,
    path: Path,
    stated: _Size | None,
    lookup: ImageLookup,
    options: ReadOptions,
    *,
    by_video: bool,
) -> Frame:
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError as error:
        start = bytes(raw)[:40].decode(errors="replace")
        raise NirgenError(f"{path}: the frame {start!r}...: {plainly(error)}; correct it, or remove it") from None
    where = f"{path}: frame '{frame.name}'"
    keys = msgspec.json.decode(raw)  # with the keys that `_Frame` lacks
    if len(frame.frames or ()) > 1:
        raise NirgenError(f"{where}: has {len(frame.frames or ())} frames, but one name; give each frame a name")
    for inner, entry in zip(frame.frames or (), keys.get("frames") or (), strict=True):  # of 2018
        frame.labels = inner.objects
        keys |= {"labels": entry.get("objects"), "timestamp": entry.get("timestamp")}
    own = f"{frame.video}/{frame.name}" if by_video and frame.video else frame.name
    name = lookup.complete(image_name(own, where))
    size = frame.size or stated
    if size is not None and size.height and size.width:
        height, width = size.height, size.width
    else:
        corners = [(label.box2d.x2, label.box2d.y2) for label in frame.labels or () if label.box2d]
        height, width = lookup.size(name, where, corners)
    labels = None
    if frame.labels is not None:
        labels = [_label(*both, options, where) for both in zip(frame.labels, keys["labels"], strict=True)]
    return Frame(
        file_name=name,
        width=width,
        height=height,
        labels=labels,
        sequence=frame.video,
        attributes=frame.attributes or {},
        extra=other_keys(keys, _FRAME_KEYS),
    )


def _label(label: _Label, keys: dict[str, Any], options: ReadOptions, where: str) -> Label:
    attributes = {_NAMES.get(key, key): value for key, value in (label.attributes or {}).items()}
    polygons = _polygons(label, where) if label.poly2d else []
    bbox, derived, lost, swapped = None, None, None, False
    if label.box2d is not None:
        box, more = label.box2d, int(options.bdd_inclusive)
        (x, y, width, height), swapped = box_of(box.x1, box.y1, box.x2, box.y2)
        bbox = (x, y, width + more, height + more)
    elif polygons:
        bbox, derived = polygons_box(polygons), "polygon"
    elif label.rle is not None:
        try:
            bbox, derived = rle_box(label.rle), "rle"
        except ValueError as error:
            raise NirgenError(f"{where}: label {label.id}: its rle is {error}; correct it, or remove it") from None
    else:
        lost = "no box and no closed outline"
    return Label(
        category=label.category,
        bbox=bbox,
        key=label.id,
        segmentation=polygons or label.rle,
        crowd=to_ignore(attributes) or to_ignore(keys),
        attributes=attributes,
        derived=derived,
        swapped=swapped,
        lost=lost,
        extra=other_keys(keys, _LABEL_KEYS),
    )


def _polygons(label: _Label, where: str) -> list[list[float]]:
    """Return the closed outlines of a label as COCO polygons."""
    outlines = label.poly2d or []
    shapes = [shape for shape in outlines if isinstance(shape, _Poly)]
    points = [shape for shape in outlines if not isinstance(shape, _Poly)]
    if points:  # of 2018: one outline, which is closed except for lanes
        closed = not label.category.startswith("lane")
        shapes.append(_Poly([[x, y] for x, y, _ in points], "".join(kind for _, _, kind in points), closed))
    polygons = []
    for shape in shapes:
        types = shape.types or "L" * len(shape.vertices)
        if len(types) != len(shape.vertices) or any(len(vertex) != 2 for vertex in shape.vertices):
            raise NirgenError(
                f"{where}: label {label.id}: its poly2d lacks a type or two coordinates for a vertex; correct it"
            )
        if shape.closed and len(shape.vertices) > 2:
            polygons.append(flatten(shape.vertices, types))
    return polygons
