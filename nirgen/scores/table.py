"""`scores.parquet`: what was measured of each image and its boxes, and what follows from all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nirgen.dataset.folder import SCORES
from nirgen.files import output_file
from nirgen.scores.box_measures import MEASURES
from nirgen.scores.box_trouble import box_excesses, box_fidelity, box_tags, box_trouble
from nirgen.scores.image_trouble import image_trouble, realism
from nirgen.scores.names import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.collection import Item
    from nirgen.scores.measuring import Measured

SCHEMA = 1
MEASURED = ("structure", "sharpness", "contrast", "clipping", "noise", "banding")
"""The scores of an image that follow from its own files; the others follow from all of the collection."""

_COLUMNS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("basis", pa.string(), nullable=False),
        pa.field("generated", pa.bool_(), nullable=False),
        pa.field("beside_rgb", pa.bool_(), nullable=False),
        pa.field("note", pa.string(), nullable=False),
        *(pa.field(name, pa.float32()) for name in MEASURED),
        pa.field("statistics", pa.list_(pa.float32())),
        pa.field(
            "boxes",
            pa.list_(pa.struct([pa.field("key", pa.string()), *(pa.field(name, pa.float32()) for name in MEASURES)])),
            nullable=False,
        ),
    ]
)
"""Of what was measured; `finish` adds the rest."""


def empty_rows() -> pa.Table:
    """No rows of what was measured."""
    return _COLUMNS.empty_table()


def to_rows(measured: Sequence[tuple[Item, Measured]]) -> pa.Table:
    """What was measured of some items, as rows."""
    rows = [
        {
            "key": each.key,
            "basis": each.basis,
            "generated": each.generated,
            "beside_rgb": each.beside_rgb,
            "note": each.note,
            **{name: getattr(each.image, name, None) for name in MEASURED},
            "statistics": None if each.image is None else each.image.statistics,
            "boxes": [
                {"key": box.key} | {name: getattr(found, name, None) for name in MEASURES}
                for box, found in zip(item.boxes, each.boxes, strict=True)
            ],
        }
        for item, each in measured
    ]
    return pa.Table.from_pylist(rows, schema=_COLUMNS)


def finish(rows: pa.Table) -> pa.Table:
    """Add what follows from all rows: realism and trouble of images; fidelity, trouble and tags of boxes.

    Args:
        rows: What was measured, in any order.

    Returns:
        The rows sorted by key, with all scores.
    """
    rows = rows.sort_by("key").combine_chunks()
    generated = np.asarray(rows["generated"].to_numpy(), np.bool_)
    columns = {name: _numbers(rows[name]) for name in MEASURED}
    columns["realism"] = realism(_statistics(rows), ~generated)
    groups = generated * 2 + np.asarray(rows["beside_rgb"].to_numpy(), np.int64)
    columns["trouble"] = image_trouble(columns, groups)
    images = {name: _column(columns[name]) for name in IMAGE_SCORES}
    kept = {name: rows[name] for name in ("key", "basis", "generated", "beside_rgb", "note")}
    return pa.table(kept | images | {"statistics": rows["statistics"], "boxes": _finish_boxes(rows, generated)})


def measured_rows(table: pa.Table) -> pa.Table:
    """What was measured, of rows that `finish` made."""
    boxes = table["boxes"].combine_chunks()
    values = boxes.values
    names = ("key", *MEASURES)
    inner = pa.StructArray.from_arrays([values.field(name) for name in names], names=list(names))
    columns = {name: table[name] for name in _COLUMNS.names}
    return pa.table(columns | {"boxes": pa.ListArray.from_arrays(boxes.offsets, inner)}).cast(_COLUMNS)


def write_scores(folder: Path, table: pa.Table) -> None:
    """Write the scores of a folder, whole or not at all.

    Raises:
        OutputError: They can't be written.
    """
    with output_file(folder / SCORES) as temporary:
        pq.write_table(table.replace_schema_metadata({"nirgen.schema": str(SCHEMA)}), temporary, compression="zstd")


def read_table(folder: Path) -> pa.Table | None:
    """Read the scores of a folder; None if there are none that this version understands."""
    path = folder / SCORES
    try:
        table = pq.read_table(path, partitioning=None, memory_map=False)
        if (table.schema.metadata or {}).get(b"nirgen.schema") != str(SCHEMA).encode():
            return None
        measured_rows(table)
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None
    return table.combine_chunks()


def _finish_boxes(rows: pa.Table, generated: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.ListArray:
    boxes = rows["boxes"].combine_chunks()
    values = boxes.flatten()
    lengths = pc.list_value_length(boxes).to_numpy(zero_copy_only=False).astype(np.int64)
    judged = np.asarray(pc.is_valid(values.field(MEASURES[0])), np.bool_)
    groups = np.repeat(generated.astype(np.int64), lengths)[judged]
    measures = {name: _numbers(values.field(name))[judged] for name in MEASURES}
    excesses = box_excesses(measures, groups)
    fidelity, trouble = np.full((2, len(values)), np.nan)
    fidelity[judged], trouble[judged] = box_fidelity(measures), box_trouble(excesses)
    tags: list[list[str]] = [[] for _ in range(len(values))]
    for position, found in zip(np.flatnonzero(judged), box_tags(measures, excesses), strict=True):
        tags[position] = list(found)
    fields = {
        "key": values.field("key"),
        "trouble": _column(trouble),
        "fidelity": _column(fidelity),
        "tags": pa.array(tags, pa.list_(pa.string())),
        **{name: values.field(name) for name in MEASURES},
    }
    inner = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), inner)


def _statistics(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(N, S), NaN where an image has none."""
    lists = rows["statistics"].combine_chunks()
    present = np.asarray(pc.is_valid(lists), np.bool_)
    values = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), np.float64)
    width = len(values) // max(1, int(present.sum())) or 1
    statistics = np.full((len(lists), width), np.nan)
    statistics[present] = values.reshape(-1, width)
    return statistics


def _numbers(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(N,) of a column of floats, NaN for null."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _column(values: np.ndarray[Any, np.dtype[np.float64]]) -> pa.Array:
    """float32, null for NaN."""
    return pa.array(values.astype(np.float32), from_pandas=True)
