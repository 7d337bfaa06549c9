"""Translate a folder: `translate_folder`, which the command line calls as well."""

from __future__ import annotations

import json
import platform
import socket
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nirgen import __version__
from nirgen.errors import ImageError, OutputError
from nirgen.files import write_whole
from nirgen.translate import resume
from nirgen.translate.engine import translate_items
from nirgen.translate.journal import Journal
from nirgen.translate.manifest import NAME, Manifest, write_rows
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.plan import make_plan
from nirgen.translate.profile import Profile, Stopwatch
from nirgen.translate.storage import FileSource, FolderSink, FullError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from nirgen.models.precision import Wanted
    from nirgen.translate.manifest import Row
    from nirgen.translate.plan import Item, Plan
    from nirgen.translate.resume import Others, Recorded, State
    from nirgen.translate.shard import Shard
    from nirgen.translate.translator import Translator

_FAILURES_SHOWN = 10


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: `check` for a source that was found to be done already, `translate` for one that was translated.
        done: How many there are of these.
        total: Of all sources, or when translating, of those that aren't known to be done already; None while they are
            still being counted.
        row: What became of the last one, when translating.
    """

    phase: Literal["check", "translate"]
    done: int
    total: int | None
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
        profile: Where the time went.
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
    profile: Profile

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
    source: FileSource
    sink: FolderSink
    stopped: Callable[[], bool]
    report: Callable[[Progress], None]

    def header(self) -> Manifest:
        return Manifest((), __version__, self.options.described(), self.translator.header, self._shard())

    def _shard(self) -> dict[str, Any] | None:
        if self.plan.shard is None:
            return None
        survey = self.plan.survey()
        return {**asdict(self.plan.shard), "sources": survey.sources, "listing_sha256": survey.listing_sha256}


@dataclass
class _Tally:
    """What has become of a run's sources so far; it grows with failures and changes only, not with the sources."""

    unchanged: int = 0
    translated: int = 0
    changed: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    changing: set[str] = field(default_factory=set)

    @property
    def through(self) -> int:
        return self.translated + self.failed

    def add(self, row: Row) -> None:
        if row.status == "done":
            self.translated += 1
            self.changed += row.source in self.changing
        else:
            self.failed += 1
            if len(self.failures) < _FAILURES_SHOWN:
                self.failures.append((row.source, row.error or ""))
        self.changing.discard(row.source)

    def to_do(self, planned: int | None) -> int | None:
        return None if planned is None else planned - self.unchanged


