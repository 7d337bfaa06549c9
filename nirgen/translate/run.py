"""Translate a folder: `translate_folder`, which the command line calls as well."""

from __future__ import annotations

import json
import platform
import socket
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nirgen import __version__
from nirgen.errors import ImageError, OutputError
from nirgen.files import write_whole
from nirgen.translate import resume
from nirgen.translate.engine import translate_items
from nirgen.translate.journal import Journal
from nirgen.translate.manifest import NAME, Manifest, write_manifest
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.plan import make_plan
from nirgen.translate.storage import FileSource, FolderSink

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from nirgen.translate.manifest import Row
    from nirgen.translate.plan import Item, Plan
    from nirgen.translate.resume import Recorded, State
    from nirgen.translate.translator import Translator

_FAILURES_SHOWN = 10


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: `check` while what is done already is compared, `translate` afterwards.
        done: Sources that are through with this phase.
        total: Sources of this phase.
        row: What became of the last one, when translating.
    """

    phase: Literal["check", "translate"]
    done: int
    total: int
    row: Row | None = None


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        root: The folder that the sources' names are relative to.
        out: The translation folder.
        sources: How many sources the run was about.
        translated: How many it translated.
        changed: How many of these because their source had changed.
        unchanged: How many were done already.
        failed: How many failed; their rows say why.
        failures: (source, error) of the first few.
        dropped: Rows of sources that are gone, which the manifest does not have any more.
        lost: Rows of sources that the run was not about, which the manifest does not have any more, because their
            outputs are missing or altered.
        stray: Files in the folder that belong to no source, such as those of sources that are gone.
        other_files: Files beside the sources whose endings are not those of images.
        hidden: Files and folders beside the sources whose names begin with a dot.
        loops: Links to folders above them, which were not followed.
        seconds: How long it took.
    """

    root: str
    out: str
    sources: int
    translated: int
    changed: int
    unchanged: int
    failed: int
    failures: tuple[tuple[str, str], ...]
    dropped: int
    lost: int
    stray: int
    other_files: int
    hidden: int
    loops: tuple[str, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 if every source is done, 3 if some failed."""
        return 3 if self.failed else 0


@dataclass(frozen=True)
class _Job:
    """A run's parts, put together before anything is written."""

    plan: Plan
    out: Path
    translator: Translator
    options: TranslateOptions
    run: RunOptions

    @property
    def source(self) -> FileSource:
        return FileSource(self.run.pixel_limit)

    @property
    def sink(self) -> FolderSink:
        return FolderSink(self.out)

    def manifest(self, rows: Iterable[Row]) -> Manifest:
        return Manifest(tuple(rows), __version__, self.options.described(), self.translator.header)


def translate_folder(
    source: str | Path | None,
    out: str | Path,
    *,
    model: str | Path | Translator = "compact",
    options: TranslateOptions | None = None,
    run: RunOptions | None = None,
    listing: str | Path | None = None,
    device: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Translate the images of a folder, and write them with a manifest to another.

    What is done already is left alone; what a killed run left is taken up. Images that fail become rows of the
    manifest.

    Args:
        source: A folder, or an image file. With a listing: the folder that the listed names are relative to, or None.
        out: The translation folder; made if it does not exist.
        model: The name of a model, its file or run folder, or a translator.
        options: What changes pixels.
        run: What doesn't.
        listing: A text file with one path a line.
        device: Where a named model runs, such as `cpu` or `cuda`; None chooses.
        progress: Called after each source, in the calling thread.

    Returns:
        What was done; its `exit_code` is 0 only if every source is.

    Raises:
        NirgenError: There is nothing to translate, the folder can't be written or holds something else; or, with
            `on_error="stop"`, an image failed. The run can be taken up after the remedy.
    """
    started = time.monotonic()
    job = _prepare(source, out, model=model, options=options, run=run, listing=listing, device=device)
    report = progress or (lambda _: None)
    with _writing(job.out):
        job.out.mkdir(parents=True, exist_ok=True)
    with Journal(job.out) as journal:
        recorded = _recorded(job)
        kept, lost = resume.keep_others(recorded, job.plan, sink=job.sink, workers=job.run.workers)
        with _writing(job.out):
            resume.remove_temporary(job.out)
            if job.run.redo:
                _forget(job, kept, journal)
            _write_run(job, started, state="running")
        states = _check(job, recorded, report)
        done = [recorded.rows[item.source] for item, state in states if state == "done"]
        rows = _translate(job, [item for item, state in states if state != "done"], journal, report)
        manifest = job.manifest((*kept, *done, *rows))
        with _writing(job.out):
            write_manifest(job.out, manifest)
            journal.clear()
            seconds = time.monotonic() - started
            summary = _summarise(job, recorded, states, rows=rows, manifest=manifest, lost=lost, seconds=seconds)
            _write_run(job, started, state="ended", summary=summary)
    return summary


def look_ahead(
    source: str | Path | None,
    out: str | Path,
    *,
    model: str | Path | Translator = "compact",
    options: TranslateOptions | None = None,
    run: RunOptions | None = None,
    listing: str | Path | None = None,
    device: str | None = None,
) -> tuple[Plan, list[tuple[Item, State]]]:
    """What `translate_folder` would do with the same arguments; nothing is written.

    Returns:
        The plan, and for each of its items in order what is to be done with it and why.

    Raises:
        NirgenError: As `translate_folder`.
    """
    job = _prepare(source, out, model=model, options=options, run=run, listing=listing, device=device)
    recorded = _recorded(job)
    resume.keep_others(recorded, job.plan, sink=job.sink, workers=job.run.workers)
    return job.plan, _check(job, recorded, lambda _: None)


def _prepare(
    source: str | Path | None,
    out: str | Path,
    *,
    model: str | Path | Translator,
    options: TranslateOptions | None,
    run: RunOptions | None,
    listing: str | Path | None,
    device: str | None,
) -> _Job:
    """Put a run together, and refuse what can be refused before the model is loaded."""
    options = options or TranslateOptions()
    plan = make_plan(
        None if source is None else Path(source),
        Path(out),
        f".{options.format}",
        listing=None if listing is None else Path(listing),
    )
    resume.check_owned(Path(out), plan)
    return _Job(plan, Path(out), _load(model, device), options, run or RunOptions())


def _load(model: str | Path | Translator, device: str | None) -> Translator:
    if not isinstance(model, (str, Path)):
        return model
    from nirgen.model import load_model

    translator: Translator = load_model(model, device=device)
    return translator


@contextmanager
def _writing(out: Path) -> Generator[None]:
    """Turn what the system says against writing to the output folder into one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"OUT {str(out)!r} can't be written: {error.strerror}; what is done stays; mend this or use another OUT"
        ) from error


def _recorded(job: _Job) -> Recorded:
    """What counts of what the folder holds: only other sources, if the plan's are to be done again."""
    recorded = resume.read_recorded(job.out)
    if job.run.redo:
        return resume.forget_planned(job.out, recorded, job.plan, job.translator, job.options)
    resume.check_unmixed(job.out, recorded, job.plan, job.translator, job.options)
    return recorded


def _forget(job: _Job, kept: list[Row], journal: Journal) -> None:
    """Let the folder forget all rows but those that are kept, so that an interrupted redo is taken up like any run."""
    if kept:
        write_manifest(job.out, job.manifest(kept))
    else:
        (job.out / NAME).unlink(missing_ok=True)
    journal.clear()


def _check(job: _Job, recorded: Recorded, report: Callable[[Progress], None]) -> list[tuple[Item, State]]:
    """Find out what is done already."""
    states = []
    found = resume.find_states(job.plan.items, recorded, source=job.source, sink=job.sink, workers=job.run.workers)
    with closing(found):
        for done, state in enumerate(found, start=1):
            states.append(state)
            report(Progress("check", done, len(job.plan.items)))
    return states


def _translate(job: _Job, items: list[Item], journal: Journal, report: Callable[[Progress], None]) -> list[Row]:
    """Translate what is to do, and journal each row as it comes."""
    rows: list[Row] = []
    found = translate_items(
        items, source=job.source, sink=job.sink, translator=job.translator, options=job.options, run=job.run
    )
    with closing(found):
        for row in found:
            journal.append(row)
            rows.append(row)
            report(Progress("translate", len(rows), len(items), row))
            if row.status == "failed" and job.run.on_error == "stop":
                raise ImageError(f"{row.error} (stopped there; {len(rows) - 1} of {len(items)} were translated)")
    return rows


def _summarise(
    job: _Job,
    recorded: Recorded,
    states: list[tuple[Item, State]],
    *,
    rows: list[Row],
    manifest: Manifest,
    lost: int,
    seconds: float,
) -> Summary:
    failed = [row for row in rows if row.status == "failed"]
    changed = {item.source for item, state in states if state == "changed"}
    present = {row.source for row in manifest.rows}
    return Summary(
        root=str(job.plan.root),
        out=str(job.out),
        sources=len(states),
        translated=len(rows) - len(failed),
        changed=sum(row.source in changed for row in rows if row.status == "done"),
        unchanged=len(states) - len(rows),
        failed=len(failed),
        failures=tuple((row.source, row.error or "") for row in failed[:_FAILURES_SHOWN]),
        dropped=len(recorded.rows.keys() - present) - lost,
        lost=lost,
        stray=resume.count_stray(job.out, manifest.rows),
        other_files=job.plan.other_files,
        hidden=job.plan.hidden,
        loops=job.plan.loops,
        seconds=round(seconds, 3),
    )


def _write_run(job: _Job, started: float, *, state: str, summary: Summary | None = None) -> None:
    """Write `OUT/run.json`: all that must not be in the manifest, because it differs from run to run."""
    seconds = time.monotonic() - started
    values: dict[str, Any] = {
        "schema": resume.RUN_SCHEMA,
        "state": state,
        "source": str(job.plan.root.resolve()),
        "started": datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "nirgen": __version__,
        "device": str(getattr(job.translator, "device", "unknown")),
        "model_id": job.translator.id,
        "options": job.options.described(),
        "run_options": job.run.model_dump(mode="json"),
        "summary": None if summary is None else asdict(summary),
    }
    write_whole(job.out / resume.RUN_NAME, json.dumps(values, indent=2).encode() + b"\n")
