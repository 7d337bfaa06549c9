"""Trace an image or an annotation of a dataset to its sources, its model and every step between.

Only the row groups of `provenance.parquet` that can hold the answer are read. What the annotation itself says comes
from its one line in the COCO file.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections import Counter
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from safetensors import SafetensorError, safe_open

from nirgen.curation import read_decisions
from nirgen.dataset.decisions import by, image_keys
from nirgen.dataset.folder import CURATION, PROVENANCE, annotations_name, read_dataset
from nirgen.dataset.provenance import COLUMNS, open_provenance
from nirgen.dataset.read import recorded_inputs
from nirgen.errors import NirgenError
from nirgen.explain.explanation import Box, Explanation, File, Image, Model
from nirgen.files import safe_path
from nirgen.models.catalog import embedded_models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow.parquet as pq

    from nirgen.dataset.folder import DatasetInfo


_NEAREST = 3


def find_rows(info: DatasetInfo, wanted: str, *, image: bool) -> list[dict[str, Any]]:
    """The row that is wanted, and others with its id behind it.

    Args:
        info: What the dataset says of itself.
        wanted: An id, a stable key, or a file.
        image: Whether a number is an image's id.

    Raises:
        NirgenError: Nothing is called so, a curator took it out, or the provenance can't be read.
    """
    folder = info.folder
    if wanted.isdecimal():
        rows = sorted(read_rows(folder, "id", int(wanted)), key=lambda row: row["kind"])
        found = [row for row in rows if row["kind"] == "image"] if image else rows
        if found:
            return found
        what = "image" if image else "annotation or image"
        gaps = ", with gaps where decisions took something out" if info.curation else ""
        raise NirgenError(f"{folder}: no {what} {wanted}; ids count from 1{gaps}, and keys are ids that last")
    found = read_rows(folder, "key", wanted)
    found = found or [row for row in read_rows(folder, "file_name", _inside(folder, wanted)) if row["kind"] == "image"]
    if found:
        return found[:1]
    decided = taken_out(info, wanted)
    if decided is not None:
        raise NirgenError(f"{folder}: {decided}; {CURATION} has it")
    keys = ", ".join(map(repr, _nearest(folder, wanted)))
    remedy = f"near it are {keys}" if keys else "name an id, a key or an image file"
    raise NirgenError(f"{folder}: nothing is called {wanted!r}; {remedy}")


def read_rows(folder: Path, column: str, value: Any, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows with a value in a column; row groups that can't have it are not read.

    Args:
        folder: The dataset.
        column: One of `nirgen.dataset.provenance.COLUMNS`.
        value: What is sought there.
        columns: What to read of the rows; all by default.

    Raises:
        NirgenError: The provenance can't be read, or is of another schema.
    """
    rows: list[dict[str, Any]] = []
    with open_provenance(folder) as file:
        for group in range(file.num_row_groups):
            if _may_hold(file.metadata, group, column, value):
                rows += _rows_with(file, group, column, value, columns)
    return rows


def _rows_with(
    file: pq.ParquetFile, group: int, column: str, value: Any, columns: list[str] | None
) -> list[dict[str, Any]]:
    """The rows of a row group with a value in a column.

    They are sought in Python: the first filter of pyarrow's would import pandas, which takes longer than all the rest.
    """
    given = file.read_row_group(group, columns=[column])[column].to_pylist()
    places = [place for place, each in enumerate(given) if each == value]
    if not places:
        return []
    rows = file.read_row_group(group, columns=columns).slice(places[0], places[-1] + 1 - places[0]).to_pylist()
    return [rows[place - places[0]] for place in places]


def _may_hold(metadata: pq.FileMetaData, group: int, column: str, value: Any) -> bool:
    """Whether the smallest and the largest value of a row group leave room for a value."""
    statistics = metadata.row_group(group).column(COLUMNS.get_field_index(column)).statistics
    return statistics is None or not statistics.has_min_max or bool(statistics.min <= value <= statistics.max)


