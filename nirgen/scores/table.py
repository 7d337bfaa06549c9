"""Scores of a collection: computed where missing or outdated, and kept in `scores.parquet`."""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nirgen import parquet
from nirgen.dataset.folder import SCORES
from nirgen.files import output_file, read_bytes
from nirgen.scores.measures import BOX_MEASURES, basis_of, measure
from nirgen.scores.trouble import (
    IMAGE_SCORES,
    BoxScores,
    ItemScores,
    box_excesses,
    box_fidelity,
    box_tags,
    image_trouble,
    realism,
    to_trouble,
)
from nirgen.translate.options import processors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.collection import Collection
    from nirgen.dataset.read import Image
    from nirgen.progress import Progress
    from nirgen.scores.measures import Measured


SCHEMA = 2
MEASURED = (
    "structure",
    "sharpness",
    "contrast",
    "clipping",
    "noise",
    "banding",
    "blots",
    "blocks",
    "lift",
)  # of an image's own files alone
SAVE_EVERY = 2000  # images measured

_PLAIN = ("key", "basis", "generated", "beside_rgb", "note")
_ROWS_AT_ONCE = 256
# of measured items; `finish` adds the scores that depend on the whole collection
_COLUMNS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("key", "basis")),
        *(pa.field(name, pa.bool_(), nullable=False) for name in ("generated", "beside_rgb")),
        pa.field("note", pa.string(), nullable=False),
        *(pa.field(name, pa.float32()) for name in MEASURED),
        pa.field("statistics", pa.list_(pa.float32())),
        pa.field("boxes", pa.list_(pa.struct({"key": pa.string()} | dict.fromkeys(BOX_MEASURES, pa.float32()))), False),
    ]
)


def to_rows(measured: Sequence[tuple[Image, Measured]]) -> pa.Table:
    """Return measured items as rows."""
    rows = [
        {
            **{name: getattr(each, name) for name in _PLAIN},
            **{name: getattr(each.image, name, None) for name in MEASURED},
            "statistics": None if each.image is None else each.image.statistics,
            "boxes": [
                {"key": box.key} | {name: getattr(found, name, None) for name in BOX_MEASURES}
                for box, found in zip(item.boxes, each.boxes, strict=True)
            ],
        }
        for item, each in measured
    ]
    return pa.Table.from_pylist(rows, schema=_COLUMNS)


def finish(rows: pa.Table) -> pa.Table:
    """Sort measured rows by key, and add realism and trouble of images; fidelity, trouble and tags of boxes."""
    rows = rows.sort_by("key").combine_chunks()
    generated = np.asarray(rows["generated"].to_numpy(), np.bool_)
    columns = {name: _numbers(rows[name]) for name in MEASURED}
    columns["realism"] = realism(_statistics(rows), ~generated)
    groups = generated * 2 + np.asarray(rows["beside_rgb"].to_numpy(), np.int64)
    columns["trouble"] = image_trouble(columns, groups)
    images = {name: _column(columns[name]) for name in IMAGE_SCORES}
    kept = {name: rows[name] for name in _PLAIN}
    return pa.table(kept | images | {"statistics": rows["statistics"], "boxes": _finish_boxes(rows, generated)})


def measured_rows(table: pa.Table) -> pa.Table:
    """Return the measured rows of a table that `finish` made."""
    boxes = table["boxes"].combine_chunks()
    values = boxes.values
    names = ("key", *BOX_MEASURES)
    inner = pa.StructArray.from_arrays([values.field(name) for name in names], names=list(names))
    columns = {name: table[name] for name in _COLUMNS.names}
    return pa.table(columns | {"boxes": pa.ListArray.from_arrays(boxes.offsets, inner)}).cast(_COLUMNS)


def write_scores(folder: Path, table: pa.Table) -> None:
    """Write the scores of a folder."""
    with output_file(folder / SCORES) as temporary:
        file = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({"nirgen.schema": str(SCHEMA)}), file, compression="zstd")
        parquet.seal(file)
        temporary.write_bytes(file.getvalue())


