"""`nirgen translate`: RGB images to NIR images."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, bars, show, stoppable

if TYPE_CHECKING:
    from nirgen.translate.run import Request
    from nirgen.translate.summary import Profile, Summary
    from nirgen.translate.url import Place

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="SRC OUT",
        help="A folder or an image, and the folder to write; or URLs (s3://). With --list, SRC may be left out.",
    ),
]
Model = Annotated[str, typer.Option(help="Embedded model, model file or run folder.")]
Listing = Annotated[
    Path | None,
    typer.Option(
        "--list",
        metavar="FILE",
        help="Text file of sources, one a line, relative to SRC or else to the file's folder.",
    ),
]
Format = Annotated[
    Literal["png", "jpg", "tif"] | None,
    typer.Option("--format", help="Output image format.  [default: {translate.options:TranslateOptions.format}]"),
]
BitDepth = Annotated[
    Literal["8", "16"] | None,
    typer.Option(
        help="Bits per output channel; 16 with one channel and png or tif only.  "
        "[default: {translate.options:TranslateOptions.bit_depth}]"
    ),
]
Channels = Annotated[
    Literal["1", "3"] | None,
    typer.Option(help="Output channels; 3 are equal copies.  [default: {translate.options:TranslateOptions.channels}]"),
]
Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="Resize sources to this height and width.  [default: their own]")
]
Tile = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="PX",
        help="Side of the tiles that every image is cut into; 0: never.  [default: tiles where memory is short]",
    ),
]
ShardText = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Translate part I of N only, the same on every machine; see 'nirgen manifest merge'."
    ),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Images of one size per batch.  [default: 1; more on a GPU]")]
WorkerCount = Annotated[
    int | None, typer.Option(min=1, help="Threads that read and write.  [default: one a processor, up to 16]")
]
Devices = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="cpu, cuda, cuda:1; cuda:0,cuda:1 or all: a process for each.  [default: best available]",
    ),
]
EngineName = Annotated[Literal["local", "ray"], typer.Option(help="Translate on this machine, or on a cluster of Ray.")]
RayAddress = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Address of the cluster.  [default: one on this machine, for this run]"),
]
RayWorkers = Annotated[
    int | None, typer.Option(min=1, help="Workers on the cluster.  [default: one a GPU, or else one a machine]")
]
PrecisionName = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(help="Precision of the model; auto: bf16 on GPUs with hardware for it, else fp32."),
]
OnError = Annotated[
    Literal["continue", "stop"] | None,
    typer.Option(help="Action at a bad image.  [default: {translate.options:RunOptions.on_error}]"),
]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, help="Largest image accepted.  [default: {images.decoder:PIXEL_LIMIT}]")
]
Redo = Annotated[bool, typer.Option("--redo", help="Translate all of these sources again.")]
Preview = Annotated[
    Path | None, typer.Option(metavar="FILE.png", help="Write one picture of the first sources and outputs.")
]
WithProfile = Annotated[bool, typer.Option("--profile", help="Print the time of each stage, and the bottleneck.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]


def translate(
    paths: Paths,
    model: Model = "compact",
    listing: Listing = None,
    image_format: Format = None,
    bit_depth: BitDepth = None,
    channels: Channels = None,
    size: Size = None,
    tile: Tile = None,
    shard: ShardText = None,
    batch: Batch = None,
    workers: WorkerCount = None,
    device: Devices = None,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    ray_workers: RayWorkers = None,
    precision: PrecisionName = "auto",
    on_error: OnError = None,
    max_pixels: MaxPixels = None,
    redo: Redo = False,
    dry_run: options.DryRun = False,
    preview: Preview = None,
    profile: WithProfile = False,
    quiet: Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Translate RGB images to NIR images.

    OUT mirrors SRC's tree (a/b.jpg becomes a/b.png) and has manifest.parquet, with a row for each source. A second run
    does only what is not done yet. Exit code 0: every source is done; 3: some failed, and the manifest says why; 130:
    stopped by Ctrl-C, after what was in flight (a second one stops at once).
    """
    source, out = _source_and_out(paths, listing)
    pixels = options.given(
        format=image_format,
        bit_depth=bit_depth and int(bit_depth),
        channels=channels and int(channels),
        size=options.parse_size(size),
        tile=tile or None,
    )
    course = options.given(batch_size=batch, workers=workers, on_error=on_error, pixel_limit=max_pixels)
    on_cluster = options.given(ray_address=ray_address, ray_workers=ray_workers)
    if on_cluster and engine != "ray":
        raise typer.BadParameter(f"--{next(iter(on_cluster)).replace('_', '-')} goes with --engine ray")
    silent = quiet or as_json
    announce("reading sources", quiet=silent)
    from nirgen.devices import keep_freed_memory
    from nirgen.translate.engines import choose_engine
    from nirgen.translate.options import RunOptions, Shard, TranslateOptions
    from nirgen.translate.preview import check_preview
    from nirgen.translate.run import Request, execute

    request = Request(
        source,
        out,
        choose_engine(engine, model, device, precision, **on_cluster),
        options=TranslateOptions.read(pixels, where="the command line"),
        run=RunOptions.read({**course, "redo": redo, "no_tiles": tile == 0}, where="the command line"),
        listing=listing,
        shard=None if shard is None else Shard.parse(shard),
    )
    if preview is not None:
        check_preview(preview, request)
    if dry_run:
        _print_plan(request, as_json=as_json)
        return
    keep_freed_memory()
    kept = "what is done stays; run the same command again to go on"
    with stoppable(kept, second="exit", quiet=silent) as stopped, bars(final="translate", hidden=silent) as report:
        summary = execute(request, progress=report, stopped=stopped)
    _print_results(summary, quiet=quiet, as_json=as_json, profile=profile)
    if preview is not None:
        _write_preview(preview, request, quiet=silent)
    raise typer.Exit(summary.exit_code)


def _source_and_out(names: list[str], listing: Path | None) -> tuple[Place | None, Place]:
    from nirgen.translate.url import to_place

    places = [to_place(name) for name in names]
    if len(places) == 2:
        return places[0], places[1]
    if len(places) == 1 and listing is not None:
        return None, places[0]
    raise typer.BadParameter("give SRC and OUT (SRC may be left out with --list)")


def _print_results(summary: Summary, *, quiet: bool, as_json: bool, profile: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**asdict(summary), "exit_code": summary.exit_code}))
        return
    if not quiet:
        _print_summary(summary)
    if profile:
        _print_profile(summary.profile)
    for _, error in summary.failures:
        typer.echo(f"failed: {error}", err=True)
    if summary.failed:
        typer.echo(f"{summary.failed} of {summary.sources} failed; the manifest has every error", err=True)


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
    columns = ("stage", "images", "seconds", "images/s of one thread", "share of the wall time")
    rows = []
    for stage in profile.stages:
        rate = f"{stage.rate:.1f}" if stage.images else ""
        rows.append((stage.name, str(stage.images), f"{stage.seconds:.1f}", rate, f"{stage.share:.0%}"))
    show(columns, rows, right=range(1, 5), ruled=True)
    typer.echo(
        f"{profile.images_per_second:.2f} images/s; the device was busy {profile.device_busy:.0%} of the time, waited "
        f"for input {profile.waited_for_input:.0%}, for output {profile.waited_for_output:.0%}; queued on average: "
        f"{profile.queued_input:.1f} decoded, {profile.queued_output:.1f} to be written"
    )
    typer.echo(f"bottleneck: {profile.remedy}")


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
