"""`nirgen evaluate`: measure the quality of generated NIR against real NIR."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Literal

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, conclude, echo, echo_text, note_unchecked, progress

if TYPE_CHECKING:
    from nirgen.evaluate.methods import Size
    from nirgen.evaluate.summary import Report

_SETTINGS = "evaluate.summary:Settings"


def evaluate(
    folders: list[Path] | None = argument(
        "[PRED... GT]",
        "Folders of generated images, then the folder of real ones, matched by name; or one results folder of pix2pix.",
        default=None,
    ),
    model: list[str] | None = option(
        "Embedded model, model file, run folder, ONNX or TorchScript file, diffusers:FOLDER, or MODULE:FUNCTION; "
        "repeatable.",
        "MODEL",
    ),
    value_range: list[str] | None = option(
        "Range of the values of ONNX and TorchScript models: one for all, or one for each of them.", "--range LOW,HIGH"
    ),
    pairs: Path | None = option("Pair list of 'nirgen pairs', in place of GT.", "FILE"),
    root: Path | None = options.ROOT,
    split: str = option("Split of the pair list to evaluate on.", default="val"),
    rgb: Path | None = option("RGB images of GT, for models, baselines and pictures.", "DIR"),
    name: list[str] | None = option("Display name of each PRED, then of each model.  [default: file names]"),
    size: str | None = option(
        "Size of comparison: a square; the real images' own, no other (native); theirs, or the first PRED's, others "
        "resized to it (truth, pred).",
        "PX|native|truth|pred",
        of=_SETTINGS,
    ),
    by: Literal["category", "urban"] | None = option("Subsets of the pair list to tabulate as well."),
    bootstrap: Literal["images", "sequences"] | None = option(
        "Unit of the bootstrap; GT's subfolders are sequences.  [default: sequences for pair lists]"
    ),
    resamples: int | None = option("Bootstrap samples.", min=100, of=_SETTINGS),
    lpips: Literal["alex", "vgg"] | None = option("LPIPS backbone.", of="evaluate.perceptual:Networks.__init__"),
    weights: Path | None = option("Weights of LPIPS, DISTS, FID and KID.  [default: torch's cache]", "DIR"),
    regions: Path | None = option(
        "RANUS masks or labels of the images: judge the tones of vegetation, sky, road, vehicles, people.", "PATH"
    ),
    shifts: bool = flag("Judge models on photos with a cast, haze, clipped, dark and as JPEG as well.", "--shifts"),
    published: list[str] | None = option(
        "Table of the paper to show beside: ranus, idd-aw, flir, ranus-extractors...; repeatable.", "TABLE"
    ),
    explain: bool = flag("Print all measures, intervals, comparisons, notes and definitions.", "--explain"),
    out: Path | None = option("Folder for per_image.parquet, summary.json, table.md and report.html.", "--out -o DIR"),
    damaged: Literal["fail", "keep"] | None = options.DAMAGED,
    alpha: Literal["blend", "ignore"] | None = options.ALPHA,
    white_level: str | None = options.WHITE_LEVELS,
    device: str | None = options.DEVICE,
    as_json: bool = options.AS_JSON,
) -> None:
    """Evaluate models and generated images against real NIR.

    The first line says which of several methods is best, or if one is better than the grey photo. A table of the main
    measures and of costs follows; all of them (PSNR, SSIM, LPIPS, DISTS, FID, KID), with 95 % intervals, are in the
    files of --out, and in its report.html what each method makes of the same images. Takes PRED... GT, or --model with
    --pairs, or --model with GT and --rgb; any number of each. docs/metrics.md defines the metrics.

    \b
    Examples:
      nirgen evaluate --model compact --pairs pairs.csv --out scores
      nirgen evaluate --model compact --model runs/pix2pix --model net.onnx --pairs pairs.csv --out scores
      nirgen evaluate nir-a nir-b real-nir --rgb photos
      nirgen evaluate results/road/test_latest/images
    """
    if folders and len(folders) == 1 and not model and pairs is None and _has_all(folders[0]):
        folders, rgb = folders * 2, rgb or folders[0]
    refuse(shifts and pairs is None and rgb is None, "--shifts needs the photos of GT: name their folder with --rgb")
    _check_usage(folders or [], model or [], pairs, rgb, name or [], published or [])
    side = {} if size is None else {"size": _parse_size(size)}

    refuse(side == {"size": "pred"} and len(folders or []) < 2, "--size pred needs PRED, whose images have that size")

    white_levels = options.parse_white_levels(white_level)
    announce("loading models and images", quiet=as_json)
    options.check_models(model or ())
    from nirgen.evaluate import evaluate_methods, table
    from nirgen.evaluate import report as reports
    from nirgen.evaluate.summary import Settings
    from nirgen.files import check_written
    from nirgen.images import Readings

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
            regions=regions,
            shifts=shifts,
            readings=Readings.of(**options.given(damaged=damaged, alpha=alpha), white_levels=white_levels),
            out=out,
            device=device,
            value_ranges=value_range or [],
            licences=_licences(folders or []),
            progress=report,
            **options.given(lpips=lpips),
        )
    if as_json:
        check_written(found.files)
        echo_text(json.dumps(reports.as_dict(found), indent=2, ensure_ascii=False))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    echo_text(table.as_text(found, width, explain=True) if explain else table.as_brief(found, width or table.SCREEN[1]))
    if pairs is not None:
        note_unchecked(pairs)
    check_written(found.files)
    if out is not None:
        first, *others = reversed(reports.FILES)
        conclude("", wrote=[out / first, *others], then=_next(found, model or []))
        return
    if not explain:
        echo("all measures, intervals and notes: --explain prints them, --out DIR writes them")
    conclude("", then=_next(found, model or []))


def _next(found: Report, models: list[str]) -> list[str]:
    """Return the command that translates by the best method, if that is a model."""
    methods = [method.name for method in found.scores.methods if method.kind == "model"]
    ranking = found.subsets[0].ranking
    best = ranking[0].method if ranking else found.scores.methods[0].name
    files = dict(zip(methods, models, strict=True))
    return ["translate", "PHOTOS", "nir", "--model", files[best]] if best in files else []


def _licences(folders: list[Path]) -> dict[Path, str]:
    """Return the licences that manifests of translation folders state."""
    from nirgen.translate.manifest import read_header

    headers = {folder: read_header(folder) for folder in folders}
    return {folder: str(header.model.get("licence")) for folder, header in headers.items() if header is not None}


def _has_all(folder: Path) -> bool:
    from nirgen.evaluate.folders import has_photos

    return has_photos(folder)


def _check_usage(
    folders: list[Path], models: list[str], pairs: Path | None, rgb: Path | None, names: list[str], published: list[str]
) -> None:
    from nirgen.evaluate.measures import TABLES

    if pairs is not None:
        refuse(folders or rgb is not None, "--pairs has real images and photos already: leave out folders and --rgb")
        refuse(not models, "--pairs needs --model, such as --model compact")
    else:
        refuse(len(folders) + len(models) < 2, "give PRED and GT, or --model and --pairs")
        refuse(not folders, "--model needs --pairs, or GT with --rgb")
        refuse(models and rgb is None, "--model needs the photos of GT: name their folder with --rgb")
    methods = len(folders[:-1]) + len(models)
    wrong = names and len(names) != methods
    refuse(wrong, f"{len(names)} --name for {methods} methods; give one for each, PREDs first")
    for table in published:
        refuse(table not in TABLES, f"--published is one of {', '.join(TABLES)}, not {table!r}")


def _parse_size(text: str) -> Size:
    from nirgen.evaluate.methods import SMALLEST_SIDE

    named: dict[str, Size] = {"native": None, "truth": "truth", "pred": "pred"}
    if text in named:
        return named[text]
    wrong = not text.isdecimal() or int(text) < SMALLEST_SIDE
    refuse(wrong, f"--size is 'native', 'truth', 'pred', or a number of pixels from {SMALLEST_SIDE}, not {text!r}")
    return int(text)
