"""Trace an image or an annotation of a dataset to its sources, its model and every step between.

Only the row groups of `provenance.parquet` that can hold the answer are read, and one line of the COCO file.
"""

from __future__ import annotations

import json
import mmap
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from safetensors import SafetensorError, safe_open

from nirgen.curation import read_decisions
from nirgen.dataset.decisions import by, image_keys
from nirgen.dataset.folder import CURATION, PROVENANCE, annotations_name, check_file, read_dataset
from nirgen.dataset.plan import REASONS
from nirgen.dataset.provenance import COLUMNS, open_provenance
from nirgen.dataset.read import MARKS, recorded_inputs, rgb_roots
from nirgen.errors import NirgenError
from nirgen.files import find_below, open_regular, output_file, safe_path, sha256_of
from nirgen.labels.content import read_content
from nirgen.models.catalog import embedded_models
from nirgen.translate.items import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nirgen.dataset.folder import DatasetInfo


@dataclass(frozen=True)
class File:
    """A file of the dataset, or one that something comes from."""

    name: str  # as the dataset has it
    sha256: str | None  # when the dataset was built, if known
    path: str | None = None  # absolute, if known; the file may be missing
    state: Literal["same", "changed", "missing"] | None = None  # None if it was not looked for


@dataclass(frozen=True)
class Image:
    """An image of the dataset."""

    id: int  # in the COCO file
    key: str
    split: str
    generated: bool  # translated from RGB
    file: File
    width: int | None  # pixels; None if the COCO file lacks the image
    height: int | None
    sequence: str | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Box:
    """An annotation of the dataset."""

    id: int  # in the COCO file
    key: str
    category: str
    source_category: str | None
    source_key: str  # its name in the source labels
    bbox: tuple[float, ...] | None  # COCO xywh in pixels; None if the COCO file lacks the annotation
    area: float | None  # square pixels
    flags: tuple[str, ...]
    others: Mapping[str, Any]  # further keys of the source


@dataclass(frozen=True)
class Model:
    """The generator that translated an image."""

    id: str  # sha256 of the model
    name: str | None  # of an embedded model, or of another program
    licence: str  # of its weights
    options_id: str | None  # sha256 of the options
    options: Mapping[str, Any]


class AbsentError(NirgenError):
    """An image or annotation that isn't in the dataset on purpose; the message says who left it out, and why."""


@dataclass(frozen=True)
class Explanation:
    """Origin of an image or an annotation."""

    kind: Literal["image", "annotation"]
    image: Image
    box: Box | None  # None for an image
    boxes: Mapping[str, int]  # boxes of an image by class
    labels: File | None  # source labels; None without a label entry
    originals: tuple[File, ...]  # what `nirgen labels` made that file from; empty if it is the original or is missing
    source: File | None  # the RGB source of a generated image, the RGB partner of a real one
    model: Model | None  # None for a real image
    steps: tuple[str, ...]  # since the sources, in order
    note: str | None  # another meaning of the request


def explain(folder: Path, wanted: str, *, image: bool = False) -> Explanation:
    """Trace an image or an annotation of a dataset to its origin.

    Args:
        folder: The dataset.
        wanted: An id, a stable key, or a file: its path, or its name in the dataset.
        image: Take a number for an image's id; else it is an annotation's, or an image's if no annotation has it.

    Raises:
        AbsentError: A decision removed it, or the build left it out.
        NirgenError: Nothing has that name, and the nearest keys are listed; or the dataset can't be read.
    """
    info = read_dataset(folder)
    check_file(info, PROVENANCE)
    row, *others = _find_rows(info, wanted, image=image)
    (image_row,) = [row] if row["kind"] == "image" else _read_rows(folder, "key", row["image_key"])
    box = _box(folder, row) if row["kind"] == "annotation" else None
    boxes = Counter[str]()  # of an image, by class
    for each in [] if box else _read_rows(folder, "image_key", row["key"], ["kind", "category", "transforms"]):
        if each["kind"] == "annotation":
            boxes[each["category"] + (", to ignore" if "region to ignore" in each["transforms"] else "")] += 1
    label_path = recorded_inputs(folder).get(row["origin"], {}).get("labels")
    return Explanation(
        kind=row["kind"],
        image=_image(folder, image_row),
        box=box,
        boxes=dict(boxes.most_common()),
        labels=File(row["label_file"], row["label_sha256"], label_path) if row["label_file"] else None,
        originals=_originals(label_path) if row["label_file"] and label_path else (),
        source=_source(folder, image_row),
        model=_model(info, image_row),
        steps=(
            *(f"image: {step}" for step in image_row["transforms"]),
            *(f"label: {step}" for step in row["transforms"] if box),
        ),
        note=f"image {wanted} exists as well: --image" if others else None,
    )


