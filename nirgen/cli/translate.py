"""`nirgen translate`: translate RGB images to NIR images, and `nirgen manifest`: merge the shards."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option
from nirgen.cli.output import announce, bars, conclude, echo, echo_text, progress, show, stoppable
from nirgen.errors import OutputError, counted

if TYPE_CHECKING:
    from nirgen.translate.run import Request
    from nirgen.translate.summary import Profile, Summary
    from nirgen.translate.url import Place


manifest_app = options.Group(help="Merge translation folders.")

_PIXELS = "translate.options:TranslateOptions"
_FORMATS: dict[str, Literal["png", "jpg", "tif"]] = {
    ".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".tif": "tif", ".tiff": "tif",
}  # fmt: skip
_SECONDS_TO_STOP = 9.0  # after Ctrl-C


def translate(
    paths: list[str] = argument(
        "SRC... OUT",
        "Input folder or images, then the output folder, or for one image the file to write; paths or URLs (s3://). "
        "--list makes SRC optional.",
    ),
    model: str = option(
        "Embedded model, model file, run folder, ONNX or TorchScript file, diffusers:FOLDER, or MODULE:FUNCTION.",
        "MODEL",
        default="compact",
    ),
    value_range: Literal["0,1", "-1,1", "0,255"] | None = options.VALUE_RANGE,
    steps: int | None = option(
        "Steps of a BBDM model; fewer are faster.  [default: as in its file]", "N", min=3, max=1000
    ),
    listing: Path | None = option(
        "Text file of images, one per line, relative to SRC or to FILE's folder.", "--list FILE"
    ),
    image_format: Literal["png", "jpg", "tif"] | None = option(
        "Output image format.", "--format", of=f"{_PIXELS}.format"
    ),
    bit_depth: Literal["8", "16"] | None = option(
        "Output bits per channel; 16 needs one channel and png or tif.", of=_PIXELS
    ),
    channels: Literal["1", "3"] | None = option("Output channels; 3 are equal copies.", of=_PIXELS),
    size: str | None = option("Height and width to resize inputs to, in pixels.  [default: their own]", "HxW"),
    tile: int | None = option(
        "Tile side in pixels; 0 disables tiling.  [default: only where memory is short]", "PX", min=0
    ),
    white_balance: Literal["off", "auto"] | None = option(
        "White balance of inputs; auto, for cameras without one, scales the channels to one mean.", of=_PIXELS
    ),
    shard: str | None = option("Shard to process, such as 1/4; join with 'nirgen manifest merge'.", "I/N"),
    batch: int | None = option("Batch size.  [default: 1; more on a GPU]", min=1),
    workers: int | None = option("Threads that read and write images.  [default: one per processor, up to 16]", min=1),
    device: str | None = option(
        "Device, such as cpu or cuda:1; cuda:0,cuda:1 or all for several.  [default: best available]", "NAMES"
    ),
    engine: Literal["local", "ray"] = option("Execution engine: this machine or a Ray cluster.", default="local"),
    ray_address: str | None = option("Address of the Ray cluster.  [default: start one for this run]", "HOST:PORT"),
    ray_workers: int | None = option("Ray workers.  [default: one per GPU, else one per machine]", min=1),
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "Inference precision; auto: bf16 on GPUs with hardware for it, else fp32.", default="auto"
    ),
    on_error: Literal["continue", "stop"] | None = option("Action at a bad image.", of="translate.options:RunOptions"),
    damaged: Literal["fail", "keep"] | None = options.DAMAGED,
    alpha: Literal["blend", "ignore"] | None = options.ALPHA,
    white_level: int | None = options.WHITE_LEVEL,
    keep_metadata: bool = flag("Copy capture time, GPS, camera and GeoTIFF tags to the outputs.", "--keep-metadata"),
    image_timeout: float | None = option(
        "Seconds that one image may take to be decoded, translated or encoded.  [default: no limit]", "SECONDS", min=0
    ),
    max_pixels: int | None = option("Largest accepted image.", min=1, of="images.decoder:PIXEL_LIMIT"),
    redo: bool = flag("Translate images again that are done already.", "--redo"),
    dry_run: bool = options.DRY_RUN,
    preview: Path | None = option(
        "Contact sheet of some inputs and outputs to write.  [default: OUT/preview.png, but not of shards and URLs]",
        "FILE.png",
    ),
    no_preview: bool = flag("Write no contact sheet.", "--no-preview"),
    profile: bool = flag("Print time per stage and the bottleneck.", "--profile"),
    quiet: bool = flag("Print errors only.", "--quiet"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Translate RGB images to NIR images.

    Reads SRC and writes one image per input at the same relative path in OUT, OUT/manifest.parquet with a row per
    input (status, error, hashes, provenance), and OUT/preview.png with a few of them side by side. Running the command
    again translates only what is missing or changed. Ctrl-C finishes the images in flight; a second one stops at once.

    \b
    Examples:
      nirgen translate photos nir
      nirgen translate photo.jpg nir.png
      nirgen translate *.jpg nir
      nirgen translate photos nir --format jpg --device cuda:0,cuda:1
      nirgen translate s3://bucket/photos s3://bucket/nir --shard 1/4
    """
    silent = quiet or as_json
    announce("reading sources", quiet=silent)
    sources, out = _sources_and_out(paths, listing)
    target = _target(sources, out, listing)
    if target is not None:
        image_format = _format_of(target, image_format)
        _refuse_with(target, {"--shard": shard, "--preview": preview, "--engine": engine == "ray"})
    pixels = options.given(
        format=image_format,
        bit_depth=bit_depth and int(bit_depth),
        channels=channels and int(channels),
        size=options.parse_size(size),
        tile=tile or None,
        white_balance=white_balance,
        alpha=alpha,
        white_level=white_level,
        keep_metadata=keep_metadata or None,
    )
    course = options.given(
        batch_size=batch, workers=workers, on_error=on_error, pixel_limit=max_pixels, damaged=damaged
    )
    course |= options.given(image_timeout=image_timeout)
    on_cluster = options.given(ray_address=ray_address, ray_workers=ray_workers)
    if on_cluster and engine != "ray":
        raise typer.BadParameter(f"--{next(iter(on_cluster)).replace('_', '-')} goes with --engine ray")
    from nirgen.devices import keep_freed_memory
    from nirgen.translate.engines import choose_engine
    from nirgen.translate.options import RunOptions, Shard, TranslateOptions
    from nirgen.translate.run import Request, execute

    request = Request(
        sources[0] if len(sources) == 1 else None,
        out,
        choose_engine(
            engine,
            model,
            device,
            precision,
            in_processes=image_timeout is not None,
            value_range=value_range,
            steps=steps,
            **on_cluster,
        ),
        options=TranslateOptions.read(pixels, where="the command line"),
        run=RunOptions.read({**course, "redo": redo, "no_tiles": tile == 0}, where="the command line"),
        listing=listing,
        shard=None if shard is None else Shard.parse(shard),
        files=tuple(Path(str(each)) for each in sources) if len(sources) > 1 else (),
    )
    if target is not None:
        _translate_one(request, target, dry_run=dry_run, quiet=silent, as_json=as_json)
        return
    if preview is not None:
        options.refuse(no_preview, "--preview and --no-preview contradict each other; leave out one of them")
        _check_preview(preview, request)
    if dry_run:
        _print_plan(request, as_json=as_json)
        return
    keep_freed_memory()
    if silent:
        logging.getLogger("nirgen").setLevel(logging.ERROR)
    local = isinstance(request.plan.root, Path) and isinstance(out, Path) and shard is None
    written: Path | None = None

    def show_some() -> None:
        nonlocal written
        if preview is not None or (local and not no_preview):
            written = _write_preview(preview, request, model)

    kept = "what is done stays; run the same command again to go on"
    with (
        stoppable(kept, second="exit", within=_SECONDS_TO_STOP, quiet=silent) as stopped,
        bars(final="translate", hidden=silent) as report,
    ):
        summary = execute(request, progress=report, stopped=stopped, last=show_some)
    _print_results(summary, quiet=quiet, as_json=as_json, profile=profile)
    if not silent:
        _conclude(summary, written)
    raise typer.Exit(summary.exit_code)


