"""Resuming: which sources are still to do, and refusal to mix models, options, shards or sources in one folder."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import ImageError, OutputError
from nirgen.files import is_temporary
from nirgen.translate import journal as journals
from nirgen.translate import manifest as manifests
from nirgen.translate.journal import join
from nirgen.translate.manifest import RUN_NAME
from nirgen.translate.pictures import ahead
from nirgen.translate.url import exists, sha256_of, unreachable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from nirgen.translate.items import Item, Row, Source, State, Translator
    from nirgen.translate.options import TranslateOptions
    from nirgen.translate.plan import Plan
    from nirgen.translate.records import Recorded
    from nirgen.translate.stores import FolderSink, UrlSink
    from nirgen.translate.url import Place


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


def check_owned(out: Path, plan: Plan, target: Place) -> None:
    """Refuse to overwrite what nirgen did not write.

    Args:
        out: Where the folder's records are, which need not exist.
        target: The output folder, which need not exist.
        plan: What a run would write there.

    Raises:
        OutputError: The folder is no translation folder, and has a file where an output would go, or a manifest of
            someone else's.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"OUT {str(out)!r} is not a folder; use another OUT")
    if manifests.read_header(out) is not None or (out / journals.FOLDER).is_dir():
        return
    if not _has_files(target):
        return
    names = (name for item in plan if not item.problem for name in [item.output])
    taken = [name for name in (RUN_NAME, *names) if exists(target / name)]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise OutputError(f"OUT {str(target)!r} has {taken[0]!r}{more} that nirgen did not write; use another OUT")


def _has_files(out: Place) -> bool:
    """Whether there is anything in a folder."""
    if isinstance(out, Path):
        return out.is_dir() and any(out.iterdir())
    try:
        return bool(out.entries())
    except OSError as error:
        raise unreachable(out, error) from error


def precision_of(translator: Translator) -> str | None:
    """What a translator computes in; None if it doesn't say."""
    return getattr(translator, "precision", None)


def check_unmixed(out: Path, recorded: Recorded, plan: Plan, translator: Translator, options: TranslateOptions) -> None:
    """Refuse to mix what different models, options, shards or folders of sources gave.

    Args:
        out: The output folder, for the error.
        recorded: What it holds.
        plan: What is to be added.
        translator: The model.
        options: What changes pixels.

    Raises:
        OutputError: It would be mixed; one line with what differs and the remedies.
    """
    root = _Root(recorded.run.get("source"), plan.root)
    models, other_options, rows = set(), False, 0
    for row in recorded.rows():
        rows += 1
        if row.status == "done":
            models.add(row.model_id)
            other_options |= row.options_id != options.id
            root.see(row)
    differences = []
    models.discard(translator.id)
    if models:
        differences.append(f"another model ({min(models)[:12]}, now {translator.id[:12]})")
    if other_options:
        differences.append(f"other options ({_changes(recorded.run.get('options'), options.described())})")
    differences += root.differences()
    shards = [str(shard or "all of it") for shard in (recorded.run.get("shard"), plan.shard)]
    if rows and recorded.run and shards[0] != shards[1]:
        differences.append(f"another shard ({shards[0]}, now {shards[1]})")
    precisions = [each or "fp32" for each in (recorded.run.get("precision"), precision_of(translator))]
    if rows and recorded.run and precisions[0] != precisions[1]:
        differences.append(f"another precision ({precisions[0]}, now {precisions[1]})")
    if differences:
        raise OutputError(
            f"OUT {str(out)!r} was made with {' and '.join(differences)}; "
            "use another OUT, or --redo to translate everything again"
        )


class _Root:
    """Whether rows are of another folder's sources: not if the folder is the same, or was moved as a whole.

    Without a readable run.json, nothing says that the folder is the same.

    Args:
        before: The folder that run.json names; None if unknown.
        root: The folder now.
    """

    def __init__(self, before: str | None, root: Place) -> None:
        self._before = before
        self._root = root
        self._same = before == str(root.resolve())
        self._missing: Row | None = None
        self._found = False
        self._other: Row | None = None

    def see(self, row: Row) -> None:
        """Take a row that is done into account."""
        if self._same:
            return
        if not exists(self._root / row.source):
            self._missing = self._missing or row
            return
        self._found = True
        if self._other is None and not _is_as_recorded(row, self._root):
            self._other = row

    def differences(self) -> list[str]:
        """What shows that it is another folder; empty if nothing does."""
        if self._other is not None:
            reason = f"with another {self._other.source!r} than {str(self._root)!r}"
        elif self._missing is not None and not self._found:
            reason = f"with {self._missing.source!r} that is not in {str(self._root)!r}"
        else:
            return []
        folder = "of an unknown folder, for run.json is missing or damaged"
        return [f"other sources ({folder if self._before is None else repr(self._before)}, {reason})"]


def _is_as_recorded(row: Row, root: Place) -> bool:
    """Whether the source of a row that is done has the recorded hash in a folder."""
    return row.status != "done" or sha256_of(root / row.source) == row.source_sha256


def check_redo(out: Path, recorded: Recorded, plan: Plan, translator: Translator, options: TranslateOptions) -> None:
    """Refuse a redo of some sources that would leave rows of another kind.

    Args:
        out: The output folder, for the error.
        recorded: What it holds.
        plan: What is to be done again.
        translator: The model.
        options: What changes pixels.

    Raises:
        OutputError: Rows that would stay are of another model, other options or another folder; one line with how many.
    """
    kind, same = (translator.id, options.id), recorded.run.get("source") == str(plan.root.resolve())
    foreign = [
        row.source
        for item, row in join(plan, recorded.rows())
        if item is None
        and row is not None
        and exists(plan.root / row.source)
        and ((row.model_id, row.options_id) != kind or not (same or _is_as_recorded(row, plan.root)))
    ]
    if foreign:
        raise OutputError(
            f"OUT {str(out)!r} has {len(foreign)} other images, such as {foreign[0]!r}, of another model, other "
            "options or another folder, which would be mixed with these; redo the whole folder, or use another OUT"
        )


def _changes(before: Any, now: Mapping[str, Any]) -> str:
    """Which options differ, for an error."""
    if not isinstance(before, dict):
        return "unknown ones"
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return ", ".join(f"{name} {before.get(name)}, now {now.get(name)}" for name in names) or "unknown ones"
