"""A run's parts, put together before anything is written."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nirgen import __version__
from nirgen.errors import OutputError
from nirgen.translate import mixing, resume
from nirgen.translate.manifest import NAME, Manifest, write_rows
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.plan import make_plan
from nirgen.translate.recorded import read_recorded
from nirgen.translate.remote import UrlSink, UrlSource
from nirgen.translate.storage import FileSource, FolderSink
from nirgen.translate.url import Url, reason, to_place

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from nirgen.models.precision import Wanted
    from nirgen.translate.journal import Journal
    from nirgen.translate.manifest import Row
    from nirgen.translate.plan import Item, Plan
    from nirgen.translate.profile import Stopwatch
    from nirgen.translate.recorded import Recorded
    from nirgen.translate.records import Records
    from nirgen.translate.resume import Others, State
    from nirgen.translate.shard import Shard
    from nirgen.translate.storage import Source
    from nirgen.translate.summary import Progress
    from nirgen.translate.translator import Translator
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
