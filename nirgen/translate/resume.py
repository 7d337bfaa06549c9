"""Resuming: the sources that are still to do, and refusal to mix models, options, shards or sources in one folder."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from nirgen import runlog
from nirgen.errors import ImageError, OutputError, counted
from nirgen.translate.items import Item, Row, State, precision_of
from nirgen.translate.journal import outer_join
from nirgen.translate.ordered import ahead

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from nirgen.translate.job import Job
    from nirgen.translate.plan import Plan
    from nirgen.translate.records import Records
    from nirgen.translate.stores import Sink, Source


@dataclass(frozen=True, slots=True)
class Others:
    """Rows of sources that a run is not about."""

    kept: dict[str, str | None] = field(default_factory=dict)  # source -> output; both are still there
    lost: frozenset[str] = frozenset()  # sources that are there, without their outputs
    gone: frozenset[str] = frozenset()  # sources that are not there any more


def find_others(records: Records, plan: Plan, job: Job) -> Others:
    """Sort the rows of sources that a run is not about; OutputError if the plan has an output of such a source."""
    if records.empty:
        return Others()
    others = [row for item, row in outer_join(plan, records.rows()) if item is None and row is not None]
    there = [row for row in others if job.source.has(row.source)]
    gone = frozenset(row.source for row in others) - {row.source for row in there}
    with ThreadPoolExecutor(job.run.workers) as pool:
        held = list(ahead(pool, partial(_holds, job.sink), there, 4 * job.run.workers))
    kept = {row.source: row.output for row, good in zip(there, held, strict=True) if good}
    lost = frozenset(row.source for row in there) - kept.keys()
    owners = {output: source for source, output in kept.items() if output is not None}
    for item in plan if owners else ():
        if item.output in owners and not item.problem:
            raise OutputError(
                f"{item.source!r} and {owners[item.output]!r}, translated before, would both be {item.output!r}; "
                "translate them in one run with --redo, or use another OUT"
            )
    return Others(kept, lost, gone)


def _holds(sink: Sink, row: Row) -> bool:
    return row.output is None or row.output_sha256 is None or sink.holds(row.output, row.output_sha256)


def find_states(items: Iterable[Item], records: Records | None, job: Job) -> Generator[tuple[Item, State]]:
    """Compare sources and outputs with the recorded hashes; only sources with a row of success are read.

    Args:
        items: The sources, sorted.
        records: Rows of the present model and options; None ignores all rows.
        job: Has source, sink and number of workers.
    """
    if records is None or records.empty:
        yield from ((item, "fails" if item.problem else "new") for item in items)
        return
    pairs = ((item, row) for item, row in outer_join(items, records.rows()) if item is not None)
    with ThreadPoolExecutor(job.run.workers) as pool:
        try:
            yield from ahead(pool, partial(_find_state, job), pairs, 4 * job.run.workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _find_state(job: Job, pair: tuple[Item, Row | None]) -> tuple[Item, State]:
    (item, row), source, sink = pair, job.source, job.sink
    if item.problem or row is None:
        return item, "fails" if item.problem else "new"
    unwanted = row.damage is not None and job.run.damaged == "fail"
    if unwanted or row.status != "done" or row.output is None or row.output_sha256 is None:
        return item, "retry"
    if row.output != item.output:
        return item, "renamed"
    try:
        if hashlib.sha256(source.read(item)).hexdigest() != row.source_sha256:
            return item, "changed"
    except ImageError:
        return item, "changed"
    return item, "done" if sink.holds(row.output, row.output_sha256) else "missing"


def check_owned(records: Records, plan: Plan, sink: Sink) -> None:
    """Refuse an OUT that is no translation folder, and has files where outputs would go or another `run.json`."""
    if records.exist or sink.is_empty():
        return
    taken = [name for name in (runlog.NAME, *(item.output for item in plan if not item.problem)) if sink.has(name)]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise OutputError(f"OUT {str(sink.out)!r} has {taken[0]!r}{more} that nirgen did not write; use another OUT")


def check_unmixed(records: Records, plan: Plan, job: Job) -> None:
    """Refuse to mix the outputs of different models, options, precisions, shards or folders of sources."""
    models, other_options, rows = set(), False, 0
    for row in records.rows():
        rows += 1
        if row.status == "done":
            models.add(row.model_id)
            other_options |= row.options_id != job.options.id
    differences = []
    models.discard(job.translator.id)
    if models:
        differences.append(f"another model ({min(models)[:12]}, now {job.translator.id[:12]})")
    if other_options:
        differences.append(f"other options ({_changes(records.run.get('options'), job.options.described())})")
    differences += _other_sources(records, job.source)
    if rows and records.run:
        shards = [str(shard or "all of it") for shard in (records.run.get("shard"), plan.shard)]
        if shards[0] != shards[1]:
            differences.append(f"another shard ({shards[0]}, now {shards[1]})")
        precisions = [each or "fp32" for each in (records.run.get("precision"), precision_of(job.translator))]
        if precisions[0] != precisions[1]:
            differences.append(f"another precision ({precisions[0]}, now {precisions[1]})")
    if differences:
        raise OutputError(
            f"OUT {str(records.folder)!r} was made with {' and '.join(differences)}; "
            "use another OUT, or --redo to translate everything again"
        )


def _other_sources(records: Records, source: Source) -> list[str]:
    """Evidence that rows are of another folder's sources: not if it is the same folder, or was moved as a whole."""
    before = records.run.get("source")
    if before == str(source.root.resolve()):
        return []
    missing, found, other = None, False, None
    for row in records.rows():
        if row.status != "done":
            continue
        if not source.has(row.source):
            missing = missing or row.source
            continue
        found = True
        if not _is_as_recorded(row, source):
            other = row.source
            break
    if other is not None:
        reason = f"with another {other!r} than {str(source.root)!r}"
    elif missing is not None and not found:
        reason = f"with {missing!r} that is not in {str(source.root)!r}"
    else:
        return []
    folder = "of an unknown folder, for run.json is missing or damaged" if before is None else repr(before)
    return [f"other sources ({folder}, {reason})"]


def _is_as_recorded(row: Row, source: Source) -> bool:
    return row.status != "done" or source.sha256(row.source) == row.source_sha256


def check_redo(records: Records, plan: Plan, job: Job) -> None:
    """Refuse a redo of some sources that would leave rows of another model, other options or another folder."""
    kind = (job.translator.id, job.options.id)
    same = records.run.get("source") == str(job.source.root.resolve())
    foreign = [
        row.source
        for item, row in outer_join(plan, records.rows())
        if item is None
        and row is not None
        and job.source.has(row.source)
        and ((row.model_id, row.options_id) != kind or not (same or _is_as_recorded(row, job.source)))
    ]
    if foreign:
        raise OutputError(
            f"OUT {str(records.folder)!r} has {counted(len(foreign), 'other image')}, such as {foreign[0]!r}, of "
            "another model, other options or another folder, which would be mixed with these; redo the whole folder, "
            "or use another OUT"
        )


def _changes(before: Any, now: Mapping[str, Any]) -> str:
    if not isinstance(before, dict):
        return "unknown ones"
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return ", ".join(f"{name} {before.get(name)}, now {now.get(name)}" for name in names) or "unknown ones"
