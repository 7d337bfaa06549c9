"""Translate a folder: `translate_folder` for Python, `execute` and `look_ahead` for the command line."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen._version import __version__
from nirgen.errors import ConfigError, FullError, ImageError, OutputError, counted
from nirgen.runlog import environment
from nirgen.translate.engines import LocalEngine, choose_engine
from nirgen.translate.items import Item, Row, State, Translator, precision_of
from nirgen.translate.job import Engine, Job, ModelLoader
from nirgen.translate.manifest import Manifest
from nirgen.translate.options import RunOptions, Shard, TranslateOptions
from nirgen.translate.plan import Plan, make_plan
from nirgen.translate.records import Records, open_records
from nirgen.translate.resume import Others, check_owned, check_redo, check_unmixed, find_others, find_states
from nirgen.translate.stores import Listing, Sink, Source
from nirgen.translate.summary import Count, Profile, Stopwatch, Summary
from nirgen.translate.url import Place, Url, to_place

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from nirgen.devices import Wanted
    from nirgen.progress import Progress
    from nirgen.translate.journal import Journal


@dataclass(frozen=True)
class Request:
    """A translation that is asked for."""

    source: Place | None  # a folder or an image file; with a listing, the folder of its names, or None
    out: Place
    engine: Engine
    translator: Translator | None = None  # None: as the engine describes it
    options: TranslateOptions = field(default_factory=TranslateOptions)
    run: RunOptions = field(default_factory=RunOptions)
    listing: Path | None = None
    shard: Shard | None = None
    files: tuple[Path, ...] = ()  # image files, in place of a source and a listing

    @cached_property
    def plan(self) -> Plan:
        """The sources and the names of their outputs; errors as `make_plan`."""
        suffix = f".{self.options.format}"
        return make_plan(self.source, self.out, suffix, listing=self.listing, files=self.files, shard=self.shard)


def translate_folder(
    source: str | Path | Url | None,
    out: str | Path | Url,
    *,
    model: str | Path | Translator = "compact",
    options: TranslateOptions | None = None,
    run: RunOptions | None = None,
    listing: str | Path | None = None,
    shard: Shard | None = None,
    device: str | None = None,
    precision: Wanted = "auto",
    engine: Engine | None = None,
    progress: Progress | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Summary:
    """Translate the images of a folder, and write them with a manifest to another.

    Sources that are done already are left alone; a killed run is resumed. Images that fail become rows of the manifest.

    Args:
        source: A folder, or an image file; a path or a URL. With a listing: the folder that the listed names are
            relative to, or None.
        out: The translation folder, by path or URL; created if missing.
        model: The name of a model, its file or run folder, or a translator.
        options: Options that change pixels.
        run: Options that don't.
        listing: A text file with one path a line.
        shard: The part of the sources to translate; None for all.
        device: Device of a named model, such as `cpu` or `cuda`; None chooses the best one.
        precision: Precision of a named model: `fp32`, `bf16`, `fp16`, or `auto` (see `nirgen.load_model`).
        engine: Translates elsewhere than in this process, see `Workers` and `Cluster`.
        progress: Progress callback, called in the calling thread with (stage, done, total) after each source: stage
            `check` counts sources that are done already, `translate` the others; total is None while unknown.
        stopped: Checked before each batch; once True, batches in flight are finished and KeyboardInterrupt is raised.

    Returns:
        The summary; its `exit_code` is 0 only if every source is done.

    Raises:
        NirgenError: There is nothing to translate, the folder can't be written or holds something else; or, with
            `on_error="stop"`, an image failed. The run can be resumed after the remedy.
        KeyboardInterrupt: It was stopped, and can be resumed.
    """
    loader, translator = (ModelLoader(model, precision), None) if isinstance(model, (str, Path)) else (None, model)
    if engine is None and loader is not None and run is not None and run.image_timeout is not None:
        engine = choose_engine("local", loader.name, device, precision, in_processes=True)
    request = Request(
        None if source is None else to_place(source),
        to_place(out),
        engine or LocalEngine(loader, device),
        translator,
        options or TranslateOptions(),
        run or RunOptions(),
        None if listing is None else Path(listing),
        shard,
    )
    return execute(request, progress=progress, stopped=stopped)


def look_ahead(request: Request) -> list[tuple[Item, State]]:
    """Return what `execute` would do with each item, and why; nothing is written. Errors as `translate_folder`."""
    with open_records(request.out, writes=False) as records:
        job = _prepare(request, records)
        _settle(request, records, job)
        return list(find_states(request.plan, None if request.run.redo else records, job))


def execute(
    request: Request,
    *,
    progress: Progress | None = None,
    stopped: Callable[[], bool] | None = None,
    last: Callable[[], None] = lambda: None,
) -> Summary:
    """Run a translation; see `translate_folder`. `last` is called with the manifest in place, before the last check."""
    started = time.monotonic()
    with open_records(request.out, writes=True) as records:
        job = _prepare(request, records)
        if isinstance(request.engine, LocalEngine) and (request.run.redo or records.empty):
            request.engine.load(job.translator)  # a model that can't be loaded leaves no OUT
        with records.open_journal() as journal:
            others = _settle(request, records, job)
            report, stopped = progress or (lambda *_: None), stopped or (lambda: False)
            return _Run(request, records, job, others, started, report, stopped, last).execute(journal)


def _prepare(request: Request, records: Records) -> Job:
    """Put the parts of a run together, and refuse what can be refused before the model is read."""
    sink = Sink.at(request.out)
    check_owned(records, request.plan, sink)
    translator = request.translator or request.engine.describe()
    source, run = Source.at(request.plan.root, request.run.pixel_limit), request.run
    if getattr(translator, "whole_only", False):
        if request.options.tile is not None:
            raise ConfigError(f"tile is {request.options.tile}, but this model translates whole images only; omit it")
        run = run.model_copy(update={"no_tiles": True})
    return Job(translator, source, sink, request.options, run)


def _settle(request: Request, records: Records, job: Job) -> Others:
    """Refuse to mix, and sort the rows of sources that this run is not about."""
    check = check_redo if request.run.redo else check_unmixed
    check(records, request.plan, job)
    return find_others(records, request.plan, job)


@dataclass
class Missing:
    """Outputs that have a row and no file."""

    count: int = 0
    first: str = ""

    def note(self, output: str, *, there: bool) -> None:
        """Count an output that is not there."""
        if not there:
            self.first = self.first or output
            self.count += 1


@dataclass(frozen=True)
class _Run:
    """A run that holds the lock of its folder."""

    request: Request
    records: Records
    job: Job
    others: Others
    started: float  # seconds of the monotonic clock
    report: Progress
    stopped: Callable[[], bool]
    last: Callable[[], None]
    count: Count = field(default_factory=Count)

    def execute(self, journal: Journal) -> Summary:
        """Translate and journal what is to do, then write the manifest."""
        records, others = self.records, self.others
        with records.writing():
            self.job.sink.open()
            journal.check()
            records.remove_temporary()
            if self.job.run.redo:
                records.forget(journal, others.kept, self._header())
            self._write_run("running")
        profile = self._translate(journal)
        with records.writing():
            journal.check()
            if not isinstance(self.request.engine, LocalEngine):  # its processes may have been killed while they wrote
                records.remove_temporary()
            outputs = self._write_manifest()
            self.last()
            journal.check()
            strays = self._check_manifest(outputs)
            journal.clear()
            summary = self._summarise(strays, profile)
            journal.check()
            self._write_run("ended", summary)
        return summary

    def _translate(self, journal: Journal) -> Profile:
        stopwatch = Stopwatch()
        with closing(find_states(self.request.plan, self.records, self.job)) as found:
            items = self._to_do(found)
            first = next(items, None)
            if first is not None:
                rows = self.request.engine(chain([first], items), self.job, stopwatch, self.stopped)
                self._journal(rows, journal)
        if self.stopped():
            raise KeyboardInterrupt
        return stopwatch.profile()

    def _journal(self, rows: Generator[Row], journal: Journal) -> None:
        """Journal each row as it comes, count and report it."""
        count, plan = self.count, self.request.plan
        with closing(rows):
            try:
                for row in rows:
                    journal.write_row(row)
                    count.add(row)
                    self.report("translate", count.tried, count.to_do(plan.count()))
                    if row.status == "failed" and self.job.run.on_error == "stop":
                        of = count.to_do(plan.survey().planned)
                        raise ImageError(f"{row.error} (stopped there; {count.tried - 1} of {of} were translated)")
            except FullError as error:
                raise FullError(f"{error}{self._space_needed()}") from error

    def _to_do(self, found: Iterator[tuple[Item, State]]) -> Iterator[Item]:
        """The items that are not done yet, until the run is stopped."""
        for item, state in found:
            if self.stopped():
                return
            if state == "done":
                self.count.unchanged += 1
                self.report("check", self.count.unchanged, self.request.plan.count())
                continue
            if state == "changed":
                self.count.changing.add(item.source)
            yield item

    def _space_needed(self) -> str:
        """Estimate the space that the remaining images take, by the size of those that are written."""
        sink = self.job.sink
        left = (self.count.to_do(self.request.plan.survey().planned) or 0) - self.count.tried
        if not sink.images:
            return f" ({counted(left, 'image')} left)"
        each = sink.stored_bytes / sink.images
        needed = f"about {left * each / 1e6:.1f} MB are needed"
        return f" ({needed} for {counted(left, 'image')} left, at {each / 1e3:.0f} kB each)"

    def _header(self) -> Manifest:
        shard: dict[str, Any] | None = None
        if self.request.shard is not None:
            survey = self.request.plan.survey()
            shard = asdict(self.request.shard)
            shard |= {"sources": survey.sources, "listing_sha256": survey.listing_sha256}
        return Manifest((), __version__, self.job.options.described(), self.job.translator.header, shard)

    def _write_manifest(self) -> int:
        """Join the old manifest and the journal; return the number of outputs that the new one names.

        OutputError, and the old manifest and the journal stay, if rows or outputs are not those that the run counted.
        """
        dropped, outputs, rows = self.others.gone | self.others.lost, 0, 0
        listing, missing = Listing(self.job.sink), Missing()

        def checked() -> Iterator[Row]:
            nonlocal outputs, rows
            for row in self.records.rows():
                if row.source not in dropped:
                    rows += 1
                    if row.output is not None:
                        outputs += 1
                        missing.note(row.output, there=listing.has(row.output))
                    yield row
            self._check_counts(rows, missing)

        self.records.write_manifest(checked(), self._header())
        return outputs

    def _check_counts(self, rows: int, missing: Missing) -> None:
        out = repr(str(self.request.out))
        if missing.count:
            raise OutputError(
                f"OUT {out} lost {missing.count} outputs while the run was writing it, such as {missing.first!r}; run "
                "again to translate them again"
            )
        known = self.count.unchanged + self.count.tried + len(self.others.kept)
        if rows != known:
            raise OutputError(
                f"OUT {out} has rows of {rows} sources, and the run went through {known}: rows were lost, or sources "
                "came or went meanwhile; run again to translate what has no row"
            )

    def _check_manifest(self, outputs: int) -> int:
        """Return the number of files in OUT that the manifest doesn't name."""
        known = self.count.unchanged + self.count.tried + len(self.others.kept)
        if self.records.count() != known:
            raise OutputError(
                f"the manifest of OUT {str(self.request.out)!r} was changed while the run was writing it; run again"
            )

        files = self.job.sink.count()
        if files < outputs:
            raise OutputError(
                f"images of OUT {str(self.request.out)!r} were removed while the run was at work: {files} of {outputs} "
                "are there; run again"
            )
        return files - outputs

    def _summarise(self, strays: int, profile: Profile) -> Summary:
        count, plan, tally = self.count, self.request.plan, self.request.plan.survey().tally
        return Summary(
            root=str(plan.root),
            out=str(self.request.out),
            sources=count.unchanged + count.tried,
            translated=count.translated,
            changed=count.changed,
            unchanged=count.unchanged,
            failed=count.failed,
            failures=tuple(count.failures),
            dropped=0 if self.job.run.redo else len(self.others.gone),
            lost=len(self.others.lost),
            stray=strays,
            other_files=tally.other_files,
            hidden=tally.hidden,
            loops=tuple(tally.loops),
            seconds=round(time.monotonic() - self.started, 3),
            profile=profile,
            damaged=count.damaged,
            damaged_kept=count.damaged_kept,
            left_aside=tally.left_aside,
            notes=count.notes,
        )

    def _write_run(self, state: str, summary: Summary | None = None) -> None:
        """Write what differs from run to run, and so must not be in the manifest."""
        seconds, translator, shard = time.monotonic() - self.started, self.job.translator, self.request.shard
        self.records.write_run(
            {
                "state": state,
                "source": str(self.request.plan.root.resolve()),
                "shard": None if shard is None else str(shard),
                "started": datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds"),
                "seconds": round(seconds, 3),
                **environment(),
                "device": str(getattr(translator, "device", "unknown")),
                "precision": precision_of(translator),
                "model_id": translator.id,
                "options": self.job.options.described(),
                "run_options": self.job.run.model_dump(mode="json"),
                "summary": None if summary is None else asdict(summary),
            }
        )