def read_table(folder: Path) -> pa.Table | None:
    """Read the scores of a folder; None if they are missing, damaged or of another schema."""
    try:
        data = read_bytes(folder / SCORES)
        if not parquet.is_whole(io.BytesIO(data)):
            return None
        table = pq.read_table(io.BytesIO(data))
        if (table.schema.metadata or {}).get(b"nirgen.schema") != str(SCHEMA).encode():
            return None
        measured_rows(table)
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError):
        return None
    return table.combine_chunks()


def is_outdated(folder: Path) -> bool:
    """Return True if the scores of a folder are of another schema, so that all its images are measured again."""
    try:
        metadata = pq.read_schema(io.BytesIO(read_bytes(folder / SCORES))).metadata or {}
    except (pa.ArrowException, OSError):
        return False
    return metadata.get(b"nirgen.schema") != str(SCHEMA).encode()


def _finish_boxes(rows: pa.Table, generated: NDArray[np.bool_]) -> pa.ListArray:
    boxes = rows["boxes"].combine_chunks()
    values = boxes.flatten()
    lengths = pc.list_value_length(boxes).to_numpy(zero_copy_only=False).astype(np.int64)
    judged = np.asarray(pc.is_valid(values.field(BOX_MEASURES[0])), np.bool_)
    groups = np.repeat(generated.astype(np.int64), lengths)[judged]
    measures = {name: _numbers(values.field(name))[judged] for name in BOX_MEASURES}
    excesses = box_excesses(measures, groups)
    fidelity, trouble = np.full((2, len(values)), np.nan)
    fidelity[judged], trouble[judged] = box_fidelity(measures), to_trouble(excesses.values())
    tags: list[list[str]] = [[] for _ in range(len(values))]
    for position, found in zip(np.flatnonzero(judged), box_tags(measures, excesses), strict=True):
        tags[position] = list(found)
    fields = {
        "key": values.field("key"),
        "trouble": _column(trouble),
        "fidelity": _column(fidelity),
        "tags": pa.array(tags, pa.list_(pa.string())),
        **{name: values.field(name) for name in BOX_MEASURES},
    }
    inner = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), inner)


def _statistics(rows: pa.Table) -> NDArray[np.float64]:
    """(N, S), NaN for an image without statistics."""
    lists = rows["statistics"].combine_chunks()
    present = np.asarray(pc.is_valid(lists), np.bool_)
    values = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), np.float64)
    width = len(values) // max(1, int(present.sum())) or 1
    statistics = np.full((len(lists), width), np.nan)
    statistics[present] = values.reshape(-1, width)
    return statistics


def _numbers(column: Any) -> NDArray[np.float64]:
    """(N,), NaN for null."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _column(values: NDArray[np.float64]) -> pa.Array:
    """float32, null for NaN."""
    return pa.array(values.astype(np.float32), from_pandas=True)


class Scores:
    """The scores of a collection, from a table of `finish`; `measured` images were measured anew."""

    def __init__(self, table: pa.Table, measured: int = 0) -> None:
        self.measured = measured
        self._table = table
        self._positions = {key: position for position, key in enumerate(table["key"].to_pylist())}
        self._rows: list[dict[str, Any]] = []
        self._first = 0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the scores of a folder; missing ones are None."""
        table = read_table(folder)
        return cls(finish(_COLUMNS.empty_table()) if table is None else table)

    def of(self, item: Image) -> ItemScores:
        """Return the scores of an image and its boxes; None if unknown."""
        position = self._positions.get(item.key)
        if position is None:
            return ItemScores(dict.fromkeys(IMAGE_SCORES), (BoxScores(),) * len(item.boxes))
        if not self._first <= position < self._first + len(self._rows):  # items are asked for in order
            self._first = position // _ROWS_AT_ONCE * _ROWS_AT_ONCE
            self._rows = self._table.slice(self._first, _ROWS_AT_ONCE).to_pylist()
        row = self._rows[position - self._first]
        known = {box["key"]: BoxScores(box["fidelity"], box["trouble"], tuple(box["tags"])) for box in row["boxes"]}
        return ItemScores(
            image={name: row[name] for name in IMAGE_SCORES},
            boxes=tuple(known.get(box.key, BoxScores()) for box in item.boxes),
            note=row["note"],
        )

    def worst_images(self) -> list[tuple[str, float]]:
        """Return (key, trouble) of the images, the worst first, then by key."""
        return _worst_first(self._table)

    def worst_boxes(self) -> list[tuple[str, float]]:
        """Return (key, trouble) of the boxes, the worst first, then by key."""
        return _worst_first(pa.Table.from_struct_array(self._table["boxes"].combine_chunks().flatten()))


