"""`nirgen translate`: RGB images to NIR images."""

from __future__ import annotations

import json
import re
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nirgen.cli.output import stoppable

if TYPE_CHECKING:
    from collections.abc import Generator

    from nirgen.progress import Progress
    from nirgen.translate.options import RunOptions, Shard, TranslateOptions
    from nirgen.translate.run import Request
    from nirgen.translate.summary import Profile, Summary
    from nirgen.translate.url import Place


_SECONDS_BETWEEN_LINES = 10


def translate(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC OUT",
            help="A folder or an image, and the folder to write; or URLs (s3://). With --list, SRC may be left out.",
        ),
    ],
    model: Annotated[str, typer.Option(help="Embedded model, model file or run folder.")] = "compact",
    listing: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Translate the files named there, one a line, relative to SRC or else to FILE's folder.",
        ),
    ] = None,
    image_format: Annotated[Literal["png", "jpg", "tif"], typer.Option("--format", help="Of the outputs.")] = "png",
    bit_depth: Annotated[
        Literal["8", "16"], typer.Option(help="Of the outputs; 16 with one channel, not as jpg.")
    ] = "8",
    channels: Annotated[Literal["1", "3"], typer.Option(help="Of the outputs; 3 are equal copies.")] = "1",
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Resize sources to this height and width.  [default: their own]")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="PX",
            help="Cut every image into tiles of that side; 0: never.  [default: where memory is short]",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only part I of N, the same on every machine; see 'nirgen manifest merge'."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images of one size that the model gets at once.  [default: 1; more on a GPU]"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that read and write.  [default: one a processor, up to 16]")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="cpu, cuda, cuda:1; cuda:0,cuda:1 or all: a process for each.  [default: the best there is]",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="What does the work: this machine, or a cluster of Ray.")
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of the cluster.  [default: one on this machine, for this run]"),
    ] = None,
    ray_workers: Annotated[
        int | None, typer.Option(min=1, help="Workers of the cluster.  [default: one a GPU, or else one a machine]")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        typer.Option(help="What the model computes in; auto is bf16 on GPUs made for it, else fp32."),
    ] = "auto",
    on_error: Annotated[
        Literal["continue", "stop"], typer.Option(help="What a bad image does to the run.")
    ] = "continue",
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Refuse larger images.  [default: 100 million]")] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Translate these sources again, whatever OUT holds of them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")] = False,
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write one picture of the first sources and outputs.")
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time went, and what would help.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary for machines.")] = False,
) -> None:
    """Translate RGB images to NIR images.

    OUT mirrors SRC's tree (a/b.jpg becomes a/b.png) and has manifest.parquet, with a row for each source. A second run
    does only what is not done yet. Exit code 0: every source is done; 3: some failed, and the manifest says why; 130:
    stopped by Ctrl-C, after what was in flight (a second one stops at once).
    """
    source, out = _source_and_out(paths, listing)
    options, run = _options(
        {
            "format": image_format,
            "bit_depth": int(bit_depth),
            "channels": int(channels),
            "size": _parse_size(size),
            "tile": tile or None,
        },
        {
            "batch_size": batch,
            "workers": workers,
            "on_error": on_error,
            "redo": redo,
            "pixel_limit": max_pixels,
            "no_tiles": tile == 0,
        },
    )
    given = [f"--{name}" for name, value in (("ray-address", ray_address), ("ray-workers", ray_workers)) if value]
    if given and engine != "ray":
        raise typer.BadParameter(f"{given[0]} goes with --engine ray")
    from nirgen.devices import keep_freed_memory
    from nirgen.translate.engines import choose_engine
    from nirgen.translate.preview import check_preview
    from nirgen.translate.run import Request, execute

    working = choose_engine(engine, model, device, precision, ray_address=ray_address, ray_workers=ray_workers)
    request = Request(source, out, working, options=options, run=run, listing=listing, shard=_parse_shard(shard))
    if preview is not None:
        check_preview(preview, request)
    if dry_run:
        _print_plan(request, as_json=as_json)
        return
    keep_freed_memory()
    # Pillow warns of odd metadata; what matters of an image is in its row.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    with (
        stoppable("what is done stays; run the same command again to go on", quiet=quiet or as_json) as stopped,
        _progress(hidden=quiet or as_json) as report,
    ):
        summary = execute(request, progress=report, stopped=stopped)
    if as_json:
        typer.echo(json.dumps({**asdict(summary), "exit_code": summary.exit_code}))
    elif not quiet:
        _print_summary(summary)
    if profile and not as_json:
        _print_profile(summary.profile)
    if summary.failed and not as_json:
        _print_failures(summary)
    if preview is not None:
        _write_preview(preview, request, quiet=quiet or as_json)
    raise typer.Exit(summary.exit_code)