def _inside(folder: Path, wanted: str) -> str:
    """A path in the dataset, as it is named there; anything else as it is."""
    path = Path(wanted)
    if path.exists() and path.resolve().is_relative_to(folder.resolve()):
        return path.resolve().relative_to(folder.resolve()).as_posix()
    return PurePosixPath(wanted).as_posix()


def _nearest(folder: Path, wanted: str) -> list[str]:
    """Keys that are spelled alike, or of the same image."""
    image, _, annotation = wanted.partition("#")
    keys = [row["key"] for row in read_rows(folder, "kind", "image", ["key"])]
    if annotation and image in keys:
        return [row["key"] for row in read_rows(folder, "image_key", image, ["key"]) if row["key"] != image][:_NEAREST]
    stem = PurePosixPath(image).stem
    alike = [key for key in keys if stem and stem in PurePosixPath(key).name]
    return alike[:_NEAREST] or get_close_matches(image, keys, n=_NEAREST)


def taken_out(info: DatasetInfo, wanted: str) -> str | None:
    """Which decision took something out of a dataset.

    Args:
        info: What the dataset says of itself.
        wanted: The key of an image or an annotation that isn't there.

    Returns:
        What was decided, by whom and why, in words; None if no decision is about it.

    Raises:
        NirgenError: The dataset was built with decisions, and they can't be read.
    """
    if info.curation is None:
        return None
    gone = {(each["key"], each["action"]) for each in info.curation["gone"]}
    decisions = {
        each.key: each
        for each in read_decisions(info.folder / CURATION).all
        if each.action in {"delete", "reject"} and each.order not in gone
    }
    if wanted in decisions:
        decision = decisions[wanted]
        return f"{wanted!r} is not in the dataset: decision: {decision.action}{by(decision)}"
    for image in image_keys(wanted):
        if image in decisions and decisions[image].action == "reject":
            return f"{wanted!r} is not in the dataset, for its image isn't: decision: reject{by(decisions[image])}"
    return None


_ANNOTATIONS = b'\n"annotations": ['
_FLAGS = ("occluded", "truncated", "crowd", "difficult")
_NO_FLAGS = frozenset({"id", "image_id", "category_id", "bbox", "area", "iscrowd", "key", "source_category"})


def explain(folder: Path, wanted: str, *, image: bool = False) -> Explanation:
    """Tell where an image or an annotation of a dataset comes from.

    Args:
        folder: The dataset.
        wanted: An id, a stable key, or a file: its path, or its name in the dataset.
        image: Whether a number is an image's id; else it is an annotation's, or an image's if no annotation has it.

    Raises:
        NirgenError: It is no dataset of nirgen's, its provenance can't be read, or nothing is called so: then the
            nearest keys are named.
    """
    info = read_dataset(folder)
    rows = find_rows(info, wanted, image=image)
    row = rows[0]
    (image_row,) = [row] if row["kind"] == "image" else read_rows(folder, "key", row["image_key"])
    roots = recorded_inputs(folder).get(row["origin"], {})
    model = _model(info, image_row)
    box = _box(folder, row) if row["kind"] == "annotation" else None
    return Explanation(
        kind=row["kind"],
        image=_image(folder, image_row),
        box=box,
        boxes={} if box else _boxes(folder, row["key"]),
        labels=_labels(row, roots),
        source=_source(image_row, roots),
        model=model,
        steps=tuple(_steps(image_row, row)),
        note=f"image {wanted} is there as well: --image" if len(rows) > 1 else None,
    )


def _image(folder: Path, row: Mapping[str, Any]) -> Image:
    entry = _entry(folder, row) or {}
    name = safe_path(row["file_name"], PROVENANCE)
    return Image(
        id=row["id"],
        key=row["key"],
        split=row["split"],
        generated=row["generated"],
        file=File(name, row["sha256"], str((folder / name).absolute()), _state(folder / name, row["sha256"])),
        width=entry.get("width"),
        height=entry.get("height"),
        sequence=entry.get("sequence"),
        attributes=entry.get("attributes") or {},
    )


