"""Rows of a dataset's `provenance.parquet`, found without reading all of it."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nirgen.dataset.folder import CURATION
from nirgen.dataset.provenance import COLUMNS, open_provenance
from nirgen.errors import NirgenError
from nirgen.explain.decided import taken_out

if TYPE_CHECKING:
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
