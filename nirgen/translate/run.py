"""Translate a folder: `translate_folder`, `look_ahead` and the preview, which the command line calls as well."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import FullError, ImageError, OutputError
from nirgen.files import write_whole
from nirgen.translate import resume
from nirgen.translate.engine import translate_items
from nirgen.translate.job import forget, prepare, settle, states, summarise, write_manifest, write_run, writing
from nirgen.translate.journal import join
from nirgen.translate.manifest import iter_rows
from nirgen.translate.records import Recorded, records_of
from nirgen.translate.summary import Count, Progress, Stopwatch
from nirgen.translate.url import Url, to_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.devices import Wanted
    from nirgen.translate.items import Item, State, Translator
    from nirgen.translate.job import Engine, Job
    from nirgen.translate.journal import Journal
    from nirgen.translate.options import RunOptions, Shard, TranslateOptions
    from nirgen.translate.plan import Plan
    from nirgen.translate.summary import Summary
    from nirgen.translate.url import Place


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


def check_preview(picture: Path, source: Place | None, out: Place) -> None:
    """Refuse, before any work, a picture that could not or should not be written after it.

    Args:
        picture: The file to write.
        source: The folder of the sources, or the one source, if given.
        out: The translation folder, which need not exist.

    Raises:
        OutputError: It does not end in `.png`, is a folder, its folder does not exist or can't be written, or lies in
            OUT or SRC, where it could take an output's or a photo's place.
    """
    if isinstance(source, Url) or isinstance(out, Url):
        raise OutputError("--preview shows folders of this machine, and no URLs; leave it out")
    folder, target = picture.resolve().parent, out.resolve()
    if picture.suffix.lower() != ".png":
        raise OutputError(f"the preview {str(picture)!r} is written as PNG; give it a name that ends in .png")
    if picture.is_dir():
        raise OutputError(f"the preview {str(picture)!r} is a folder; name a file")
    if target in (folder, *folder.parents):
        raise OutputError(f"the preview {str(picture)!r} lies inside OUT {str(out)!r}; put it outside of it")
    if source is not None and source.resolve() in (picture.resolve(), folder, *folder.parents):
        raise OutputError(f"the preview {str(picture)!r} lies inside SRC {str(source)!r}; put it outside of it")
    if folder in target.parents and not folder.exists():  # made on the way to OUT
        return
    if not folder.is_dir():
        raise OutputError(f"the preview's folder {str(picture.parent)!r} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the preview's folder {str(picture.parent)!r} can't be written; use another")


def write_preview(
    plan: Plan, out: Place, picture: Path, *, count: int = 4, pixel_limit: int = images.PIXEL_LIMIT
) -> int:
    """Write a picture with a row for each of the first images of a run: the source, then the output.

    Args:
        plan: What the run was about.
        out: The translation folder.
        picture: The PNG file to write.
        count: How many images to show at most.
        pixel_limit: Sources of more pixels are not shown.

    Returns:
        How many are shown: those that failed or can't be read any more are skipped. If 0, nothing is written.

    Raises:
        OutputError: The picture can't be written.
    """
    assert isinstance(out, Path)
    recorded = join(plan, iter_rows(out))
    rows: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for item, row in recorded:
        if item is None or row is None or row.output != item.output:
            continue
        pair = _read_pair(item, out, pixel_limit)
        rows += [pair] if pair is not None else []
        if len(rows) == count:
            break
    if rows:
        try:
            write_whole(picture, images.encode(images.side_by_side(rows), "png"))
        except OSError as error:
            raise OutputError(
                f"the preview {str(picture)!r} can't be written: {error.strerror}; use another"
            ) from error
    return len(rows)


def _read_pair(item: Item, out: Path, pixel_limit: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """A source and its output; None if one of them can't be read."""
    try:
        assert isinstance(item.path, Path)
        source = images.read(item.path, pixel_limit=pixel_limit)
        return source, images.read(out / item.output, pixel_limit=max(pixel_limit, images.PIXEL_LIMIT))
    except (ImageError, MemoryError):
        return None