def _find_rows(info: DatasetInfo, wanted: str, *, image: bool) -> list[dict[str, Any]]:
    """Return the row that is wanted; a second one is an image with the same id."""
    folder = info.folder
    if wanted.isdecimal():
        rows = sorted(_read_rows(folder, "id", int(wanted)), key=lambda row: str(row["kind"]))
        found = [row for row in rows if row["kind"] == "image"] if image else rows
        if found:
            return found
        what = "image" if image else "annotation or image"
        gaps = ", with gaps where decisions removed something" if info.curation else ""
        raise NirgenError(f"{folder}: no {what} {wanted}; ids count from 1{gaps}, and keys are ids that last")
    path, root = Path(wanted), folder.resolve()
    inside = path.exists() and path.resolve().is_relative_to(root)
    name = path.resolve().relative_to(root).as_posix() if inside else PurePosixPath(wanted).as_posix()
    found = _read_rows(folder, "key", wanted)
    found = found or [row for row in _read_rows(folder, "file_name", name) if row["kind"] == "image"]
    if found:
        return found[:1]
    decided = _removed_by(info, wanted)
    if decided is not None:
        raise AbsentError(f"{folder}: {decided}; see {CURATION}")
    reason = _left_out(info, wanted)
    if reason is not None:
        raise AbsentError(f"{folder}: {wanted!r} was left out by 'nirgen build-dataset': {reason}")
    keys = ", ".join(map(repr, _nearest(folder, wanted)))
    remedy = f"the nearest keys are {keys}" if keys else "name an id, a key or an image file"
    raise NirgenError(f"{folder}: no image or annotation {wanted!r}; {remedy}")


