"""What is known of an image or an annotation, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nirgen.explain.explanation import Explanation, File

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