def _sources_and_out(names: list[str], listing: Path | None) -> tuple[list[Place], Place]:
    """Return the sources, none with a list alone, and OUT; a pattern that the shell left is expanded."""
    from nirgen.translate.sources import expanded
    from nirgen.translate.url import Url, to_place

    *given, out = (to_place(name) for name in names)
    sources: list[Place] = []
    for place in given:
        sources += [place] if isinstance(place, Url) else expanded(str(place))
    if not sources and listing is None:
        raise typer.BadParameter("give SRC and OUT (SRC may be left out with --list)")
    if len(sources) > 1 and (listing is not None or any(isinstance(place, Url) for place in sources)):
        raise typer.BadParameter("several sources are image files of this machine: give one SRC with --list or a URL")
    return sources, out


def _target(sources: list[Place], out: Place, listing: Path | None) -> Path | None:
    """Return the file to write if OUT is named as an image; None for a folder. OutputError if OUT can be neither."""
    from nirgen.images import SUFFIXES

    if not isinstance(out, Path) or out.suffix.lower() not in SUFFIXES or out.is_dir():
        return None
    named = f"OUT {str(out)!r} is named as an image"
    if len(sources) != 1 or listing is not None:
        raise OutputError(f"{named}, and there are several sources; give a folder as the last path")
    if not isinstance(sources[0], Path) or sources[0].is_dir():
        raise OutputError(f"{named}, and SRC {str(sources[0])!r} is no image file; name a folder as OUT")
    return out


