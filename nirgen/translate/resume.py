"""What an output folder holds already, and which sources are still to do."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nirgen.errors import ImageError, OutputError
from nirgen.files import is_temporary
from nirgen.translate import journal as journals
from nirgen.translate import manifest as manifests
from nirgen.translate.engine import ahead

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from nirgen.translate.manifest import Row
    from nirgen.translate.options import TranslateOptions
    from nirgen.translate.plan import Item, Plan
    from nirgen.translate.storage import FileSource, FolderSink
    from nirgen.translate.translator import Translator

RUN_NAME = "run.json"
RUN_SCHEMA = 1

State = Literal["new", "done", "changed", "retry", "missing", "renamed", "fails"]


@dataclass(frozen=True)
class Recorded:
    """What an output folder says of itself.

    Attributes:
        rows: By source; the journal's before the manifest's, the later before the earlier.
        run: `run.json` of the last run; empty if there is none, or it is damaged.
    """

    rows: Mapping[str, Row]
    run: Mapping[str, Any]


def read_recorded(out: Path) -> Recorded:
    """Read manifest, journal and run.json of a folder, which need not exist.

    Raises:
        OutputError: One of them is not of this nirgen's making.
    """
    manifest = manifests.read_manifest(out)
    rows = {row.source: row for row in manifest.rows} if manifest is not None else {}
    rows.update((row.source, row) for row in journals.read_journal(out))
    return Recorded(rows, _read_run(out))


def _read_run(out: Path) -> dict[str, Any]:
    """`run.json`; empty if it is missing or damaged, for then nothing relies on it (see `_other_root`)."""
    try:
        run = json.loads((out / RUN_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(run, dict) or "schema" not in run:
        return {}
    if run["schema"] != RUN_SCHEMA:
        raise OutputError(
            f"{str(out / RUN_NAME)!r} has schema {run['schema']}, and this nirgen reads {RUN_SCHEMA}; use another OUT"
        )
    return run


def check_owned(out: Path, plan: Plan) -> None:
    """Refuse to overwrite what nirgen did not write.

    Args:
        out: The output folder, which need not exist.
        plan: What a run would write there.

    Raises:
        OutputError: The folder is no translation folder, and has a file where an output would go, or a manifest of
            someone else's.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"OUT {str(out)!r} is not a folder; use another OUT")
    if manifests.read_manifest(out) is not None or (out / journals.FOLDER).is_dir():
        return
    names = [RUN_NAME, *(item.output for item in plan.items if not item.problem)]
    taken = [name for name in names if os.path.lexists(out / name)] if out.is_dir() else []
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise OutputError(f"OUT {str(out)!r} has {taken[0]!r}{more} that nirgen did not write; use another OUT")


def check_unmixed(out: Path, recorded: Recorded, plan: Plan, translator: Translator, options: TranslateOptions) -> None:
    """Refuse to mix what different models, options or folders of sources gave.

    Args:
        out: The output folder, for the error.
        recorded: What it holds.
        plan: What is to be added.
        translator: The model.
        options: What changes pixels.

    Raises:
        OutputError: It would be mixed; one line with what differs and the remedies.
    """
    done = [row for row in recorded.rows.values() if row.status == "done"]
    differences = []
    models = sorted({row.model_id for row in done} - {translator.id})
    if models:
        differences.append(f"another model ({models[0][:12]}, now {translator.id[:12]})")
    if any(row.options_id != options.id for row in done):
        differences.append(f"other options ({_changes(recorded.run.get('options'), options.described())})")
    differences += _other_root(recorded, done, plan.root)
    if differences:
        raise OutputError(
            f"OUT {str(out)!r} was made with {' and '.join(differences)}; "
            "use another OUT, or --redo to translate everything again"
        )


def _other_root(recorded: Recorded, done: Iterable[Row], root: Path) -> list[str]:
    """What shows that rows are of another folder's sources: none if the folder is the same, or was moved as a whole.

    Without a readable run.json, nothing says that the folder is the same.
    """
    before = recorded.run.get("source")
    rows = [row for row in done if before != str(root.resolve())]
    found = [row for row in rows if os.path.lexists(root / row.source)]
    if rows and not found:
        reason = f"with {rows[0].source!r} that is not in {str(root)!r}"
    else:
        other = next((row for row in found if not _is_as_recorded(row, root)), None)
        reason = f"with another {other.source!r} than {str(root)!r}" if other is not None else ""
    folder = repr(before) if before is not None else "of an unknown folder, for run.json is missing or damaged"
    return [f"other sources ({folder}, {reason})"] if reason else []


