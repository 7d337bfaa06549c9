"""Translate a folder: `translate_folder`, which the command line calls as well."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from nirgen.errors import ImageError
from nirgen.translate import resume
from nirgen.translate.engine import translate_items
from nirgen.translate.job import forget, prepare, settle, states, writing
from nirgen.translate.profile import Stopwatch
from nirgen.translate.record import summarise, write_manifest, write_run
from nirgen.translate.recorded import Recorded
from nirgen.translate.records import records_of
from nirgen.translate.storage import FullError
from nirgen.translate.summary import Count, Progress
from nirgen.translate.url import to_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nirgen.models.precision import Wanted
    from nirgen.translate.job import Engine, Job
    from nirgen.translate.journal import Journal
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.plan import Item, Plan
    from nirgen.translate.resume import State
    from nirgen.translate.shard import Shard
    from nirgen.translate.summary import Summary
    from nirgen.translate.translator import Translator
    from nirgen.translate.url import Url


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
    progress: Callable[[Progress], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Summary:
    """Translate the images of a folder, and write them with a manifest to another.

    What is done already is left alone; what a killed run left is taken up. Images that fail become rows of the
    manifest.

    Args:
        source: A folder, or an image file; a path or a URL. With a listing: the folder that the listed names are
            relative to, or None.
        out: The translation folder, by path or URL; made if it does not exist.
        model: The name of a model, its file or run folder, or a translator.
        options: What changes pixels.
        run: What doesn't.
        listing: A text file with one path a line.
        shard: The part of the sources to translate; None for all.
        device: Where a named model runs, such as `cpu` or `cuda`; None chooses.
        precision: What a named model computes in: `fp32`, `bf16`, `fp16`, or `auto` (see `nirgen.load_model`).
        engine: What translates; None for the threads of this process.
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
    place = to_place(out)
    with records_of(place, writes=True) as records:
        job = prepare(
            source, place, records, model=model, options=options, run=run, listing=listing, shard=shard, device=device,
            precision=precision, stopped=stopped, report=progress,
        )  # fmt: skip
        with writing(job.out):
            job.out.mkdir(parents=True, exist_ok=True)
        with records.open_journal() as journal:
            return _run(job, journal, engine or translate_items, started)


def _run(job: Job, journal: Journal, engine: Engine, started: float) -> Summary:
    recorded, others = settle(job)
    with writing(job.out):
        resume.remove_temporary(job.out)
        if job.run.redo:
            recorded = forget(job, recorded, others, journal)
        write_run(job, started, state="running")
    tally, stopwatch = Count(), Stopwatch()
    _translate(job, recorded, journal, tally, stopwatch, engine=engine)
    profile = stopwatch.profile()
    with writing(job.out):
        if engine is not translate_items:  # processes of another engine may have been killed while they wrote
            resume.remove_temporary(job.out)
        outputs = write_manifest(job, others.gone | others.lost)
        journal.clear()
        seconds = time.monotonic() - started
        summary = summarise(job, tally, others, outputs=outputs, seconds=seconds, profile=profile)
        write_run(job, started, state="ended", summary=summary)
    return summary


def look_ahead(
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
) -> tuple[Plan, list[tuple[Item, State]]]:
    """What `translate_folder` would do with the same arguments; nothing is written.

    Returns:
        The plan, and for each of its items in order what is to be done with it and why.

    Raises:
        NirgenError: As `translate_folder`.
    """
    place = to_place(out)
    with records_of(place, writes=False) as records:
        job = prepare(
            source, place, records, model=model, options=options, run=run, listing=listing, shard=shard, device=device,
            precision=precision,
        )  # fmt: skip
        recorded, _ = settle(job)
        if job.run.redo:
            recorded = Recorded(job.out, {}, forgotten=True)
        return job.plan, list(states(job, recorded))


def _translate(
    job: Job, recorded: Recorded, journal: Journal, tally: Count, stopwatch: Stopwatch, *, engine: Engine
) -> None:
    """Translate what is to do, and journal each row as it comes."""
    found = states(job, recorded)
    rows = engine(
        _to_do(job, found, tally),
        source=job.source,
        sink=job.sink,
        translator=job.translator,
        options=job.options,
        run=job.run,
        stopwatch=stopwatch,
        stopped=job.stopped,
    )
    with closing(found), closing(rows):
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


def _to_do(job: Job, states: Iterator[tuple[Item, State]], tally: Count) -> Iterator[Item]:
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


def _space_needed(job: Job, tally: Count) -> str:
    """How much space the images that are left will take, by those that are written."""
    left = (tally.to_do(job.plan.survey().planned) or 0) - tally.through
    if not job.sink.images:
        return f" ({left} images are left)"
    each = job.sink.bytes / job.sink.images
    return f" (about {left * each / 1e6:.1f} MB are needed for the {left} images left, at {each / 1e3:.0f} kB each)"
