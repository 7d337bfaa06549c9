"""The scores of a collection: what is missing or outdated is computed, in threads, and kept."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from nirgen.scores.measuring import basis_of, measure
from nirgen.scores.names import IMAGE_SCORES, BoxScores, ItemScores
from nirgen.scores.table import empty_rows, finish, measured_rows, read_table, to_rows, write_scores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from nirgen.collection import Collection, Item
    from nirgen.dataset.plan import Report
    from nirgen.scores.measuring import Measured

SAVE_EVERY = 2000
"""Images measured, after which what is done is written."""

_ROWS_AT_ONCE = 256


class Scores:
    """The scores of a collection.

    Args:
        table: What `nirgen.scores.table.finish` made.

    Attributes:
        measured: How many images were measured to get them; the others were known.
    """

    def __init__(self, table: pa.Table, measured: int = 0) -> None:
        self.measured = measured
        self._table = table
        self._positions = {key: position for position, key in enumerate(table["key"].to_pylist())}
        self._rows: list[dict[str, Any]] = []
        self._first = 0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the scores that a folder has; those of images that it doesn't are None."""
        table = read_table(folder)
        return cls(finish(empty_rows()) if table is None else table)

    def of(self, item: Item) -> ItemScores:
        """The scores of an image and its boxes; None where they aren't known."""
        position = self._positions.get(item.key)
        if position is None:
            return ItemScores(dict.fromkeys(IMAGE_SCORES), (BoxScores(),) * len(item.boxes))
        row = self._row(position)
        known = {box["key"]: box for box in row["boxes"]}
        boxes = (known.get(box.key) for box in item.boxes)
        return ItemScores(
            image={name: row[name] for name in IMAGE_SCORES},
            boxes=tuple(
                BoxScores(box["fidelity"], box["trouble"], tuple(box["tags"])) if box else BoxScores() for box in boxes
            ),
            note=row["note"],
        )

    def worst_images(self) -> list[tuple[str, float]]:
        """The key and the trouble of each image that has one, the worst first, then by key."""
        both = zip(self._table["key"].to_pylist(), self._table["trouble"].to_pylist(), strict=True)
        return _worst_first([(key, trouble) for key, trouble in both if trouble is not None])

    def worst_boxes(self) -> list[tuple[str, float]]:
        """The key and the trouble of each box that has one, the worst first, then by key."""
        boxes = self._table["boxes"].combine_chunks().flatten()
        both = zip(boxes.field("key").to_pylist(), boxes.field("trouble").to_pylist(), strict=True)
        return _worst_first([(key, trouble) for key, trouble in both if trouble is not None])

    def _row(self, position: int) -> dict[str, Any]:
        """A row; those about it are made ready with it, for items are asked for in order."""
        if not self._first <= position < self._first + len(self._rows):
            self._first = position // _ROWS_AT_ONCE * _ROWS_AT_ONCE
            self._rows = self._table.slice(self._first, _ROWS_AT_ONCE).to_pylist()
        return self._rows[position - self._first]


def score(collection: Collection, report: Report | None = None, workers: int | None = None) -> Scores:
    """Score the images of a collection and their boxes.

    `scores.parquet` in the collection's folder holds what is known; what is missing, or was measured of other files or
    boxes, is measured. Whatever interrupts it, what is done is kept. Scores that were made beside an RGB image stay
    when it isn't there any more.

    Args:
        collection: What to score.
        report: Told how far the work has come.
        workers: Threads; by default one for each core.

    Raises:
        NirgenError: The collection can't be read, or the scores can't be written.
    """
    work = _Work(collection)
    try:
        with ThreadPoolExecutor(workers or _cores()) as threads:
            try:
                for done, (item, found) in enumerate(
                    _in_order(threads, collection, work, workers or _cores()), start=1
                ):
                    work.add(item, found)
                    if report is not None:
                        report("score", done, collection.count)
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
    except BaseException:
        work.save(ended=False)
        raise
    return Scores(work.save(ended=True), work.measured)


class _Work:
    """What is known of a collection, and what has been measured anew."""

    def __init__(self, collection: Collection) -> None:
        self._folder = collection.folder
        self._table = read_table(collection.folder)
        self._known = finish(empty_rows()) if self._table is None else self._table
        columns = (self._known[name].to_pylist() for name in ("key", "basis", "note"))
        self._rows = {key: (place, basis, note) for place, (key, basis, note) in enumerate(zip(*columns, strict=True))}
        self._states = np.zeros(len(self._known), np.int8)  # 0 not looked at, 1 to be kept, -1 measured anew
        self._waiting: list[tuple[Item, Measured]] = []
        self._parts: list[pa.Table] = []
        self._saved = 0
        self.measured = 0

    def is_known(self, item: Item) -> bool:
        """Whether an item need not be measured."""
        place, basis, note = self._rows.get(item.key, (-1, "", ""))
        if place < 0:
            return False
        bases = {basis_of(item, with_rgb=item.rgb is not None)}
        if item.rgb is None:
            bases.add(basis_of(item, with_rgb=True))
        same = basis in bases and not note
        self._states[place] = 1 if same else -1
        return same

    def add(self, item: Item, found: Measured | None) -> None:
        """Take what was measured of an item, if it was."""
        if found is None:
            return
        self._waiting.append((item, found))
        self.measured += 1
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self._gather()
        if self.measured - self._saved >= SAVE_EVERY:
            self.save(ended=False)

    def save(self, *, ended: bool) -> pa.Table:
        """Write what is known now, unless the file has it.

        Args:
            ended: Whether all items were looked at, so that rows of others can go.
        """
        self._gather()
        kept = self._states == 1 if ended else self._states >= 0
        if self._table is not None and self.measured == self._saved == 0 and kept.all():
            return self._table
        rows = pa.concat_tables([measured_rows(self._known.filter(pa.array(kept))), *self._parts])
        table = finish(rows)
        write_scores(self._folder, table)
        self._saved = self.measured
        return table

    def _gather(self) -> None:
        if self._waiting:
            self._parts.append(to_rows(self._waiting))
            self._waiting = []


def _in_order(
    threads: ThreadPoolExecutor, collection: Collection, work: _Work, workers: int
) -> Iterator[tuple[Item, Measured | None]]:
    """Each item with what was measured of it, or None if that is known; only so many are in flight."""
    flying: deque[tuple[Item, Future[Measured] | None]] = deque()
    for item in collection.items():
        flying.append((item, None if work.is_known(item) else threads.submit(measure, item)))
        while len(flying) > 4 * workers:
            yield _landed(*flying.popleft())
    while flying:
        yield _landed(*flying.popleft())


def _landed(item: Item, future: Future[Measured] | None) -> tuple[Item, Measured | None]:
    return item, None if future is None else future.result()


def _worst_first(pairs: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
