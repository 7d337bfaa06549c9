"""`nirgen evaluate`: how far generated NIR is from real NIR."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.cli.output import Report
    from nirgen.evaluate import Score
    from nirgen.evaluate.methods import Case, Method


def evaluate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PRED... GT]",
            help="Folders of generated images, and the folder of real ones, matched by relative path without ending.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Embedded model, model file or run folder; more than once to compare some."),
    ] = None,
    pairs: Annotated[Path | None, typer.Option(help="The list that 'nirgen pairs' wrote, instead of GT.")] = None,
    root: options.Root = None,
    split: Annotated[str, typer.Option(help="Split of the list to evaluate on.")] = "val",
    rgb: Annotated[
        Path | None, typer.Option(help="The photos of GT, for models, the floors and the report's pictures.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="What tables call each PRED, then each model.  [default: their own names]")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="PIXELS|native",
            help="Side that images are resized to, or their own size.  [default: {evaluate.summary:Settings.size}]",
        ),
    ] = None,
    by: Annotated[
        Literal["category", "urban"] | None, typer.Option(help="Add tables of subsets by the list's categories.")
    ] = None,
    bootstrap: Annotated[
        Literal["images", "sequences"] | None,
        typer.Option(help="What intervals draw; GT's subfolders are sequences.  [default: sequences of a list]"),
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(min=100, help="Bootstrap samples.  [default: {evaluate.summary:Settings.resamples}]"),
    ] = None,
    lpips: Annotated[
        Literal["alex", "vgg"] | None,
        typer.Option(help="Network of LPIPS.  [default: {evaluate.perceptual:Networks.__init__.lpips}]"),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A folder of weights for LPIPS, DISTS, FID, KID.  [default: torch's cache]")
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(metavar="ranus|idd-aw|flir", help="Show the paper's rows beside; more than once for several."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder to write per_image.parquet, summary.json, table.md, report.html to.")
    ] = None,
    device: options.Device = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge models and folders of generated NIR against real NIR, beside floors that need no model.

    Either PRED... GT, or --model with --pairs; --model goes with GT too, given --rgb. A line of the table is a method;
    marks say whether it adds anything to the best floor. docs/metrics.md has the definitions.
    """
    _check_usage(folders or [], model or [], pairs, rgb)
    _check_published(published or [])

    announce("loading models and images", quiet=as_json)
    from nirgen.devices import choose_device
    from nirgen.evaluate import report as reports
    from nirgen.evaluate import table
    from nirgen.evaluate.perceptual import Networks
    from nirgen.evaluate.summary import Settings, score

    settings = Settings(
        bootstrap=bootstrap or ("images" if pairs is None else "sequences"),
        by=by,
        **options.given(resamples=resamples),
        **({} if size is None else {"size": _parse_size(size)}),
    )
    side = settings.size
    with progress("nothing was written") as report:
        networks = Networks(weights, device=choose_device(device), **options.given(lpips=lpips))
        on, cases, training = _cases(folders or [], pairs, root, split, rgb)
        methods, notes = _methods((folders or [])[:-1], model or [], name or [], cases, training, side, device, report)
        scores = score(cases, methods, size=side, networks=networks, progress=partial(report, "judging"))
        found = reports.make_report(
            scores,
            settings,
            on=on,
            notes=notes | networks.notes,
            weights={measure: path.name for measure, path in networks.files.items()},
            published=tuple(dict.fromkeys(published or ())),
        )
        if out is not None:
            reports.write(found, out)
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


def _check_usage(folders: list[Path], models: list[str], pairs: Path | None, rgb: Path | None) -> None:
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


def _cases(
    folders: list[Path], pairs: Path | None, root: Path | None, split: str, rgb: Path | None
) -> tuple[str, tuple[Case, ...], tuple[Case, ...]]:
    """What is judged on, in words and as cases, and those that the linear floor is fitted on."""
    from nirgen.evaluate.methods import from_folders, from_pairs
    from nirgen.pairs import PairList

    if pairs is None:
        gt = folders[-1]
        return f"{gt.resolve().name}", from_folders(gt, rgb), ()
    listed = PairList.read(pairs, root)
    training = split != "train" and any(pair.split == "train" for pair in listed.pairs)
    return (
        f"split '{split}' of {pairs.name}",
        from_pairs(listed, split),
        from_pairs(listed, "train") if training else (),
    )


def _methods(
    folders: Sequence[Path],
    models: Sequence[str],
    names: Sequence[str],
    cases: tuple[Case, ...],
    training: tuple[Case, ...],
    size: int | None,
    device: str | None,
    report: Report,
) -> tuple[list[Method], dict[str, str]]:
    """What is judged, floors last, and what is to be known of it."""
    from nirgen.evaluate import methods as by
    from nirgen.model import load_model

    shown = _names(folders, models, names)
    notes: dict[str, str] = {}
    methods = []
    for folder, name in zip(folders, shown, strict=False):
        method, others = by.from_folder(folder, cases, size, name)
        methods.append(method)
        if others:
            notes[name] = f"{others} of its images have no real one and were left aside"
    for path, name in zip(models, shown[len(folders) :], strict=True):
        model = load_model(path, device=device)
        methods.append(by.from_model(model, name, f"model {model.id[:12]}"))
    by.refuse_trained_on(methods, cases)
    if cases[0].rgb is None:
        notes["floors"] = "none: they need the photos; name their folder with --rgb"
    else:
        methods += [by.luma(), by.red()]
    if training:
        methods.append(by.linear(training, size, partial(report, "fitting the linear floor")))
    elif "floors" not in notes:
        notes["linear floor"] = "none: it is fitted on pairs of the split 'train', which are not at hand"
    return methods, notes


def _names(folders: Sequence[Path], models: Sequence[str], names: Sequence[str]) -> list[str]:
    """What tables call each folder, then each model."""
    from nirgen.errors import NirgenError
    from nirgen.evaluate.methods import FLOORS

    own = [path.resolve().name.removesuffix(".safetensors") for path in (*folders, *map(Path, models))]
    if names and len(names) != len(own):
        raise typer.BadParameter(f"{len(names)} --name for {len(own)} methods; give one for each, PREDs first")
    shown = list(names) or own
    for name in shown:
        if shown.count(name) > 1:
            raise NirgenError(f"two methods would be called '{name}'; name each with --name, PREDs first")
        if name in FLOORS:
            raise NirgenError(f"'{name}' is the name of a floor; name each with --name, PREDs first")
    return shown