def _box(folder: Path, row: Mapping[str, Any]) -> Box:
    entry = _entry(folder, row) or {}
    attributes = entry.get("attributes") or {}
    ignored = ["region to ignore"] if entry.get("iscrowd") else []
    marks = [name for name in _FLAGS if attributes.get(name) is True or entry.get(name) is True]
    return Box(
        id=row["id"],
        key=row["key"],
        category=row["category"],
        source_category=row["source_category"],
        source_key=row["source_key"],
        bbox=tuple(entry["bbox"]) if "bbox" in entry else None,
        area=entry.get("area"),
        flags=(*ignored, *marks),
        others={name: _short(name, value) for name, value in entry.items() if name not in _NO_FLAGS},
    )


def _short(name: str, value: Any) -> Any:
    """A value, or of an outline what kind it is."""
    if name != "segmentation":
        return value
    return "run lengths" if isinstance(value, dict) else f"{len(value)} polygon(s)"


def _entry(folder: Path, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The COCO entry of a row: its line in the file of its split; None if it isn't there as it was written."""
    try:
        with (
            (folder / annotations_name(row["split"])).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            border = text.find(_ANNOTATIONS)
            within = (border, len(text)) if row["kind"] == "annotation" else (0, border)
            start = text.find(b'\n{"id":%d,' % row["id"], *within)
            if min(border, start) < 0:
                return None
            line = text[start + 1 : text.find(b"\n", start + 1)].removesuffix(b",")
        entry: dict[str, Any] = msgspec.json.decode(line)
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    return entry


def _boxes(folder: Path, key: str) -> dict[str, int]:
    """How many boxes of each class an image has."""
    rows = read_rows(folder, "image_key", key, ["kind", "category", "transforms"])
    names = [
        f"{row['category']}, to ignore" if "region to ignore" in row["transforms"] else row["category"]
        for row in rows
        if row["kind"] == "annotation"
    ]
    return dict(Counter(names).most_common())


def _labels(row: Mapping[str, Any], roots: Mapping[str, str | None]) -> File | None:
    if row["label_file"] is None:
        return None
    return File(row["label_file"], row["label_sha256"], roots.get("labels"))


def _source(row: Mapping[str, Any], roots: Mapping[str, str | None]) -> File | None:
    if row["source"] is None:
        return None
    root = _source_root(roots)
    if root is None:
        return File(row["source"], row["source_sha256"])
    path = root / safe_path(row["source"], PROVENANCE)
    return File(row["source"], row["source_sha256"], str(path), _state(path, row["source_sha256"]))


def _source_root(roots: Mapping[str, str | None]) -> Path | None:
    """The folder of the RGB images: the one that was named, or the one that the translation folder names."""
    if roots.get("sources"):
        return Path(str(roots["sources"]))
    try:
        return Path(json.loads((Path(str(roots["folder"])) / "run.json").read_bytes())["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _state(path: Path, sha256: str | None) -> Literal["same", "changed", "missing"] | None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"
    return None if sha256 is None else "same" if found == sha256 else "changed"


def _model(info: DatasetInfo, row: Mapping[str, Any]) -> Model | None:
    if row["model_id"] is None:
        return None
    generators = info.values.get("generators", ())
    known: Mapping[str, Any] = next((each for each in generators if each["model_id"] == row["model_id"]), {})
    return Model(
        id=row["model_id"],
        name=_embedded_name(row["model_id"]),
        licence=known.get("licence", "unknown"),
        options_id=row["options_id"],
        options=known.get("options", {}),
    )


def _embedded_name(model_id: str) -> str | None:
    for name, path in embedded_models().items():
        try:
            with safe_open(path, "numpy") as file:
                if json.loads(file.metadata()["nirgen"])["model_id"] == model_id:
                    return name
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _steps(image: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[str]:
    for step in image["transforms"]:
        yield f"image: {step}"
    if row["kind"] == "annotation":
        for step in row["transforms"]:
            yield f"label: {step}"