def _format_of(target: Path, asked: str | None) -> Literal["png", "jpg", "tif"]:
    found = _FORMATS.get(target.suffix.lower())
    if found is None:
        raise OutputError(f"OUT {str(target)!r}: images are written as png, jpg or tif; give it one of these endings")
    if asked not in {None, found}:
        raise typer.BadParameter(f"OUT {str(target)!r} and --format {asked} differ; leave out one of them")
    return found


def _refuse_with(target: Path, given: dict[str, object]) -> None:
    for name, value in given.items():
        options.refuse(value, f"{name} goes with a folder as OUT, and {str(target)!r} is one image")


def _translate_one(request: Request, target: Path, *, dry_run: bool, quiet: bool, as_json: bool) -> None:
    """Translate an image file to another one, and print what was done."""
    from nirgen.translate.single import check_target, translate_file

    check_target(request, target)
    if dry_run:
        echo(f"to translate {request.source} -> {target}; nothing was written")
        return
    row = translate_file(request, target)
    if as_json:
        echo_text(json.dumps(asdict(row)))
    elif row.error is None and not quiet:
        echo(f"{target}" + (f"; note: {row.note}" if row.note else ""))
    if row.error is not None:
        echo(f"failed: {row.error}", err=True)
    raise typer.Exit(0 if row.error is None else 3)


def _print_results(summary: Summary, *, quiet: bool, as_json: bool, profile: bool) -> None:
    if as_json:
        echo_text(json.dumps({**asdict(summary), "exit_code": summary.exit_code}))
        return
    if not quiet:
        _print_summary(summary)
    if profile:
        _print_profile(summary.profile)
    for _, error in summary.failures:
        echo(f"failed: {error}", err=True)
    if summary.failed:
        echo(f"{summary.failed} of {summary.sources} failed; the manifest has every error", err=True)


def _print_summary(summary: Summary) -> None:
    from nirgen.translate.sources import named

    parts = [f"{summary.translated} translated", f"{summary.unchanged} done already"]
    extras = {
        "redone because the source changed": summary.changed,
        "failed": summary.failed,
        "of these with corrupt data": summary.damaged,
        "translated although their data are corrupt": summary.damaged_kept,
        "rows dropped because the source is gone": summary.dropped,
        "rows dropped because the output is missing or altered": summary.lost,
        "files in OUT that belong to no source": summary.stray,
        "hidden ones left aside": summary.hidden,
    }
    parts += [f"{count} {what}" for what, count in extras.items() if count]
    if summary.left_aside:
        parts.append(f"left aside: {named(summary.left_aside)}")
    echo(f"{', '.join(parts)}; {summary.seconds:.1f} s")
    for note, count in summary.notes:
        echo(f"note: {counted(count, 'image')}: {note}")
    for loop in summary.loops:
        echo(f"warning: {loop!r} is a link to a folder above it, and was not followed", err=True)


def _conclude(summary: Summary, preview: Path | None) -> None:
    parts = ["images", "manifest.parquet", *([preview.name] if preview and preview.parent == Path(summary.out) else [])]
    other = [preview] if preview and preview.name not in parts else []
    then = ["labels", "LABELS", "-o", "labels.json", "--images", summary.root]
    conclude("", wrote=[f"{summary.out} ({', '.join(parts)})", *other], then=then)


def _print_profile(profile: Profile) -> None:
    columns = ("stage", "images", "seconds", "images/s of one thread", "share of the wall time")
    rows = []
    for stage in profile.stages:
        rate = f"{stage.rate:.1f}" if stage.images else ""
        rows.append((stage.name, str(stage.images), f"{stage.seconds:.1f}", rate, f"{stage.share:.0%}"))
    show(columns, rows, right=range(1, 5), ruled=True)
    echo(
        f"{profile.images_per_second:.2f} images/s; the device was busy {profile.device_busy:.0%} of the time, waited "
        f"for input {profile.waited_for_input:.0%}, for output {profile.waited_for_output:.0%}; queued on average: "
        f"{profile.queued_input:.1f} decoded, {profile.queued_output:.1f} to be written"
    )
    echo(f"bottleneck: {profile.remedy}")


