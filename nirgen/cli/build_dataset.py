"""`nirgen build-dataset`: build a detection dataset from NIR images and labels."""

# ruff: noqa: ARG001 - options that are settings are read from the context, by their fields' names

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Any, Literal

import typer

from nirgen.cli import options
from nirgen.cli.inputs import read_inputs, read_positions, with_paths
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, conclude, echo, echo_text, progress
from nirgen.cli.plans import check_asking, print_plan
from nirgen.errors import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.dataset.build import Built


_CONFIG = "dataset.config:DatasetConfig"
_WAYS = {"hardlink": "hard links", "symlink": "symbolic links", "copy": "copies", "encoded": "encoded anew"}
_WITH_APPLY = {"paths", "out", "apply", "replace", "allow_loss", "yes", "as_json", "dry_run"}


def build_dataset(
    ctx: typer.Context,
    paths: list[str] | None = argument(
        "NIR LABELS OUT",
        "Folder of 'nirgen translate' (or NAME=DIR) with the labels of its photos, then the dataset folder to write; "
        "one path alone is OUT.",
        default=None,
    ),
    generated: list[str] | None = option(
        "Folder of 'nirgen translate', and the labels of its photos; repeatable.", "[NAME=]DIR:LABELS", panel="Inputs"
    ),
    real: list[str] | None = option(
        "Folder of real NIR images, and their labels; repeatable.", "[NAME=]DIR:LABELS", panel="Inputs"
    ),
    real_pairs: list[str] | None = option(
        "Pair list of real images: their splits, sequences and RGB images; repeatable.", "[NAME=]FILE", panel="Inputs"
    ),
    sources: list[str] | None = options.within("Inputs", options.SOURCES),
    labels: list[Path] | None = option("Labels of a --generated that has none, in order.", "FILE", panel="Inputs"),
    real_labels: list[Path] | None = option("Labels of a --real that has none, in order.", "FILE", panel="Inputs"),
    include_unlabelled: bool = flag(
        "Include images without a label entry, as images without objects.", "--include-unlabelled", panel="Inputs"
    ),
    damaged: Literal["fail", "keep"] | None = options.within("Inputs", options.DAMAGED),
    alpha: Literal["blend", "ignore"] | None = options.within("Inputs", options.ALPHA),
    white_level: int | None = options.within("Inputs", options.WHITE_LEVEL),
    allow_colour: bool = flag(
        "Build although real images are in colour; the card states it.", "--allow-colour", panel="Inputs"
    ),
    policy: str | None = option(
        "Class policy for labels not converted by 'nirgen labels'.", "NAME|FILE", of=_CONFIG, panel="Classes"
    ),
    split: str | None = option(
        "Split shares for real images without a split: train=0.8,val=0.1,test=0.1.", "SHARES", panel="Splits"
    ),
    split_by: Literal["sequence", "frame"] | None = option(
        "Unit that --split keeps whole.", of=_CONFIG, panel="Splits"
    ),
    near_duplicates: bool = flag("Search near-duplicates across splits.", default=True, panel="Splits"),
    allow_leak: bool = flag(
        "Build despite leaks from training into val or test; the card states them.", "--allow-leak", panel="Splits"
    ),
    limit: int | None = option("Maximum number of generated images.  [default: all]", min=0, panel="Amount"),
    generated_per_real: float | None = option(
        "Maximum number of generated images per real training image.", min=0, panel="Amount"
    ),
    balance: Literal["class", "weather", "timeofday", "scene"] | None = option(
        "Attribute to balance when sampling generated images.", panel="Amount"
    ),
    seed: int | None = option("Random seed of splits and sampling.", min=0, of=_CONFIG, panel="Amount"),
    out: Path | None = option("Dataset folder to write, instead of OUT.", "--out -o D", panel="Files"),
    replace: bool = flag("Replace the dataset in OUT.", "--replace", panel="Files"),
    allow_loss: bool = flag(
        "With --replace: although OUT loses images, splits, formats or decisions.", "--allow-loss", panel="Files"
    ),
    files: Literal["hardlink", "symlink", "copy"] | None = option(
        "Method of placing images in OUT.", of=_CONFIG, panel="Files"
    ),
    codec: Literal["png", "jpg", "keep"] | None = option(
        "Format to encode all images in.  [default: keep, or that of most real images if the generated ones differ]",
        panel="Files",
    ),
    channels: Literal["1", "3", "keep"] | None = option(
        "Channels to encode all images with; 3 are equal copies.  [default: as for --codec]", panel="Files"
    ),
    formats: str | None = option("Further formats besides COCO: yolo,hf,rfdetr.", "LIST", panel="Files"),
    licence: str | None = option("Licence of the dataset, for its card.", panel="Files"),
    curation: Path | None = option("Decisions of 'nirgen curation export' to apply.", "FILE", panel="Decisions"),
    plan_file: Path | None = option("Plan file to write, without building.", "--plan FILE"),
    apply: Path | None = option("Plan file to build from; its inputs must be unchanged.", "FILE"),
    dry_run: bool = options.DRY_RUN,
    yes: bool = flag("Build without asking.", "--yes -y"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Build a detection dataset from NIR images and labels.

    Reads translated folders, real NIR images and their labels; writes OUT with images, COCO files per split,
    provenance and a card. Prints the plan first and asks before writing, unless --yes or --apply is given. Generated
    images go into train only; images that a generator was trained on stay out of val and test. DIR and LABELS meet
    at the colon for which both exist; a DIR with = in its name is written ./DIR. docs/formats.md has the rules.

    \b
    Examples:
      nirgen build-dataset nir labels.json dataset
      nirgen build-dataset nir labels.json dataset --real ranus=real:ranus.json
      nirgen build-dataset dataset --generated day=nir/day:day.json \\
          --generated night=nir/night:night.json
    """
    stop = dry_run or plan_file is not None
    positional, out = read_positions(paths or [], out)
    refuse(apply is not None and positional, "--apply takes its inputs from its plan; give OUT alone")
    _check_usage(ctx, out=out, stop=stop, asks=not (stop or yes or apply), as_json=as_json)
    announce("reading inputs", quiet=as_json)
    from nirgen.dataset.build import build, refuse_colour, refuse_leaks
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.contents import summarise
    from nirgen.dataset.losses import losses_of
    from nirgen.dataset.planner import apply_plan, make_plan, write_plan

    settings = _settings(ctx.params, positional)
    with progress("nothing was written") as report:
        if apply is not None:
            plan = apply_plan(apply, report)
        else:
            plan = make_plan(DatasetConfig.read(settings, where="the command line"), report)
    summary = summarise(plan)
    if not as_json:
        encoded = any(plan.config.encoding)
        print_plan(summary, how=_WAYS["encoded" if encoded else plan.config.files])
    elif stop or (plan.leaks and not plan.config.allow_leak) or (plan.coloured and not plan.config.allow_colour):
        echo_text(json.dumps({"plan": summary}))
    refuse_leaks(plan)
    refuse_colour(plan)
    if plan_file is not None:
        write_plan(plan_file, plan)
        if not as_json:
            echo(f"{plan_file}: the plan; carry it out with --apply {plan_file} -o D")
    asks = not (stop or yes or apply)
    losses = losses_of(out, plan) if out is not None and replace else None
    if losses and not (as_json or asks) and (stop or allow_loss or not losses.grave):
        echo(f"{out} {'would lose' if stop else 'loses'} {losses}")
    if stop or out is None:
        return
    if asks:
        typer.confirm(f"replace {out}, which loses {losses}?" if losses else f"write it to {out}?", abort=True)
    allow_loss = allow_loss or asks
    with progress(f"{out} is as it was; run the same command again") as report:
        built = build(plan, out, replace=replace, allow_loss=allow_loss, progress=report)
    if as_json:
        values = {**asdict(built), "out": str(built.out)}
        echo_text(json.dumps({"plan": summary, "built": values}))
    else:
        _print_built(built, out)


def _settings(given: Mapping[str, Any], positional: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of a dataset by the command's parameters; `positional` are inputs that stand first."""
    from nirgen.dataset.config import DatasetConfig
    from nirgen.pairs.find import parse_shares

    generated, newer = read_inputs("generated", given["generated"] or [], given["labels"] or [])
    real, newer_real = read_inputs("real", given["real"] or [], given["real_labels"] or [])
    if newer or newer_real:
        echo(f"note: an input takes its labels with it: {' '.join(filter(None, (newer, newer_real)))}", err=True)
    return {
        **{name: given[name] for name in DatasetConfig.model_fields if given.get(name) is not None},
        "formats": [each.strip() for each in given["formats"].split(",")] if given["formats"] else [],
        "channels": int(given["channels"]) if given["channels"] in {"1", "3"} else given["channels"],
        "splits": parse_shares(given["split"]) if given["split"] else None,
        "generated": with_paths(positional + generated, "generated", "sources", given["sources"] or []),
        "real": with_paths(real, "real", "pairs", given["real_pairs"] or []),
    }


def _check_usage(ctx: typer.Context, *, out: Path | None, stop: bool, asks: bool, as_json: bool) -> None:
    if ctx.params["apply"] is not None:
        given = [name for name in ctx.params if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")]
        strange = sorted(set(given) - _WITH_APPLY)
        if strange:
            raise typer.BadParameter(
                f"--apply takes everything else from its plan; leave out --{strange[0].replace('_', '-')}"
            )
    refuse(out is None and not stop, "name the dataset to write: NIR LABELS OUT")
    check_asking(asks=asks, as_json=as_json)


def _print_built(built: Built, out: Path) -> None:
    then = ("validate", out)
    if built.already:
        conclude(f"{built.out}: is this dataset already, and intact; nothing was written", then=then)
        return
    how = ", ".join(f"{count} {_WAYS[way]}" for way, count in built.placed.items())
    dropped = f", {built.dropped} too small after scaling left out" if built.dropped else ""
    counts = f"{counted(built.images, 'image')} ({how}), {counted(built.annotations, 'annotation')}{dropped}"
    conclude(f"{built.out}: {counts}; {built.seconds:.1f} s", then=then)