def _is_as_recorded(row: Row, root: Path) -> bool:
    """Whether the source of a row that is done has the recorded hash in a folder."""
    try:
        with (root / row.source).open("rb") as file:
            return row.status != "done" or hashlib.file_digest(file, "sha256").hexdigest() == row.source_sha256
    except OSError:
        return row.status != "done"


def forget_planned(
    out: Path, recorded: Recorded, plan: Plan, translator: Translator, options: TranslateOptions
) -> Recorded:
    """What counts of a folder for a redo: the rows of the sources that it is not about.

    Args:
        out: The output folder, for the error.
        recorded: What it holds.
        plan: What is to be done again.
        translator: The model.
        options: What changes pixels.

    Returns:
        The same without the plan's sources.

    Raises:
        OutputError: Rows that would stay are of another model, other options or another folder; one line with how many.
    """
    planned = {item.source for item in plan.items}
    others = {source: row for source, row in recorded.rows.items() if source not in planned}
    kind, same = (translator.id, options.id), recorded.run.get("source") == str(plan.root.resolve())
    foreign = [
        row
        for row in others.values()
        if os.path.lexists(plan.root / row.source)
        and ((row.model_id, row.options_id) != kind or not (same or _is_as_recorded(row, plan.root)))
    ]
    if foreign:
        raise OutputError(
            f"OUT {str(out)!r} has {len(foreign)} other images, such as {foreign[0].source!r}, of another model, other "
            "options or another folder, which would be mixed with these; redo the whole folder, or use another OUT"
        )
    return Recorded(others, recorded.run)


def keep_others(recorded: Recorded, plan: Plan, *, sink: FolderSink, workers: int) -> tuple[list[Row], int]:
    """The rows of sources that this run is not about, but that are still there, and so are their outputs.

    Args:
        recorded: What the output folder holds.
        plan: What this run is about.
        sink: Knows the outputs.
        workers: Threads.

    Returns:
        The rows, and how many others are left out because their outputs are missing or altered; rows whose source is
        gone are left out as well.

    Raises:
        OutputError: The plan has an output that belongs to such a source.
    """
    planned = {item.source for item in plan.items}
    others = [row for row in recorded.rows.values() if row.source not in planned]
    there = [row for row in others if os.path.lexists(plan.root / row.source)]
    with ThreadPoolExecutor(workers) as pool:
        holds = ahead(pool, partial(_holds, sink), there, 4 * workers)
        kept = [row for row, held in zip(there, holds, strict=True) if held]
    owners = {row.output: row.source for row in kept if row.output is not None}
    for item in plan.items:
        if item.output in owners and not item.problem:
            raise OutputError(
                f"{item.source!r} and {owners[item.output]!r}, translated before, would both be {item.output!r}; "
                "translate them in one run with --redo, or use another OUT"
            )
    return kept, len(there) - len(kept)


def _holds(sink: FolderSink, row: Row) -> bool:
    return row.output is None or row.output_sha256 is None or sink.holds(row.output, row.output_sha256)


def find_states(
    items: Iterable[Item],
    recorded: Recorded,
    *,
    source: FileSource,
    sink: FolderSink,
    workers: int,
) -> Generator[tuple[Item, State]]:
    """Compare sources and outputs with what is recorded, by their hashes.

    Only what has a row of success is read.

    Args:
        items: The sources.
        recorded: What the output folder holds, of the present model and options.
        source: Reads sources.
        sink: Knows the outputs.
        workers: Threads.

    Yields:
        Each item in order: `done`; or why it is to do: `new`, its source `changed`, it failed before (`retry`), its
        output is `missing` or altered, or it is to be `renamed`; or it `fails` whatever its content.
    """
    state = partial(_find_state, rows=recorded.rows, source=source, sink=sink)
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from ahead(pool, state, items, 4 * workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _find_state(item: Item, *, rows: Mapping[str, Row], source: FileSource, sink: FolderSink) -> tuple[Item, State]:
    row = rows.get(item.source)
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


def count_stray(out: Path, rows: Iterable[Row]) -> int:
    """How many files of a translation folder belong to no source; hidden ones aside."""
    known = {row.output for row in rows} | {manifests.NAME, RUN_NAME}
    count = 0
    for folder, folders, names in os.walk(out):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = os.path.relpath(folder, out)
        prefix = "" if relative == "." else relative + "/"
        count += sum(not name.startswith(".") and prefix + name not in known for name in names)
    return count


def _changes(before: Any, now: Mapping[str, Any]) -> str:
    """Which options differ, for an error."""
    if not isinstance(before, dict):
        return "unknown ones"
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return ", ".join(f"{name} {before.get(name)}, now {now.get(name)}" for name in names) or "unknown ones"