def _source_and_out(names: list[str], listing: Path | None) -> tuple[Place | None, Place]:
    from nirgen.translate.url import to_place

    paths = [to_place(name) for name in names]
    if len(paths) == 2:
        return paths[0], paths[1]
    if len(paths) == 1 and listing is not None:
        return None, paths[0]
    raise typer.BadParameter("give SRC and OUT (SRC may be left out with --list)")


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if match is None:
        raise typer.BadParameter(f"--size is HEIGHTxWIDTH in pixels, such as 720x1280, not {text!r}")
    return int(match[1]), int(match[2])


def _parse_shard(text: str | None) -> Shard | None:
    from nirgen.translate.options import Shard

    return None if text is None else Shard.parse(text)


def _options(pixels: dict[str, Any], run: dict[str, Any]) -> tuple[TranslateOptions, RunOptions]:
    from nirgen.translate.options import RunOptions, TranslateOptions

    given = {name: value for name, value in run.items() if value is not None}
    where = "the command line"
    return TranslateOptions.read(pixels, where=where), RunOptions.read(given, where=where)


@contextmanager
def _progress(*, hidden: bool) -> Generator[Progress | None]:
    """A bar on a terminal, lines elsewhere; both on standard error."""
    if hidden:
        yield None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bar() -> Generator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        """Images a second, lately."""

        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.2f}/s" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


def _lines() -> Progress:
    """A line every few seconds, and at the end."""
    began: dict[str, float] = {}
    printed = previous = time.monotonic()

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal printed, previous
        now = time.monotonic()
        began.setdefault(stage, previous)
        previous = now
        if stage == "translate" if done == total else now - printed >= _SECONDS_BETWEEN_LINES:
            rate = done / max(now - began[stage], 1e-9)
            count, to_go = f"{done}", "still counting"
            if total is not None:
                count, to_go = f"{done}/{total}", f"{(total - done) / rate:.0f} s to go"
            typer.echo(f"{stage}: {count}, {rate:.2f}/s, {to_go}", err=True)
            printed = now

    return report


def _print_summary(summary: Summary) -> None:
    parts = [f"{summary.translated} translated", f"{summary.unchanged} done already"]
    extras = {
        "redone because the source changed": summary.changed,
        "failed": summary.failed,
        "rows dropped because the source is gone": summary.dropped,
        "rows dropped because the output is missing or altered": summary.lost,
        "files in OUT that belong to no source": summary.stray,
        "other files left aside": summary.other_files,
        "hidden ones left aside": summary.hidden,
    }
    parts += [f"{count} {what}" for what, count in extras.items() if count]
    typer.echo(f"{', '.join(parts)}; {summary.seconds:.1f} s")
    for loop in summary.loops:
        typer.echo(f"warning: {loop!r} is a link to a folder above it, and was not followed", err=True)
    typer.echo(f"images and manifest.parquet are in {summary.out}")


def _print_profile(profile: Profile) -> None:
    """A table of the stages, and what it says of the run."""
    from rich.table import Table

    from nirgen.cli.output import show

    table = Table("stage", title="where the time went")
    for column in ("images", "seconds", "images/s of one thread", "share of the wall time"):
        table.add_column(column, justify="right")
    for stage in profile.stages:
        rate = f"{stage.rate:.1f}" if stage.images else ""
        table.add_row(stage.name, str(stage.images), f"{stage.seconds:.1f}", rate, f"{stage.share:.0%}")
    show(table)
    typer.echo(
        f"{profile.images_per_second:.2f} images/s; the device was busy {profile.device_busy:.0%} of the time, waited "
        f"for input {profile.waited_for_input:.0%}, for output {profile.waited_for_output:.0%}; queued on average: "
        f"{profile.queued_input:.1f} decoded, {profile.queued_output:.1f} to be written"
    )
    typer.echo(f"bottleneck: {profile.remedy}")


def _print_failures(summary: Summary) -> None:
    for _, error in summary.failures:
        typer.echo(f"failed: {error}", err=True)
    typer.echo(f"{summary.failed} of {summary.sources} failed; the manifest has every error", err=True)


def _write_preview(preview: Path, request: Request, *, quiet: bool) -> None:
    from nirgen.translate.preview import write_preview

    if not write_preview(preview, request):
        typer.echo(f"warning: there is nothing to show side by side; {str(preview)!r} was not written", err=True)
    elif not quiet:
        typer.echo(f"side by side: {preview}")


def _print_plan(request: Request, *, as_json: bool) -> None:
    from nirgen.translate.run import look_ahead

    states = look_ahead(request)
    if as_json:
        items = [
            {"source": item.source, "output": item.output, "state": state, "problem": item.problem or None}
            for item, state in states
        ]
        typer.echo(json.dumps({"root": str(request.plan.root), "items": items}))
        return
    for item, state in states:
        what = item.problem or f"{_one_line(item.source)} -> {_one_line(item.output)}"
        typer.echo(f"{state:8} {what}")
    done, failing = (sum(state == which for _, state in states) for which in ("done", "fails"))
    fails = f", {failing} will fail" if failing else ""
    typer.echo(f"{len(states) - done - failing} to translate, {done} done already{fails}; nothing was written")


def _one_line(name: str) -> str:
    return name if name.isprintable() else repr(name)