def _read_rows(folder: Path, column: str, value: Any, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of the provenance that have a value."""
    rows: list[dict[str, Any]] = []
    with open_provenance(folder) as file:
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(COLUMNS.get_field_index(column)).statistics
            if statistics is not None and statistics.has_min_max and not statistics.min <= value <= statistics.max:
                continue
            # filtered in Python, because the first filter of pyarrow imports pandas, which takes longer than the rest
            given = file.read_row_group(group, columns=[column])[column].to_pylist()
            places = [place for place, each in enumerate(given) if each == value]
            if places:
                table = file.read_row_group(group, columns=columns).slice(places[0], places[-1] + 1 - places[0])
                found = table.to_pylist()
                rows += [found[place - places[0]] for place in places]
    return rows


def _nearest(folder: Path, wanted: str) -> list[str]:
    """Return keys that are spelled alike, or of the same image."""
    image, _, annotation = wanted.partition("#")
    most = 3
    keys = [row["key"] for row in _read_rows(folder, "kind", "image", ["key"])]
    if annotation and image in keys:
        return [row["key"] for row in _read_rows(folder, "image_key", image, ["key"]) if row["key"] != image][:most]
    stem = PurePosixPath(image).stem
    alike = [key for key in keys if stem and stem in PurePosixPath(key).name]
    return alike[:most] or get_close_matches(image, keys, n=most)


def _removed_by(info: DatasetInfo, wanted: str) -> str | None:
    """Describe the decision that removed an image or an annotation; None if there is none."""
    if info.curation is None:
        return None
    gone = {(each["key"], each["action"]) for each in info.curation["gone"]}
    found = [each for each in read_decisions(info.folder / CURATION).all if each.order not in gone]
    decisions = {each.key: each for each in found if each.action in {"delete", "reject"}}
    if wanted in decisions:
        decision = decisions[wanted]
        return f"{wanted!r} was removed by a decision: {decision.action}{by(decision)}"
    for image in image_keys(wanted):
        if image in decisions and decisions[image].action == "reject":
            return f"{wanted!r} was removed with its image by a decision: reject{by(decisions[image])}"
    return None


def _left_out(info: DatasetInfo, wanted: str) -> str | None:
    """Describe why the build left out an image; None if it didn't."""
    for image in (wanted, *image_keys(wanted)):
        origin, _, name = image.partition("/")
        groups = [each for each in info.values.get("left_out", ()) if each["origin"] == origin]
        for each in groups:
            # some examples are followed by a remark on the image
            if name in each["examples"] or any(one.startswith(f"{name} is ") for one in each["examples"]):
                return f"it is one of {each['count']} {REASONS[each['what']]}"
        inputs = recorded_inputs(info.folder).get(origin, {})
        places = [Path(place) / name for place in (inputs.get("folder"), inputs.get("sources")) if place]
        unlisted = [each for each in groups if each["count"] > len(each["examples"])]
        if name and unlisted and any(place.is_file() for place in places):
            return "it is one of " + " or ".join(f"{each['count']} {REASONS[each['what']]}" for each in unlisted)
    return None


def _originals(labels: str) -> tuple[File, ...]:
    """Return the files that a file of `nirgen labels` was made from."""
    try:
        data = read_content(Path(labels))
        inputs = msgspec.json.decode(data, type=_Labels).info.nirgen.inputs
    except (OSError, NirgenError, ValueError):  # msgspec's errors are ValueErrors
        return ()
    return tuple(File(str(each.get("file")), each.get("sha256")) for each in inputs)


class _Made(msgspec.Struct):
    inputs: list[dict[str, Any]]


class _Head(msgspec.Struct):
    nirgen: _Made


class _Labels(msgspec.Struct):
    info: _Head


def _image(folder: Path, row: Mapping[str, Any]) -> Image:
    entry = _coco_entry(folder, row)
    name = safe_path(row["file_name"], PROVENANCE)
    return Image(
        id=row["id"],
        key=row["key"],
        split=row["split"],
        generated=row["generated"],
        file=_file(name, row["sha256"], folder / name),
        width=entry.get("width"),
        height=entry.get("height"),
        sequence=entry.get("sequence"),
        attributes=entry.get("attributes") or {},
    )


_OWN = frozenset({"id", "image_id", "category_id", "bbox", "area", "iscrowd", "key", "source_category"})


def _box(folder: Path, row: Mapping[str, Any]) -> Box:
    entry = _coco_entry(folder, row)
    attributes = entry.get("attributes") or {}
    outline = entry.get("segmentation")
    if outline is not None:
        entry["segmentation"] = "run lengths" if isinstance(outline, dict) else f"{len(outline)} polygon(s)"
    ignored = ["region to ignore"] if entry.get("iscrowd") else []
    return Box(
        id=row["id"],
        key=row["key"],
        category=row["category"],
        source_category=row["source_category"],
        source_key=row["source_key"],
        bbox=tuple(entry["bbox"]) if "bbox" in entry else None,
        area=entry.get("area"),
        flags=(*ignored, *(name for name in MARKS if attributes.get(name) is True or entry.get(name) is True)),
        others={name: value for name, value in entry.items() if name not in _OWN},
    )


def _coco_entry(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the COCO entry of a row from its line in the file of its split; empty if that was edited or is missing."""
    try:
        with (
            open_regular(folder / annotations_name(row["split"])) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            border = text.find(b'\n"annotations": [')
            within = (border, len(text)) if row["kind"] == "annotation" else (0, border)
            start = text.find(b'\n{"id":%d,' % row["id"], *within)
            line = text[start + 1 : text.find(b"\n", start + 1)] if min(border, start) >= 0 else b"{}"
        entry: dict[str, Any] = msgspec.json.decode(line.removesuffix(b","))
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return {}
    return entry


def _source(folder: Path, row: Mapping[str, Any]) -> File | None:
    if row["source"] is None:
        return None
    name, roots = safe_path(row["source"], PROVENANCE), rgb_roots(folder).get(row["origin"], ())
    file = row["source"], row["source_sha256"]
    return _file(*file, find_below(roots, name) or roots[0] / name) if roots else File(*file)


def _file(name: str, sha256: str | None, path: Path) -> File:
    state: Literal["same", "changed", "missing"] | None = None
    try:
        found = sha256_of(path)
        if sha256 is not None:
            state = "same" if found == sha256 else "changed"
    except OSError:
        state = "missing"
    return File(name, sha256, str(path.absolute()), state)


def _model(info: DatasetInfo, row: Mapping[str, Any]) -> Model | None:
    if row["model_id"] is None:
        return None
    name = None
    for each, path in embedded_models().items():
        with suppress(SafetensorError, OSError, ValueError, KeyError, TypeError), safe_open(path, "numpy") as file:
            if json.loads(file.metadata()["nirgen"])["model_id"] == row["model_id"]:
                name = each
                break
    generators = info.values.get("generators", ())
    known: Mapping[str, Any] = next((each for each in generators if each["model_id"] == row["model_id"]), {})
    architecture = known.get("architecture") or {}
    if architecture.get("kind") == ELSEWHERE:
        name = f"{architecture['name']} (made elsewhere)"
    return Model(row["model_id"], name, known.get("licence", "unknown"), row["options_id"], known.get("options", {}))


def write_picture(found: Explanation, path: Path) -> None:
    """Write the surroundings of a box, or a whole image, as PNG: RGB, where it is found, beside NIR.

    Raises:
        NirgenError: The NIR image is missing, or the picture can't be written.
    """
    from nirgen import images
    from nirgen.dataset.drawing import COLOURS, IGNORED, crop, draw_boxes, window_around

    if path.suffix.lower() != ".png":
        raise NirgenError(f"{path}: the picture is written as PNG; give it a name that ends in .png")
    image, box = found.image, found.box
    nir = images.read(Path(image.file.path or ""))
    size = image.height or nir.shape[0], image.width or nir.shape[1]
    shown = {f"{'generated' if image.generated else 'real'} NIR": nir}
    if found.source is not None and found.source.path and found.source.state != "missing":
        shown = {"RGB": images.read(Path(found.source.path)), **shown}
    caption = f"{image.key} ({image.split})"
    if box is not None and box.bbox is not None:
        window = window_around(box.bbox, size)
        colour = IGNORED if box.flags[:1] == ("region to ignore",) else COLOURS[0]
        left, top, right, bottom = window
        full = (max(1.0, (bottom - top) * size[0]), max(1.0, (right - left) * size[1]))
        place = (box.bbox[0] - left * size[1], box.bbox[1] - top * size[0], *box.bbox[2:])
        for name, pixels in shown.items():
            shown[name] = draw_boxes(images.fit(crop(pixels, window)), full, [(place, colour)])
        caption = f"{box.category} {box.id}: {box.key} ({image.split}), {box.bbox[2]:g} x {box.bbox[3]:g} px"
    sheet = images.contact_sheet([images.SheetRow([*shown.values()], [caption])], headings=[*shown])
    with output_file(path) as temporary:
        temporary.write_bytes(images.encode(sheet, "png"))


_STATES = {"same": "", "changed": ", changed since the dataset was built", "missing": ", missing now", None: ""}


def lines(found: Explanation) -> Iterator[tuple[str, str]]:
    """Yield an explanation as (name, text); the name is empty where a line continues the one above."""
    image = found.image
    if found.box is not None:
        yield from _box_lines(found.box)
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
    yield from _label_lines(found)
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


def _label_lines(found: Explanation) -> Iterator[tuple[str, str]]:
    if found.labels is not None:
        yield from _file_lines("labels", found.labels)
        for number, original in enumerate(found.originals):
            yield from _file_lines("" if number else "made from", original)
        if found.box is not None:
            entry = f"{_position(found.box.source_key)} of {found.image.key.partition('/')[2]}"
            yield "its entry", f"{entry}, class {found.box.source_category or found.box.category}"
    elif found.box is not None:
        yield "labels", "none: a curator added it"
    else:
        yield "labels", "no entry: taken as an image without objects (--include-unlabelled)"


def _position(source_key: str) -> str:
    """Return the name of a label in its source: an id, or a position from 0 after `@`."""
    if source_key[:1] == "@" and source_key[1:].isdecimal():
        return f"number {int(source_key[1:]) + 1} (in the order of the file)"
    return f"id {source_key}"


def _box_lines(box: Box) -> Iterator[tuple[str, str]]:
    yield "annotation", f"{box.id}: {box.key}"
    was = f", in the source {box.source_category}" if box.source_category not in {None, box.category} else ""
    yield "class", f"{box.category}{was}"
    if box.bbox is None:
        yield "box", "missing from the annotation file, which was edited; run 'nirgen validate'"
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