def _check_preview(preview: Path, request: Request) -> None:
    """Refuse, before any work, a picture that can't be written after it, or could replace an output or a photo."""
    if not isinstance(request.source, Path | None) or not isinstance(request.out, Path):
        raise OutputError("--preview shows folders of this machine, and no URLs; leave it out")
    named, folder, target = f"the preview {str(preview)!r}", preview.resolve().parent, request.out.resolve()
    if preview.suffix.lower() != ".png":
        raise OutputError(f"{named} is written as PNG; give it a name that ends in .png")
    if any(file.resolve() == preview.resolve() for file in request.files):
        raise OutputError(f"{named} is one of the sources; name another file")
    if preview.is_dir():
        raise OutputError(f"{named} is a folder; name a file")
    if target in (folder, *folder.parents):
        raise OutputError(f"{named} lies inside OUT {str(request.out)!r}; put it outside of it")
    if request.source is not None and request.source.resolve() in (preview.resolve(), folder, *folder.parents):
        raise OutputError(f"{named} lies inside SRC {str(request.source)!r}; put it outside of it")
    if folder in target.parents and not folder.exists():  # the run creates it
        return
    if not folder.is_dir():
        raise OutputError(f"the preview's folder {str(preview.parent)!r} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the preview's folder {str(preview.parent)!r} can't be written; use another")


def _write_preview(file: Path | None, request: Request, model: str) -> Path | None:
    """Write the preview to a file, or to OUT if it is None, and return its path, or None if none was written.

    A preview in OUT that can't be written is a warning.
    """
    from nirgen.images import PREVIEW, Reading
    from nirgen.translate.preview import write_preview

    options, run = request.options, request.run
    try:
        written = write_preview(
            Path(str(request.out)),
            Path(str(request.plan.root)),
            model=Path(model).name.removesuffix(".safetensors"),
            file=file,
            reading=Reading(damaged=run.damaged, alpha=options.alpha, white_level=options.white_level),
            pixel_limit=run.pixel_limit,
        )
    except OutputError as error:
        if file is not None:
            raise
        echo(f"warning: {error}", err=True)
        return None
    if written is None and file is not None:
        echo(f"warning: there is nothing to show side by side; {str(file)!r} was not written", err=True)
    elif written is None and (place := Path(str(request.out)) / PREVIEW).exists():
        echo(f"note: {str(place)!r} is no preview, so that none was written; --preview names another place", err=True)
    return written


def _print_plan(request: Request, *, as_json: bool) -> None:
    from nirgen.translate.run import look_ahead
    from nirgen.translate.sources import named

    states = look_ahead(request)
    if as_json:
        items = [
            {"source": item.source, "output": item.output, "state": state, "problem": item.problem or None}
            for item, state in states
        ]
        left_aside = dict(request.plan.survey().tally.left_aside)
        echo_text(json.dumps({"root": str(request.plan.root), "items": items, "left_aside": left_aside}))
        return
    for item, state in states:
        what = item.problem or f"{_one_line(item.source)} -> {_one_line(item.output)}"
        echo(f"{state:8} {what}")
    done, failing = (sum(state == which for _, state in states) for which in ("done", "fails"))
    fails = f", {failing} will fail" if failing else ""
    left = named(request.plan.survey().tally.left_aside)
    aside = f", left aside: {left}" if left else ""
    echo(f"{len(states) - done - failing} to translate, {done} done already{fails}{aside}; nothing was written")


def _one_line(name: str) -> str:
    return name if name.isprintable() else repr(name)


@manifest_app.callback()
def _manifest() -> None:
    """Merge translation folders."""


@manifest_app.command("merge")
def merge(
    parts: list[Path] = argument("OUT...", "Output folders of all shards."),
    out: Path = option("Folder to write; new.", "-o --out DIR", default=...),
    source: Path | None = option("Input folder of the shards, to name missing images.", "SRC"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Merge the shards of a translation.

    Reads the output folders of 'nirgen translate --shard' and writes one folder, as a single run would have written
    it. All shards must share model, options and input list, and cover it exactly once. Images are hard links where
    possible, else copies.
    """
    announce("reading manifests", quiet=as_json)
    from nirgen.translate.merge import merge_shards

    with progress("the same command goes on") as report:
        merged = merge_shards(parts, out, source=source, progress=lambda done: report("merge", done, None))
    if as_json:
        echo_text(json.dumps({**asdict(merged), "exit_code": merged.exit_code}))
    else:
        failed = f", {merged.failed} of them failed" if merged.failed else ""
        verdict = f"{merged.shards} shards cover {merged.sources} sources once{failed}; images and manifest: {out}"
        conclude(verdict, then=["build-dataset", out, "LABELS", "dataset"])
    raise typer.Exit(merged.exit_code)
