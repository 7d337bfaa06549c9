"""`nirgen build-dataset`: build a detection dataset from NIR images and labels."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, progress
from nirgen.cli.plans import print_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.dataset.build import Built


_WAYS = {"hardlink": "hard links", "symlink": "symbolic links", "copy": "copies", "encoded": "encoded anew"}
_WITH_APPLY = {"out", "apply", "replace", "yes", "as_json", "dry_run"}

Generated = Annotated[
    list[str] | None, typer.Option(metavar="[NAME=]DIR", help="Folder of 'nirgen translate'; repeatable.")
]
Labels = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="Labels of its RGB images, one per --generated, in order.")
]
Real = Annotated[list[str] | None, typer.Option(metavar="[NAME=]DIR", help="Folder of real NIR images; repeatable.")]
RealLabels = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="Labels of real images, one per --real, in order.")
]
RealPairs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]FILE", help="Pair list of real images: their splits, sequences and RGB images; repeatable."
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="D", help="Dataset folder to write.")]
PolicyName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Class policy for labels not converted by 'nirgen labels'.  "
        "[default: {dataset.config:DatasetConfig.policy}]",
    ),
]
Shares = Annotated[
    str | None,
    typer.Option(metavar="SHARES", help="Split shares for real images without a split: train=0.8,val=0.1,test=0.1."),
]
SplitBy = Annotated[
    Literal["sequence", "frame"] | None,
    typer.Option(help="Unit that --split keeps whole.  [default: {dataset.config:DatasetConfig.split_by}]"),
]
Limit = Annotated[int | None, typer.Option(min=0, help="Maximum number of generated images.  [default: all]")]
GeneratedPerReal = Annotated[
    float | None, typer.Option(min=0, help="Maximum number of generated images per real training image.")
]
Balance = Annotated[
    Literal["class", "weather", "timeofday", "scene"] | None,
    typer.Option(help="Attribute to balance when sampling generated images."),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Random seed of splits and sampling.  [default: {dataset.config:DatasetConfig.seed}]"),
]
Files = Annotated[
    Literal["hardlink", "symlink", "copy"] | None,
    typer.Option(help="Method of placing images in D.  [default: {dataset.config:DatasetConfig.files}]"),
]
Codec = Annotated[
    Literal["png", "jpg"] | None, typer.Option(help="Format to encode all images in.  [default: as they are]")
]
Channels = Annotated[
    Literal["1", "3"] | None,
    typer.Option(help="Channels to encode all images with; 3 are equal copies.  [default: as they are]"),
]
Formats = Annotated[str | None, typer.Option(metavar="LIST", help="Further formats besides COCO: yolo,hf,rfdetr.")]
Licence = Annotated[str | None, typer.Option(help="Licence of the dataset, for its card.")]
Curation = Annotated[Path | None, typer.Option(metavar="FILE", help="Decisions of 'nirgen curation export' to apply.")]
IncludeUnlabelled = Annotated[
    bool, typer.Option("--include-unlabelled", help="Include images without a label entry, as images without objects.")
]
NearDuplicates = Annotated[
    bool, typer.Option("--near-duplicates/--no-near-duplicates", help="Search near-duplicates across splits.")
]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Build despite leaks from training into val or test; the card states them.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace the dataset in D.")]
PlanFile = Annotated[Path | None, typer.Option("--plan", metavar="FILE", help="Plan file to write, without building.")]
Apply = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Plan file to build from; its inputs must be unchanged.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Build without asking.")]


def build_dataset(
    ctx: typer.Context,
    generated: Generated = None,
    labels: Labels = None,
    sources: options.Sources = None,
    real: Real = None,
    real_labels: RealLabels = None,
    real_pairs: RealPairs = None,
    out: Out = None,
    policy: PolicyName = None,
    split: Shares = None,
    split_by: SplitBy = None,
    limit: Limit = None,
    generated_per_real: GeneratedPerReal = None,
    balance: Balance = None,
    seed: Seed = None,
    files: Files = None,
    codec: Codec = None,
    channels: Channels = None,
    formats: Formats = None,
    licence: Licence = None,
    curation: Curation = None,
    include_unlabelled: IncludeUnlabelled = False,
    near_duplicates: NearDuplicates = True,
    allow_leak: AllowLeak = False,
    replace: Replace = False,
    plan_file: PlanFile = None,
    apply: Apply = None,
    dry_run: options.DryRun = False,
    yes: Yes = False,
    as_json: options.AsJson = False,
) -> None:
    """Build a detection dataset from NIR images and labels.

    Reads translated folders, real NIR images and their labels; writes D with images, COCO files per split,
    provenance and a card. Prints the plan first and asks before writing, unless --yes or --apply is given. Generated
    images go into train only; images that a generator was trained on stay out of val and test. docs/formats.md has
    the rules.

    \b
    Examples:
      nirgen build-dataset --generated nir --labels bdd.json -o dataset
      nirgen build-dataset --generated bdd=nir --labels bdd.json --real ranus=nir-real \\
          --real-labels ranus.json --split train=0.8,val=0.1,test=0.1 -o dataset --yes
    """
    stop = dry_run or plan_file is not None
    _check_usage(ctx, out=out, stop=stop, asks=not (stop or yes or apply), as_json=as_json)
    announce("reading inputs", quiet=as_json)
    settings = options.given(
        policy=policy,
        split_by=split_by,
        seed=seed,
        limit=limit,
        generated_per_real=generated_per_real,
        balance=balance,
        include_unlabelled=include_unlabelled,
        allow_leak=allow_leak,
        near_duplicates=near_duplicates,
        files=files,
        codec=codec,
        channels=None if channels is None else int(channels),
        formats=[each.strip() for each in formats.split(",")] if formats else [],
        licence=licence,
        curation=curation,
    )
    settings |= _inputs("generated", generated or [], labels or [], "sources", sources or [])
    settings |= _inputs("real", real or [], real_labels or [], "pairs", real_pairs or [])
    from nirgen.dataset.build import build, refuse_leaks
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.contents import summarise
    from nirgen.dataset.planner import apply_plan, make_plan, write_plan
    from nirgen.pairs.find import parse_shares

    with progress("nothing was written") as report:
        if apply is not None:
            plan = apply_plan(apply, report)
        else:
            settings["splits"] = parse_shares(split) if split else None
            plan = make_plan(DatasetConfig.read(settings, where="the command line"), report)
    summary = summarise(plan)
    if not as_json:
        encoded = plan.config.codec is not None or plan.config.channels is not None
        print_plan(summary, how=_WAYS["encoded" if encoded else plan.config.files])
    elif stop or (plan.leaks and not plan.config.allow_leak):
        typer.echo(json.dumps({"plan": summary}))
    refuse_leaks(plan)
    if plan_file is not None:
        write_plan(plan_file, plan)
        if not as_json:
            typer.echo(f"{plan_file}: the plan; carry it out with --apply {plan_file} -o D")
    if stop or out is None:
        return
    if not (yes or apply):
        typer.confirm(f"write it to {out}?", abort=True)
    with progress(f"{out} is as it was; run the same command again") as report:
        built = build(plan, out, replace=replace, progress=report)
    if as_json:
        values = {**asdict(built), "out": str(built.out)}
        typer.echo(json.dumps({"plan": summary, "built": values}))
    else:
        _print_built(built)


def _check_usage(ctx: typer.Context, *, out: Path | None, stop: bool, asks: bool, as_json: bool) -> None:
    if ctx.params["apply"] is not None:
        given = [name for name in ctx.params if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")]
        strange = sorted(set(given) - _WITH_APPLY)
        if strange:
            raise typer.BadParameter(
                f"--apply takes everything else from its plan; leave out --{strange[0].replace('_', '-')}"
            )
    if out is None and not stop:
        raise typer.BadParameter("name the dataset to write with --out")
    if asks and as_json:
        raise typer.BadParameter("--json asks nothing: say --yes to build, --dry-run to see the plan")
    if asks and not sys.stdin.isatty():
        raise typer.BadParameter(
            "there is no terminal to ask on: say --yes to build, --dry-run to see the plan, --plan FILE to write it, "
            "or --apply FILE to carry one out"
        )


def _inputs(
    kind: str, folders: Sequence[str], labels: Sequence[Path], extra: str, extras: Sequence[str]
) -> dict[str, Any]:
    """Return the inputs of a kind; labels match by position, `extras` by name or position."""
    if len(labels) != len(folders):
        option = "--labels" if kind == "generated" else "--real-labels"
        raise typer.BadParameter(f"each --{kind} has its {option}: {len(folders)} and {len(labels)} were given")
    inputs: list[dict[str, Any]] = []
    for text, file in zip(folders, labels, strict=True):
        name, folder = options.parse_named(text)
        inputs.append({"origin": name or folder.resolve().name, "folder": folder, "labels": file})
    for text in extras:
        name, path = options.parse_named(text)
        wanted = [each for each in inputs if extra not in each and name in {None, each["origin"]}]
        if not wanted:
            raise typer.BadParameter(f"{text}: no --{kind} that it could belong to")
        wanted[0][extra] = path
    return {kind: inputs}


def _print_built(built: Built) -> None:
    if built.already:
        typer.echo(f"{built.out}: is this dataset already, and intact; nothing was written")
        return
    how = ", ".join(f"{count} {_WAYS[way]}" for way, count in built.placed.items())
    dropped = f", {built.dropped} too small after scaling left out" if built.dropped else ""
    typer.echo(
        f"{built.out}: {built.images} images ({how}), {built.annotations} annotations{dropped}; {built.seconds:.1f} s"
    )