def score(collection: Collection, report: Progress | None = None, workers: int | None = None) -> Scores:
    """Score the images of a collection and their boxes in threads, by default one for each core.

    `scores.parquet` in the collection's folder keeps them; only missing images, and those whose files or boxes have
    changed, are measured. An interruption keeps the work done. Scores relative to an RGB image stay when it is gone.
    """
    work = _Work(collection)
    workers = workers or processors()
    threads = ThreadPoolExecutor(workers)
    try:
        try:
            for done, (item, found) in enumerate(_in_order(threads, collection, work, workers), start=1):
                work.add(item, found)
                if report is not None:
                    report("score", done, collection.count)
        finally:
            threads.shutdown(cancel_futures=True)
    except BaseException:
        work.save(ended=False)
        raise
    return Scores(work.save(ended=True), work.measured)


class _Work:
    """The known measures of a collection, and those measured anew."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._table = read_table(collection.folder)
        self._known = finish(_COLUMNS.empty_table()) if self._table is None else self._table
        columns = (self._known[name].to_pylist() for name in ("key", "basis", "note"))
        self._rows = {key: (place, basis, note) for place, (key, basis, note) in enumerate(zip(*columns, strict=True))}
        self._states = np.zeros(len(self._known), np.int8)  # 0 unseen, 1 keep, -1 measure anew
        self._waiting: list[tuple[Image, Measured]] = []
        self._parts: list[pa.Table] = []
        self._saved = 0
        self.measured = 0

    def is_known(self, item: Image) -> bool:
        place, basis, note = self._rows.get(item.key, (-1, "", ""))
        if place < 0:
            return False
        bases = {basis_of(item, with_rgb=item.rgb is not None)}
        if item.rgb is None:
            bases.add(basis_of(item, with_rgb=True))
        same = basis in bases and not note
        self._states[place] = 1 if same else -1
        return same

    def add(self, item: Image, found: Measured | None) -> None:
        if found is None:
            return
        self._waiting.append((item, found))
        self.measured += 1
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self._gather()
        if self.measured - self._saved >= SAVE_EVERY:
            self.save(ended=False)

    def save(self, *, ended: bool) -> pa.Table:
        """Write the table if it has changed; `ended` drops the rows of items that are gone."""
        self._gather()
        kept = self._states == 1 if ended else self._states >= 0
        if self._table is not None and self.measured == self._saved == 0 and kept.all():
            return self._table
        rows = pa.concat_tables([measured_rows(self._known.filter(pa.array(kept))), *self._parts])
        table = finish(rows)
        self._collection.check()  # what took its place gets no scores, and nothing is made anew
        write_scores(self._collection.folder, table)
        self._saved = self.measured
        return table

    def _gather(self) -> None:
        if self._waiting:
            self._parts.append(to_rows(self._waiting))
            self._waiting = []


def _in_order(
    threads: ThreadPoolExecutor, collection: Collection, work: _Work, workers: int
) -> Iterator[tuple[Image, Measured | None]]:
    """Yield each item with its measures, None if they are known; few items are in flight."""
    flying: deque[tuple[Image, Future[Measured] | None]] = deque()

    def landed() -> tuple[Image, Measured | None]:
        item, future = flying.popleft()
        return item, None if future is None else future.result()

    for item in collection.items():
        flying.append((item, None if work.is_known(item) else threads.submit(measure, item)))
        while len(flying) > 4 * workers:
            yield landed()
    while flying:
        yield landed()


def _worst_first(table: pa.Table) -> list[tuple[str, float]]:
    both = zip(table["key"].to_pylist(), table["trouble"].to_pylist(), strict=True)
    known = [(key, trouble) for key, trouble in both if trouble is not None]
    return sorted(known, key=lambda pair: (-pair[1], pair[0]))
