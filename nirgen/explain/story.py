"""Where an image or an annotation of a dataset comes from, step by step."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from safetensors import SafetensorError, safe_open

from nirgen.collection.roots import recorded_inputs
from nirgen.dataset.folder import PROVENANCE, annotations_name, read_dataset
from nirgen.explain.explanation import Box, Explanation, File, Image, Model
from nirgen.explain.rows import find_rows, read_rows
from nirgen.labels.names import safe_path
from nirgen.models.catalog import embedded_models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nirgen.dataset.folder import DatasetInfo

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
