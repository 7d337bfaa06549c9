"""`nirgen evaluate`: measure the quality of generated NIR against real NIR."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, progress

if TYPE_CHECKING:
    from nirgen.evaluate import Score


def evaluate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PRED... GT]",
            help="Folders of generated images, then the folder of real ones; matched by relative path without suffix.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Embedded model, model file or run folder; repeatable."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pair list of 'nirgen pairs', in place of GT.")
    ] = None,
    root: options.Root = None,
    split: Annotated[str, typer.Option(help="Split of the pair list to evaluate on.")] = "val",
    rgb: Annotated[
        Path | None, typer.Option(metavar="DIR", help="RGB images of GT, for models, baselines and pictures.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Display name of each PRED, then of each model.  [default: file names]")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="PX|native",
            help="Side that images are resized to before comparison.  [default: {evaluate.summary:Settings.size}]",
        ),
    ] = None,
    by: Annotated[
        Literal["category", "urban"] | None, typer.Option(help="Subsets of the pair list to tabulate as well.")
    ] = None,
    bootstrap: Annotated[
        Literal["images", "sequences"] | None,
        typer.Option(help="Unit of the bootstrap; GT's subfolders are sequences.  [default: sequences for pair lists]"),
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(min=100, help="Bootstrap samples.  [default: {evaluate.summary:Settings.resamples}]"),
    ] = None,
    lpips: Annotated[
        Literal["alex", "vgg"] | None,
        typer.Option(help="LPIPS backbone.  [default: {evaluate.perceptual:Networks.__init__.lpips}]"),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Weights of LPIPS, DISTS, FID and KID.  [default: torch's cache]"),
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(metavar="ranus|idd-aw|flir", help="Table of the paper to show beside; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for per_image.parquet, summary.json, table.md and report.html."),
    ] = None,
    device: options.Device = None,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate models and generated images against real NIR.

    Computes PSNR, SSIM, LPIPS, DISTS, FID and KID with 95 % intervals for each method and for baselines without a
    model. Takes PRED... GT, or --model with --pairs, or --model with GT and --rgb. docs/metrics.md defines the metrics.

    \b
    Examples:
      nirgen evaluate --model compact --pairs pairs.csv --out scores
      nirgen evaluate nir-a nir-b real-nir --rgb photos
    """
    _check_usage(folders or [], model or [], pairs, rgb, name or [])
    _check_published(published or [])
    side = {} if size is None else {"size": _parse_size(size)}

    announce("loading models and images", quiet=as_json)
    from nirgen.evaluate import evaluate_methods, table
    from nirgen.evaluate import report as reports
    from nirgen.evaluate.summary import Settings

    drawn = bootstrap or ("images" if pairs is None else "sequences")
    with progress("nothing was written") as report:
        found = evaluate_methods(
            (folders or [])[:-1],
            folders[-1] if folders else None,
            models=model or [],
            pairs=pairs,
            root=root,
            split=split,
            rgb=rgb,
            names=name or [],
            settings=Settings(bootstrap=drawn, by=by, **options.given(resamples=resamples), **side),
            weights=weights,
            published=published or [],
            out=out,
            device=device,
            progress=report,
            **options.given(lpips=lpips),
        )
    if as_json:
        typer.echo(json.dumps(reports.as_dict(found), indent=2, ensure_ascii=False))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(table.as_text(found, width))
    if out is not None:
        typer.echo(f"\n{', '.join(reports.FILES)} are in {out}")


def print_scores(scores: list[Score]) -> None:
    """Print a table with a line for each method and subset."""
    typer.echo(f"{'method':<8}{'images':<18}{'count':>6}{'PSNR dB':>9}{'SSIM':>8}")
    for score in scores:
        typer.echo(f"{score.method:<8}{score.subset:<18}{score.images:>6}{score.psnr:>9.2f}{score.ssim:>8.4f}")


def _check_usage(
    folders: list[Path], models: list[str], pairs: Path | None, rgb: Path | None, names: list[str]
) -> None:
    if pairs is not None and (folders or rgb is not None):
        raise typer.BadParameter("--pairs has real images and photos already: leave out folders and --rgb")
    if pairs is not None and not models:
        raise typer.BadParameter("--pairs needs --model, such as --model compact")
    if pairs is None and len(folders) + len(models) < 2:
        raise typer.BadParameter("give PRED and GT, or --model and --pairs")
    if pairs is None and not folders:
        raise typer.BadParameter("--model needs --pairs, or GT with --rgb")
    if pairs is None and models and rgb is None:
        raise typer.BadParameter("--model needs the photos of GT: name their folder with --rgb")
    methods = len(folders[:-1]) + len(models)
    if names and len(names) != methods:
        raise typer.BadParameter(f"{len(names)} --name for {methods} methods; give one for each, PREDs first")


def _parse_size(text: str) -> int | None:
    from nirgen.evaluate.methods import SMALLEST_SIDE

    if text == "native":
        return None
    if not text.isdecimal() or int(text) < SMALLEST_SIDE:
        raise typer.BadParameter(f"--size is 'native', or a number of pixels from {SMALLEST_SIDE}, not {text!r}")
    return int(text)


def _check_published(names: list[str]) -> None:
    from nirgen.evaluate.measures import TABLES

    for name in names:
        if name not in TABLES:
            raise typer.BadParameter(f"--published is one of {', '.join(TABLES)}, not {name!r}")
