"""Whether the YOLO, Hugging Face and rfdetr forms of a nirgen dataset hold the boxes of its COCO files."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nirgen.dataset.folder import IMAGES
from nirgen.dataset.writers import RFDETR_FOLDERS, label_name
from nirgen.errors import NirgenError
from nirgen.validate.coco import NOWHERE, read_coco
from nirgen.validate.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.validate.coco import CocoFile


_TOLERANCE = 1e-5  # YOLO's shares have 6 decimals


def check_formats(info: DatasetInfo, files: Sequence[CocoFile], findings: Findings) -> None:
    """Compare what of these forms the dataset has.

    Args:
        info: What the dataset says of itself.
        files: Its COCO files.
        findings: Takes what differs.
    """
    for file in files:
        of_image = _annotations_of_images(file)
        if "dataset.yaml" in info.files:
            _check_yolo(info, file, of_image, findings)
        if f"hf/{file.split}/metadata.jsonl" in info.files:
            _check_huggingface(info.folder / "hf" / file.split / "metadata.jsonl", file, of_image, findings)
        rfdetr = f"rfdetr/{RFDETR_FOLDERS.get(file.split)}/_annotations.coco.json"
        if rfdetr in info.files:
            _check_rfdetr(info.folder / rfdetr, file, findings)


def _annotations_of_images(file: CocoFile) -> list[NDArray[np.intp]]:
    """The positions of the annotations of each image."""
    order = np.argsort(file.annotations.images, kind="stable")
    images = file.annotations.images[order]
    starts = np.searchsorted(images, np.arange(len(file.images) + 1))
    return [order[start:end] for start, end in pairwise(starts)]


def _check_yolo(info: DatasetInfo, file: CocoFile, of_image: Sequence[NDArray[np.intp]], findings: Findings) -> None:
    for position, name in enumerate(file.images.names):
        label = label_name(name)
        wanted = _yolo_rows(file, position, of_image[position])
        try:
            if label not in info.files:  # nor is anything read that has another name
                raise ValueError("no such file")
            lines = (info.folder / label).read_text(encoding="ascii").splitlines()
            given = np.array([line.split() for line in lines], np.float64).reshape(-1, 5)
        except (OSError, ValueError) as error:
            findings.add("yolo-differs", f"{file.image(position)}: {label}: {error}")
            continue
        if not (_alike(given, wanted) or _alike(_ordered(given), _ordered(wanted))):
            findings.add("yolo-differs", f"{file.image(position)}: {len(given)} boxes, COCO has {len(wanted)}")


def _yolo_rows(file: CocoFile, position: int, annotations: NDArray[np.intp]) -> NDArray[np.float64]:
    """(M, 5) of an image's M boxes: class's position, middle and size as shares of the image's; crowds left out."""
    table = file.annotations
    boxes = annotations[~table.crowd[annotations]]
    sides = np.maximum([file.images.widths[position], file.images.heights[position]], 1)
    corners, sizes = table.xywh[boxes, :2], table.xywh[boxes, 2:]
    return np.column_stack([table.categories[boxes], (corners + sizes / 2) / sides, sizes / sides])


def _alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=_TOLERANCE)


def _ordered(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows in an order of their own, which rounding seldom changes."""
    ordered: NDArray[np.float64] = rows[np.lexsort(rows.round(4).T)]
    return ordered


class _Objects(msgspec.Struct):
    id: list[int]
    bbox: list[tuple[float, float, float, float]]
    category: list[int]


class _Row(msgspec.Struct):
    file_name: str
    objects: _Objects


def _check_huggingface(path: Path, file: CocoFile, of_image: Sequence[NDArray[np.intp]], findings: Findings) -> None:
    try:
        rows = {row.file_name: row.objects for row in msgspec.json.Decoder(_Row).decode_lines(path.read_bytes())}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        findings.add("hf-differs", f"{file.path.name}: hf/{file.split}/{path.name}: {error}")
        return
    for position, name in enumerate(file.images.names):
        given = rows.pop(name.removeprefix(f"{IMAGES}/"), None)
        if given is None or _objects(given) != _wanted(file, of_image[position]):
            there = "no row" if given is None else f"{len(given.id)} boxes"
            findings.add("hf-differs", f"{file.image(position)}: {there}, COCO has {len(of_image[position])} boxes")
    findings.add_all("hf-differs", list(rows), lambda name: f"hf/{file.split}: {name!r} has no COCO image")


def _objects(given: _Objects) -> list[tuple[Any, ...]] | None:
    if not len(given.id) == len(given.bbox) == len(given.category):
        return None
    return sorted(zip(given.id, given.category, given.bbox, strict=True))


def _wanted(file: CocoFile, at: NDArray[np.intp]) -> list[tuple[Any, ...]]:
    table = file.annotations
    columns = (table.ids[at].tolist(), table.categories[at].tolist(), map(tuple, table.xywh[at].tolist()))
    return sorted(zip(*columns, strict=True))


def _check_rfdetr(path: Path, file: CocoFile, findings: Findings) -> None:
    where = f"rfdetr/{path.parent.name}"
    try:
        other = read_coco(path, file.split, path.parent, Findings())
    except NirgenError as error:
        findings.add("rfdetr-differs", f"{where}: {error}")
        return
    ours, theirs = (_by_name(each, prefix) for each, prefix in ((file, f"{IMAGES}/"), (other, "")))
    differing = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    findings.add_all("rfdetr-differs", differing, lambda name: f"{where}: {name!r}")


def _by_name(file: CocoFile, prefix: str) -> dict[str, list[tuple[Any, ...]]]:
    """The annotations of each image, by its name."""
    table = file.annotations
    boxes = [[f"{value:.3f}" for value in box] for box in table.xywh.tolist()]
    found: dict[str, list[tuple[Any, ...]]] = {name.removeprefix(prefix): [] for name in file.images.names}
    names = [name.removeprefix(prefix) for name in file.images.names]
    for image, number, category, crowd, box in zip(
        table.images.tolist(), table.ids.tolist(), table.categories.tolist(), table.crowd.tolist(), boxes, strict=True
    ):
        if image != NOWHERE:
            found[names[image]].append((number, category, crowd, *box))
    return found
