"""What is known of an image or an annotation of a dataset, as a record and in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class File:
    """A file that something comes from, or is.

    Attributes:
        name: As the dataset has it.
        sha256: As it was when the dataset was built; None if not known.
        path: Where it is, or was: absolute; None if not known.
        state: `same`, `changed` or `missing`; None if it wasn't looked for.
    """

    name: str
    sha256: str | None
    path: str | None = None
    state: Literal["same", "changed", "missing"] | None = None


@dataclass(frozen=True)
class Image:
    """An image of the dataset.

    Attributes:
        id: In the COCO file.
        key: Its stable key.
        split: `train`, `val` or `test`.
        generated: Whether it was translated from RGB.
        file: The file in the dataset.
        width: In pixels; None if its COCO file doesn't have it any more.
        height: The same.
        sequence: The recording that it comes from, if known.
        attributes: Such as `weather`.
    """

    id: int
    key: str
    split: str
    generated: bool
    file: File
    width: int | None
    height: int | None
    sequence: str | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Box:
    """An annotation of the dataset.

    Attributes:
        id: In the COCO file.
        key: Its stable key.
        category: Its class.
        source_category: Its class in the source, if known.
        source_key: What the source calls it.
        bbox: COCO xywh in pixels; None if its COCO file doesn't have it any more.
        area: In square pixels; None likewise.
        flags: Such as `region to ignore` and `occluded`.
        others: The keys of the source that nirgen doesn't own; those of masks by their kind.
    """

    id: int
    key: str
    category: str
    source_category: str | None
    source_key: str
    bbox: tuple[float, ...] | None
    area: float | None
    flags: tuple[str, ...]
    others: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """What translated an image.

    Attributes:
        id: sha256 of the model.
        name: Of an embedded model; None of others.
        licence: What may be done with its weights.
        options_id: sha256 of the options.
        options: These, as plain values.
    """

    id: str
    name: str | None
    licence: str
    options_id: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Explanation:
    """Where something in a dataset comes from.

    Attributes:
        kind: What was asked for.
        image: The image, or that of the annotation.
        box: The annotation; None of an image.
        boxes: Of an image, how many boxes of each class it has.
        labels: The file of the source labels; None if there was no label entry.
        source: The RGB image: what a generated image was translated from, or the partner of a real one.
        model: What translated the image; None of a real one.
        steps: What was done since the sources, in order.
        note: What else the user may have meant.
    """

    kind: Literal["image", "annotation"]
    image: Image
    box: Box | None
    boxes: Mapping[str, int]
    labels: File | None
    source: File | None
    model: Model | None
    steps: tuple[str, ...]
    note: str | None


_STATES = {"same": "", "changed": ", changed since the dataset was built", "missing": ", not there now", None: ""}


def lines(found: Explanation) -> Iterator[tuple[str, str]]:
    """What is known, as names and texts; a name is empty where the text goes on with what the name above says.

    Args:
        found: What `explain` found.
    """
    image = found.image
    if found.box is not None:
        yield from _box_lines(found)
    yield "image", f"{image.id}: {image.key}"
    size = f"{image.width}x{image.height}, " if image.width else ""
    yield "", f"{size}{'generated' if image.generated else 'real'}, in {image.split}"
    if image.sequence:
        yield "", f"sequence {image.sequence}"
    if image.attributes:
        yield "", _pairs(image.attributes)
    yield from _file_lines("file", image.file)
    if found.box is None:
        yield "boxes", ", ".join(f"{count} {name}" for name, count in found.boxes.items()) or "none"
    if found.labels is None and found.box is not None:
        yield "labels", "none: a curator added it"
    elif found.labels is None:
        yield "labels", "no entry: it was taken as an image without objects, as asked for"
    else:
        yield from _file_lines("labels", found.labels)
    if found.source is not None:
        yield from _file_lines("RGB source" if image.generated else "RGB partner", found.source)
    if found.model is not None:
        name = f"{found.model.name}, " if found.model.name else ""
        yield "model", f"{name}{found.model.id[:12]}, licence: {found.model.licence}"
        yield "options", f"{(found.model.options_id or '')[:12]}, {_pairs(found.model.options)}"
    for position, step in enumerate(found.steps, start=1):
        yield "steps" if position == 1 else "", f"{position}. {step}"
    if not found.steps:
        yield "steps", "none: as in the source"


def _box_lines(found: Explanation) -> Iterator[tuple[str, str]]:
    box = found.box
    assert box is not None
    yield "annotation", f"{box.id}: {box.key}"
    was = f", in the source {box.source_category}" if box.source_category not in {None, box.category} else ""
    yield "class", f"{box.category}{was}"
    if box.bbox is None:
        yield "box", "not in the annotation file as it was written; run 'nirgen validate'"
    else:
        x, y, width, height = (f"{value:g}" for value in box.bbox)
        yield "box", f"x {x}, y {y}, {width} x {height} px, area {box.area:g}"
    if box.flags:
        yield "flags", ", ".join(box.flags)
    if box.others:
        yield "more", _pairs(box.others)
    yield "source id", box.source_key


def _file_lines(name: str, file: File) -> Iterator[tuple[str, str]]:
    sha256 = f", sha256 {file.sha256[:12]}" if file.sha256 else ""
    yield name, f"{file.name}{sha256}{_STATES[file.state]}"
    if file.path:
        yield "", file.path


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False).strip(chr(34))}" for name, value in values.items())