def translate_folder(
    source: str | Path | None,
    out: str | Path,
    *,
    model: str | Path | Translator = "compact",
    options: TranslateOptions | None = None,
    run: RunOptions | None = None,
    listing: str | Path | None = None,
    shard: Shard | None = None,
    device: str | None = None,
    precision: Wanted = "auto",
    progress: Callable[[Progress], None] | None = None,
    stopped: Callable[[], bool] | None = None,
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
        shard: The part of the sources to translate; None for all.
        device: Where a named model runs, such as `cpu` or `cuda`; None chooses.
        precision: What a named model computes in: `fp32`, `bf16`, `fp16`, or `auto` (see `nirgen.load_model`).
        progress: Called after each source, in the calling thread.
        stopped: Asked before each batch; once it is true, what is in flight is finished, and KeyboardInterrupt raised.

    Returns:
        What was done; its `exit_code` is 0 only if every source is.

    Raises:
        NirgenError: There is nothing to translate, the folder can't be written or holds something else; or, with
            `on_error="stop"`, an image failed. The run can be taken up after the remedy.
        KeyboardInterrupt: It was stopped, and can be taken up.
    """
    started = time.monotonic()
    job = _prepare(
        source, out, model=model, options=options, run=run, listing=listing, shard=shard, device=device,
        precision=precision, stopped=stopped, report=progress,
    )  # fmt: skip
    with _writing(job.out):
        job.out.mkdir(parents=True, exist_ok=True)
    with Journal(job.out) as journal:
        recorded, others = _settle(job)
        with _writing(job.out):
            resume.remove_temporary(job.out)
            if job.run.redo:
                recorded = _forget(job, recorded, others, journal)
            _write_run(job, started, state="running")
        tally, stopwatch = _Tally(), Stopwatch()
        _translate(job, recorded, journal, tally, stopwatch)
        profile = stopwatch.profile()
        with _writing(job.out):
            outputs = _write_manifest(job, others.gone | others.lost)
            journal.clear()
            seconds = time.monotonic() - started
            summary = _summarise(job, tally, others, outputs=outputs, seconds=seconds, profile=profile)
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
    shard: Shard | None = None,
    device: str | None = None,
    precision: Wanted = "auto",
) -> tuple[Plan, list[tuple[Item, State]]]:
    """What `translate_folder` would do with the same arguments; nothing is written.

    Returns:
        The plan, and for each of its items in order what is to be done with it and why.

    Raises:
        NirgenError: As `translate_folder`.
    """
    job = _prepare(
        source, out, model=model, options=options, run=run, listing=listing, shard=shard, device=device,
        precision=precision,
    )  # fmt: skip
    recorded, _ = _settle(job)
    if job.run.redo:
        recorded = resume.Recorded(job.out, {}, forgotten=True)
    return job.plan, list(_states(job, recorded))


def _prepare(
    source: str | Path | None,
    out: str | Path,
    *,
    model: str | Path | Translator,
    options: TranslateOptions | None,
    run: RunOptions | None,
    listing: str | Path | None,
    shard: Shard | None,
    device: str | None,
    precision: Wanted,
    stopped: Callable[[], bool] | None = None,
    report: Callable[[Progress], None] | None = None,
) -> _Job:
    """Put a run together, and refuse what can be refused before the model is loaded."""
    options, run = options or TranslateOptions(), run or RunOptions()
    plan = make_plan(
        None if source is None else Path(source),
        Path(out),
        f".{options.format}",
        listing=None if listing is None else Path(listing),
        shard=shard,
    )
    resume.check_owned(Path(out), plan)
    return _Job(
        plan=plan,
        out=Path(out),
        translator=_load(model, device, precision),
        options=options,
        run=run,
        source=FileSource(run.pixel_limit),
        sink=FolderSink(Path(out)),
        stopped=stopped or (lambda: False),
        report=report or (lambda _: None),
    )


def _load(model: str | Path | Translator, device: str | None, precision: Wanted) -> Translator:
    if not isinstance(model, (str, Path)):
        return model
    from nirgen.model import load_model

    translator: Translator = load_model(model, device=device, precision=precision)
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


def _settle(job: _Job) -> tuple[Recorded, Others]:
    """What the folder holds, and what becomes of rows that this run is not about; refuses to mix."""
    recorded = resume.read_recorded(job.out)
    check = resume.check_redo if job.run.redo else resume.check_unmixed
    check(job.out, recorded, job.plan, job.translator, job.options)
    return recorded, resume.find_others(recorded, job.plan, sink=job.sink, workers=job.run.workers)


def _forget(job: _Job, recorded: Recorded, others: Others, journal: Journal) -> Recorded:
    """Let the folder forget all rows but those that are kept, so that an interrupted redo is taken up like any run."""
    if others.kept:
        write_rows(job.out, (row for row in recorded.rows() if row.source in others.kept), job.header())
    else:
        (job.out / NAME).unlink(missing_ok=True)
    journal.clear()
    return resume.read_recorded(job.out)


def _states(job: _Job, recorded: Recorded) -> Generator[tuple[Item, State]]:
    return resume.find_states(job.plan, recorded, source=job.source, sink=job.sink, workers=job.run.workers)


def _translate(job: _Job, recorded: Recorded, journal: Journal, tally: _Tally, stopwatch: Stopwatch) -> None:
    """Translate what is to do, and journal each row as it comes."""
    states = _states(job, recorded)
    rows = translate_items(
        _to_do(job, states, tally),
        source=job.source,
        sink=job.sink,
        translator=job.translator,
        options=job.options,
        run=job.run,
        stopwatch=stopwatch,
        stopped=job.stopped,
    )
    with closing(states), closing(rows):
        try:
            for row in rows:
                journal.append(row)
                tally.add(row)
                job.report(Progress("translate", tally.through, tally.to_do(job.plan.count()), row))
                if row.status == "failed" and job.run.on_error == "stop":
                    of = tally.to_do(job.plan.survey().planned)
                    raise ImageError(f"{row.error} (stopped there; {tally.through - 1} of {of} were translated)")
        except FullError as error:
            raise FullError(f"{error}{_space_needed(job, tally)}") from error
    if job.stopped():
        raise KeyboardInterrupt


def _to_do(job: _Job, states: Iterator[tuple[Item, State]], tally: _Tally) -> Iterator[Item]:
    """The items that are not done yet, for as long as the run is not to stop."""
    for item, state in states:
        if job.stopped():
            return
        if state == "done":
            tally.unchanged += 1
            job.report(Progress("check", tally.unchanged, job.plan.count()))
            continue
        if state == "changed":
            tally.changing.add(item.source)
        yield item


def _space_needed(job: _Job, tally: _Tally) -> str:
    """How much space the images that are left will take, by those that are written."""
    left = (tally.to_do(job.plan.survey().planned) or 0) - tally.through
    if not job.sink.images:
        return f" ({left} images are left)"
    each = job.sink.bytes / job.sink.images
    return f" (about {left * each / 1e6:.1f} MB are needed for the {left} images left, at {each / 1e3:.0f} kB each)"


def _write_manifest(job: _Job, dropped: frozenset[str]) -> int:
    """Join the old manifest and the journal; the number of outputs that it names."""
    outputs = 0

    def rows() -> Iterator[Row]:
        nonlocal outputs
        for row in resume.read_recorded(job.out).rows():
            if row.source not in dropped:
                outputs += row.output is not None
                yield row

    write_rows(job.out, rows(), job.header())
    return outputs


def _summarise(job: _Job, tally: _Tally, others: Others, *, outputs: int, seconds: float, profile: Profile) -> Summary:
    return Summary(
        root=str(job.plan.root),
        out=str(job.out),
        sources=tally.unchanged + tally.through,
        translated=tally.translated,
        changed=tally.changed,
        unchanged=tally.unchanged,
        failed=tally.failed,
        failures=tuple(tally.failures),
        dropped=0 if job.run.redo else len(others.gone),
        lost=len(others.lost),
        stray=max(0, resume.count_files(job.out) - outputs),
        other_files=job.plan.other_files,
        hidden=job.plan.hidden,
        loops=job.plan.loops,
        seconds=round(seconds, 3),
        profile=profile,
    )


def _write_run(job: _Job, started: float, *, state: str, summary: Summary | None = None) -> None:
    """Write `OUT/run.json`: all that must not be in the manifest, because it differs from run to run."""
    seconds = time.monotonic() - started
    values: dict[str, Any] = {
        "schema": resume.RUN_SCHEMA,
        "state": state,
        "source": str(job.plan.root.resolve()),
        "shard": None if job.plan.shard is None else str(job.plan.shard),
        "started": datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "nirgen": __version__,
        "device": str(getattr(job.translator, "device", "unknown")),
        "precision": resume.precision_of(job.translator),
        "model_id": job.translator.id,
        "options": job.options.described(),
        "run_options": job.run.model_dump(mode="json"),
        "summary": None if summary is None else asdict(summary),
    }
    write_whole(job.out / resume.RUN_NAME, json.dumps(values, indent=2).encode() + b"\n")
