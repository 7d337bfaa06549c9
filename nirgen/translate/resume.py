"""Which sources are still to do, by what an output folder holds already."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nirgen.errors import ImageError, OutputError
from nirgen.files import is_temporary
from nirgen.translate import manifest as manifests
from nirgen.translate.engine import ahead
from nirgen.translate.ordered import join
from nirgen.translate.recorded import RUN_NAME
from nirgen.translate.url import exists

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from nirgen.translate.manifest import Row
    from nirgen.translate.plan import Item, Plan
    from nirgen.translate.recorded import Recorded
    from nirgen.translate.remote import UrlSink
    from nirgen.translate.storage import FolderSink, Source

State = Literal["new", "done", "changed", "retry", "missing", "renamed", "fails"]


@dataclass(frozen=True, slots=True)
class Others:
    """Rows of sources that a run is not about.

    Attributes:
        kept: Those whose sources are still there, and so are their outputs; (source, output).
        lost: Sources that are still there, but not their outputs.
        gone: Sources that are not there any more.
    """

    kept: dict[str, str | None] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def find_others(recorded: Recorded, plan: Plan, *, sink: FolderSink | UrlSink, workers: int) -> Others:
    """What becomes of the rows of sources that this run is not about.

    Args:
        recorded: What the output folder holds.
        plan: What this run is about.
        sink: Knows the outputs.
        workers: Threads.

    Raises:
        OutputError: The plan has an output that belongs to such a source.
    """
    if recorded.empty:
        return Others()
    there: list[Row] = []
    gone = set()
    for item, row in join(plan, recorded.rows()):
        if item is None and row is not None:
            if exists(plan.root / row.source):
                there.append(row)
            else:
                gone.add(row.source)
    with ThreadPoolExecutor(workers) as pool:
        holds = list(ahead(pool, partial(_holds, sink), there, 4 * workers))
    kept = {row.source: row.output for row, held in zip(there, holds, strict=True) if held}
    lost = frozenset(row.source for row, held in zip(there, holds, strict=True) if not held)
    owners = {output: source for source, output in kept.items() if output is not None}
    for item in plan if owners else ():
        if item.output in owners and not item.problem:
            raise OutputError(
                f"{item.source!r} and {owners[item.output]!r}, translated before, would both be {item.output!r}; "
                "translate them in one run with --redo, or use another OUT"
            )
    return Others(kept, lost, frozenset(gone))


def _holds(sink: FolderSink | UrlSink, row: Row) -> bool:
    return row.output is None or row.output_sha256 is None or sink.holds(row.output, row.output_sha256)


def find_states(
    items: Iterable[Item],
    recorded: Recorded,
    *,
    source: Source,
    sink: FolderSink | UrlSink,
    workers: int,
) -> Generator[tuple[Item, State]]:
    """Compare sources and outputs with what is recorded, by their hashes.

    Only what has a row of success is read.

    Args:
        items: The sources, sorted.
        recorded: What the output folder holds, of the present model and options.
        source: Reads sources.
        sink: Knows the outputs.
        workers: Threads.

    Yields:
        Each item in order: `done`; or why it is to do: `new`, its source `changed`, it failed before (`retry`), its
        output is `missing` or altered, or it is to be `renamed`; or it `fails` whatever its content.
    """
    if recorded.empty:
        yield from ((item, "fails" if item.problem else "new") for item in items)
        return
    pairs = ((item, row) for item, row in join(items, recorded.rows()) if item is not None)
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from ahead(pool, partial(_find_state, source=source, sink=sink), pairs, 4 * workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _find_state(pair: tuple[Item, Row | None], *, source: Source, sink: FolderSink | UrlSink) -> tuple[Item, State]:
    item, row = pair
    if item.problem or row is None:
        return item, "fails" if item.problem else "new"
    if row.status != "done" or row.output is None or row.output_sha256 is None:
        return item, "retry"
    if row.output != item.output:
        return item, "renamed"
    try:
        if hashlib.sha256(source.read(item)).hexdigest() != row.source_sha256:
            return item, "changed"
    except ImageError:
        return item, "changed"
    return item, "done" if sink.holds(row.output, row.output_sha256) else "missing"


def remove_temporary(out: Path) -> None:
    """Remove the temporary files that killed runs left; the caller holds the folder's lock."""
    for folder, _, names in os.walk(out):
        for name in names:
            if is_temporary(name):
                (Path(folder) / name).unlink()


def count_files(out: Path) -> int:
    """How many files a translation folder has, manifest, run.json and hidden ones aside."""
    count = 0
    for folder, folders, names in os.walk(out):
        folders[:] = [name for name in folders if not name.startswith(".")]
        own = {manifests.NAME, RUN_NAME} if Path(folder) == out else set()
        count += sum(not name.startswith(".") and name not in own for name in names)
    return count
