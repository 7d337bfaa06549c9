"""`nirgen translate`: RGB images to NIR images."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, bars, show, stoppable

if TYPE_CHECKING:
    from nirgen.devices import Wanted
    from nirgen.translate.job import Engine
    from nirgen.translate.options import RunOptions, Shard, TranslateOptions
    from nirgen.translate.summary import Profile, Summary
    from nirgen.translate.url import Place


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
    image_format: Annotated[
        Literal["png", "jpg", "tif"] | None,
        typer.Option("--format", help="Output image format.  [default: {translate.options:TranslateOptions.format}]"),
    ] = None,
    bit_depth: Annotated[
        Literal["8", "16"] | None,
        typer.Option(
            help="Bits per output channel; 16 with one channel and png or tif only.  "
            "[default: {translate.options:TranslateOptions.bit_depth}]"
        ),
    ] = None,
    channels: Annotated[
        Literal["1", "3"] | None,
        typer.Option(
            help="Output channels; 3 are equal copies.  [default: {translate.options:TranslateOptions.channels}]"
        ),
    ] = None,
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
        Literal["continue", "stop"] | None,
        typer.Option(help="Action at a bad image.  [default: {translate.options:RunOptions.on_error}]"),
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Largest image accepted.  [default: {images.decoder:PIXEL_LIMIT}]")
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Translate these sources again, whatever OUT holds of them.")
    ] = False,
    dry_run: options.DryRun = False,
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write one picture of the first sources and outputs.")
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time went, and what would help.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Translate RGB images to NIR images.

    OUT mirrors SRC's tree (a/b.jpg becomes a/b.png) and has manifest.parquet, with a row for each source. A second run
    does only what is not done yet. Exit code 0: every source is done; 3: some failed, and the manifest says why; 130:
    stopped by Ctrl-C, after what was in flight (a second one stops at once).
    """
    source, out = _source_and_out(paths, listing)
    pixels, run = _options(
        options.given(
            format=image_format,
            bit_depth=bit_depth and int(bit_depth),
            channels=channels and int(channels),
            size=options.parse_size(size),
            tile=tile or None,
        ),
        options.given(
            batch_size=batch,
            workers=workers,
            on_error=on_error,
            redo=redo,
            pixel_limit=max_pixels,
            no_tiles=tile == 0,
        ),
    )
    where, working = _engine(model, device, precision, engine, {"address": ray_address, "workers": ray_workers})
    arguments: dict[str, Any] = {
        "options": pixels,
        "run": run,
        "listing": listing,
        "shard": _parse_shard(shard),
        **where,
    }
    announce("reading sources", quiet=quiet or as_json)
    from nirgen.devices import keep_freed_memory
    from nirgen.translate.run import check_preview, translate_folder

    if preview is not None:
        check_preview(preview, source, out)
    if dry_run:
        _print_plan(source, out, arguments, as_json=as_json)
        return
    keep_freed_memory()
    kept, silent = "what is done stays; run the same command again to go on", quiet or as_json
    with stoppable(kept, second="exit", quiet=silent) as stopped, bars(final="translate", hidden=silent) as bar:
        summary = translate_folder(
            source,
            out,
            **arguments,
            engine=working,
            progress=lambda at: bar(at.phase, at.done, at.total),
            stopped=stopped,
        )
    if as_json:
        typer.echo(json.dumps({**asdict(summary), "exit_code": summary.exit_code}))
    elif not quiet:
        _print_summary(summary)
    if profile and not as_json:
        _print_profile(summary.profile)
    if summary.failed and not as_json:
        _print_failures(summary)
    if preview is not None:
        _write_preview(source, out, arguments, preview, quiet=quiet or as_json)
    raise typer.Exit(summary.exit_code)


def _source_and_out(names: list[str], listing: Path | None) -> tuple[Place | None, Place]:
    from nirgen.translate.url import to_place

    paths = [to_place(name) for name in names]
    if len(paths) == 2:
        return paths[0], paths[1]
    if len(paths) == 1 and listing is not None:
        return None, paths[0]
    raise typer.BadParameter("give SRC and OUT (SRC may be left out with --list)")


