"""A run's parts, put together before anything is written, and what it records of itself."""

from __future__ import annotations

import json
import platform
import socket
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nirgen._version import __version__
from nirgen.errors import OutputError
from nirgen.files import write_whole
from nirgen.translate import resume
from nirgen.translate import resume as mixing
from nirgen.translate.manifest import NAME, RUN_NAME, Manifest, write_rows
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.plan import make_plan
from nirgen.translate.records import RUN_SCHEMA, read_recorded
from nirgen.translate.resume import precision_of
from nirgen.translate.stores import FileSource, FolderSink, UrlSink, UrlSource, count_outputs
from nirgen.translate.summary import Summary
from nirgen.translate.url import Url, reason, to_place

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from nirgen.devices import Wanted
    from nirgen.translate.items import Item, Row, Source, State, Translator
    from nirgen.translate.journal import Journal
    from nirgen.translate.options import Shard
    from nirgen.translate.plan import Plan
    from nirgen.translate.records import Recorded, Records
    from nirgen.translate.resume import Others
    from nirgen.translate.summary import Count, Profile, Progress, Stopwatch
    from nirgen.translate.url import Place


class Engine(Protocol):
    """What translates the sources that are to do; see `translate_items`."""

    def __call__(
        self,
        items: Iterable[Item],
        *,
        source: Source,
        sink: FolderSink | UrlSink,
        translator: Translator,
        options: TranslateOptions,
        run: RunOptions,
        stopwatch: Stopwatch | None = None,
        stopped: Callable[[], bool] = ...,
    ) -> Generator[Row]:
        """Translate and store; give the row of each source."""
        ...


@dataclass(frozen=True)
class Job:
    """A run's parts, put together before anything is written."""

    plan: Plan
    records: Records
    target: Place
    translator: Translator
    options: TranslateOptions
    run: RunOptions
    source: Source
    sink: FolderSink | UrlSink
    stopped: Callable[[], bool]
    report: Callable[[Progress], None]

    @property
    def out(self) -> Path:
        """Where manifest, journal and run.json are."""
        return self.records.folder

    def header(self) -> Manifest:
        """The manifest's, without rows."""
        return Manifest((), __version__, self.options.described(), self.translator.header, self._shard())

    def _shard(self) -> dict[str, Any] | None:
        if self.plan.shard is None:
            return None
        survey = self.plan.survey()
        return {**asdict(self.plan.shard), "sources": survey.sources, "listing_sha256": survey.listing_sha256}


def prepare(
    source: str | Path | Url | None,
    out: Place,
    records: Records,
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
) -> Job:
    """Put a run together, and refuse what can be refused before the model is loaded."""
    options, run = options or TranslateOptions(), run or RunOptions()
    plan = make_plan(
        None if source is None else to_place(source),
        out,
        f".{options.format}",
        listing=None if listing is None else Path(listing),
        shard=shard,
    )
    mixing.check_owned(records.folder, plan, out)
    return Job(
        plan=plan,
        records=records,
        target=out,
        translator=_load(model, device, precision),
        options=options,
        run=run,
        source=(UrlSource if isinstance(plan.root, Url) else FileSource)(run.pixel_limit),
        sink=UrlSink(out) if isinstance(out, Url) else FolderSink(out),
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
def writing(out: Path) -> Generator[None]:
    """Turn what the system says against writing to the output folder into one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"OUT {str(out)!r} can't be written: {reason(error)}; what is done stays; mend this or use another OUT"
        ) from error


def settle(job: Job) -> tuple[Recorded, Others]:
    """What the folder holds, and what becomes of rows that this run is not about; refuses to mix."""
    recorded = read_recorded(job.out)
    check = mixing.check_redo if job.run.redo else mixing.check_unmixed
    check(job.out, recorded, job.plan, job.translator, job.options)
    return recorded, resume.find_others(recorded, job.plan, sink=job.sink, workers=job.run.workers)


def forget(job: Job, recorded: Recorded, others: Others, journal: Journal) -> Recorded:
    """Let the folder forget all rows but those that are kept, so that an interrupted redo is taken up like any run."""
    if others.kept:
        write_rows(job.out, (row for row in recorded.rows() if row.source in others.kept), job.header())
    else:
        (job.out / NAME).unlink(missing_ok=True)
    job.records.publish(NAME)
    journal.clear()
    return read_recorded(job.out)


def states(job: Job, recorded: Recorded) -> Generator[tuple[Item, State]]:
    """What is to do with each source and why; see `resume.find_states`."""
    return resume.find_states(job.plan, recorded, source=job.source, sink=job.sink, workers=job.run.workers)


def write_manifest(job: Job, dropped: frozenset[str]) -> int:
    """Join the old manifest and the journal; the number of outputs that it names."""
    outputs = 0

    def rows() -> Iterator[Row]:
        nonlocal outputs
        for row in read_recorded(job.out).rows():
            if row.source not in dropped:
                outputs += row.output is not None
                yield row

    write_rows(job.out, rows(), job.header())
    job.records.publish(NAME)
    return outputs


def summarise(job: Job, tally: Count, others: Others, *, outputs: int, seconds: float, profile: Profile) -> Summary:
    """Join what a run counted; `outputs` is how many of them the manifest names."""
    return Summary(
        root=str(job.plan.root),
        out=str(job.target),
        sources=tally.unchanged + tally.through,
        translated=tally.translated,
        changed=tally.changed,
        unchanged=tally.unchanged,
        failed=tally.failed,
        failures=tuple(tally.failures),
        dropped=0 if job.run.redo else len(others.gone),
        lost=len(others.lost),
        stray=max(0, count_outputs(job.target) - outputs),
        other_files=job.plan.other_files,
        hidden=job.plan.hidden,
        loops=job.plan.loops,
        seconds=round(seconds, 3),
        profile=profile,
    )


def write_run(job: Job, started: float, *, state: str, summary: Summary | None = None) -> None:
    """Write `OUT/run.json`: all that must not be in the manifest, because it differs from run to run."""
    seconds = time.monotonic() - started
    values: dict[str, Any] = {
        "schema": RUN_SCHEMA,
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
        "precision": precision_of(job.translator),
        "model_id": job.translator.id,
        "options": job.options.described(),
        "run_options": job.run.model_dump(mode="json"),
        "summary": None if summary is None else asdict(summary),
    }
    write_whole(job.out / RUN_NAME, json.dumps(values, indent=2).encode() + b"\n")
    job.records.publish(RUN_NAME)
