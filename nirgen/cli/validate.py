"""`nirgen validate`: check a detection dataset."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Literal

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, conclude, echo, echo_text, progress, show
from nirgen.errors import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.cli.output import Cell
    from nirgen.validate import Report
    from nirgen.validate.findings import Finding, Loaded


_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def validate(
    paths: list[Path] = argument("D|FILE...", "Dataset of 'nirgen build-dataset', or COCO files, one per split."),
    images: list[Path] | None = option(
        "Image folder of the COCO files, or one per file; repeatable.  [default: their own]", "DIR"
    ),
    train_ready: bool = flag(
        "Load the dataset with pycocotools, torchvision and transformers as well.", "--train-ready"
    ),
    decode: bool = flag("Decode every image, or read headers only.", default=True),
    damaged: Literal["fail", "keep"] | None = options.DAMAGED,
    model: list[str] | None = option("Generator whose training pairs D doesn't record; repeatable.", "MODEL"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Check a detection dataset for errors and leaks.

    Reads annotations, images and provenance; prints each finding with its effect, examples and the remedy.
    docs/validation.md lists the checks.
    """
    _check_usage(paths, images or [], model or [])
    announce("reading annotations", quiet=as_json)
    from nirgen import validate as library

    how = library.Options(
        decode=decode, train_ready=train_ready, models=tuple(model or ()), **options.given(damaged=damaged)
    )
    with progress("nothing was changed") as bar:
        report = library.validate(paths, images or [], how, progress=bar)
    if as_json:
        echo_text(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        _print(report)
        conclude("", then=["browse", *paths] if report.exit_code == 0 and paths[0].is_dir() else [])
    raise typer.Exit(report.exit_code)


def _check_usage(paths: Sequence[Path], images: Sequence[Path], models: Sequence[str]) -> None:
    folders = [path for path in paths if path.is_dir()]
    refuse(folders and len(paths) > 1, "name one dataset, or COCO files, not both")
    refuse(folders and images, "--images goes with COCO files; a dataset has its images")
    refuse(models and not folders, "--model goes with a dataset of 'nirgen build-dataset'")


def _print(report: Report) -> None:
    for extent in report.extents:
        ignored = f", {counted(extent.ignored, 'region')} to ignore" if extent.ignored else ""
        echo(f"{extent.split}: {counted(extent.images, 'image')}, {counted(extent.boxes, 'box', 'boxes')}{ignored}")
    if report.findings:
        _print_findings(report.findings)
    if report.loaded:
        _print_loaded(report.loaded)
    _print_checked(report)


def _print_findings(findings: Sequence[Finding]) -> None:
    echo()
    rows = [
        ([(each.about.severity, _COLOURS[each.about.severity])], each.check, str(each.count), _details(each))
        for each in findings
    ]
    show(("", "check", "count", "finding, examples and remedy"), rows, right=(2,))


def _details(finding: Finding) -> Cell:
    about = finding.about
    examples = [(f"  {' '.join(example.split())}\n", "dim") for example in finding.examples]
    return [
        (f"{about.finds}\n", "bold"),
        (f"otherwise: {about.breaks}\n", ""),
        *examples,
        (f"remedy: {about.remedy}", ""),
    ]


def _print_loaded(loaded: Sequence[Loaded]) -> None:
    loaders = list(dict.fromkeys(loader for each in loaded for loader in each.got))
    rows = [
        [each.split, what, str(expected), *(_loaded_cell(each, loader, what) for loader in loaders)]
        for each in loaded
        for what, expected in each.expected.items()
    ]
    echo()
    show(("split", "what", "expected", *loaders), rows, right=range(2, 3 + len(loaders)))
    echo("transformers gets images as RGB, as torchvision converts them; it drops regions to ignore by design.")


def _loaded_cell(loaded: Loaded, loader: str, what: str) -> Cell:
    got = loaded.got.get(loader)
    if got is None:
        return [("-", "dim")]
    return [(str(got[what]), "" if got[what] == loaded.wanted(loader, what) else _COLOURS["error"])]


def _print_checked(report: Report) -> None:
    from nirgen.validate.checks import GROUPS
    from nirgen.validate.findings import count_severities

    counts = count_severities(report.findings)
    echo()
    echo(f"checked: {'; '.join(GROUPS[group] for group in report.checked)}")
    for group, why in report.partial.items():
        echo(f"checked in part: {GROUPS[group]}: {why}")
    for group, why in report.skipped.items():
        echo(f"not checked: {GROUPS[group]}: {why}")
    if not report.findings:
        echo(f"nothing found in {report.subject}")
    else:
        found = ", ".join(f"{number} {severity}{'s' * (number != 1)}" for severity, number in counts.items())
        echo(f"{found} in {report.subject}")