def _parse_shard(text: str | None) -> Shard | None:
    from nirgen.translate.options import Shard

    return None if text is None else Shard.parse(text)


def _engine(
    model: str, device: str | None, precision: Wanted, name: str, cluster: dict[str, Any]
) -> tuple[dict[str, Any], Engine | None]:
    """Which model runs where, as arguments of `translate_folder`, and what does the work."""
    if name != "ray":
        given = [f"--ray-{option}" for option, value in cluster.items() if value is not None]
        if given:
            raise typer.BadParameter(f"{given[0]} goes with --engine ray")
    if name == "local" and (device is None or ("," not in device and device != "all")):
        return {"model": model, "device": device, "precision": precision}, None
    from nirgen.devices import list_devices
    from nirgen.translate.worker import ModelLoader

    if name == "ray":
        # Before Ray is imported: it sends nothing home, and its C++ parts keep to themselves what it mends itself.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
        from nirgen.translate.cluster import Cluster

        if precision == "auto":  # the same on all machines, whatever this one has
            precision = "bf16" if device == "cuda" else "fp32"
        on_cluster = Cluster(ModelLoader(model, precision), device=device, **cluster)
        return {"model": on_cluster.describe()}, on_cluster
    devices = list_devices(device or "")
    if len(devices) == 1:
        return {"model": model, "device": devices[0], "precision": precision}, None
    from nirgen.translate.workers import Workers

    workers = Workers(ModelLoader(model, precision), devices)
    return {"model": workers.describe()}, workers


def _options(pixels: dict[str, Any], run: dict[str, Any]) -> tuple[TranslateOptions, RunOptions]:
    from nirgen.translate.options import RunOptions, TranslateOptions

    where = "the command line"
    return TranslateOptions.read(pixels, where=where), RunOptions.read(run, where=where)


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
    columns = ("stage", "images", "seconds", "images/s of one thread", "share of the wall time")
    rows = [
        (
            stage.name,
            str(stage.images),
            f"{stage.seconds:.1f}",
            f"{stage.rate:.1f}" if stage.images else "",
            f"{stage.share:.0%}",
        )
        for stage in profile.stages
    ]
    show(columns, rows, right=range(1, 5), ruled=True)
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


def _write_preview(source: Place | None, out: Place, arguments: dict[str, Any], preview: Path, *, quiet: bool) -> None:
    from nirgen.translate.plan import make_plan
    from nirgen.translate.run import write_preview

    pixels, run = arguments["options"], arguments["run"]
    plan = make_plan(source, out, f".{pixels.format}", listing=arguments["listing"], shard=arguments["shard"])
    shown = write_preview(plan, out, preview, pixel_limit=run.pixel_limit)
    if not shown:
        typer.echo(f"warning: there is nothing to show side by side; {str(preview)!r} was not written", err=True)
    elif not quiet:
        typer.echo(f"side by side: {preview}")


def _print_plan(source: Place | None, out: Place, arguments: dict[str, Any], *, as_json: bool) -> None:
    from nirgen.translate.run import look_ahead

    plan, states = look_ahead(source, out, **arguments)
    if as_json:
        items = [
            {"source": item.source, "output": item.output, "state": state, "problem": item.problem or None}
            for item, state in states
        ]
        typer.echo(json.dumps({"root": str(plan.root), "items": items}))
        return
    for item, state in states:
        what = item.problem or f"{_one_line(item.source)} -> {_one_line(item.output)}"
        typer.echo(f"{state:8} {what}")
    done, failing = (sum(state == which for _, state in states) for which in ("done", "fails"))
    fails = f", {failing} will fail" if failing else ""
    typer.echo(f"{len(states) - done - failing} to translate, {done} done already{fails}; nothing was written")


def _one_line(name: str) -> str:
    return name if name.isprintable() else repr(name)
