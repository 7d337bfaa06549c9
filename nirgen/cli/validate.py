"""`nirgen validate`: whether a detection dataset is sound, and what loaders make of it."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, progress, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from nirgen.validate import Report
    from nirgen.validate.findings import Finding, Loaded


_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="D | ANNOTATIONS.json...", help="A dataset of 'nirgen build-dataset', or COCO files, one a split."
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option(help="The images' folder, for COCO files; or one for each file.  [default: the files' own]"),
    ] = None,
    train_ready: Annotated[
        bool,
        typer.Option("--train-ready", help="Load all with pycocotools, torchvision and transformers, and count."),
    ] = False,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Decode every image, or read the headers only.")
    ] = True,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A generator's file or run folder, for training pairs D lacks; more than once for more."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Look for all that makes detectors fail, or look better than they are.

    Exit code 1: there are errors. Warnings and notes alone leave it 0. docs/validation.md lists the checks.
    """
    folder = _folder_of(paths, images or [], model or [])
    announce("reading annotations", quiet=as_json)
    from nirgen.validate import Options, validate_coco, validate_dataset

    how = Options(decode=decode, train_ready=train_ready, models=tuple(model or ()))
    with progress("nothing was changed") as bar:
        if folder is not None:
            report = validate_dataset(folder, how, progress=bar)
        else:
            report = validate_coco(paths, images or [], how, progress=bar)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        _print(report)
    raise typer.Exit(report.exit_code)


def _folder_of(paths: Sequence[Path], images: Sequence[Path], models: Sequence[str]) -> Path | None:
    """The dataset's folder; None if annotation files are named."""
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise typer.BadParameter("name one dataset, or COCO files, not both")
    if folders and images:
        raise typer.BadParameter("--images goes with COCO files; a dataset has its images")
    if models and not folders:
        raise typer.BadParameter("--model goes with a dataset of 'nirgen build-dataset'")
    return folders[0] if folders else None


def _print(report: Report) -> None:
    for extent in report.extents:
        ignored = f", {extent.ignored} regions to ignore" if extent.ignored else ""
        typer.echo(f"{extent.split}: {extent.images} images, {extent.boxes} boxes{ignored}")
    if report.findings:
        _print_findings(report.findings)
    if report.loaded:
        _print_loaded(report.loaded)
    _print_checked(report)


def _print_findings(findings: Sequence[Finding]) -> None:
    typer.echo()
    rows = [
        (_text(each.about.severity, _COLOURS[each.about.severity]), each.check, str(each.count), _details(each))
        for each in findings
    ]
    show(("", "check", "count", "what was found, where for example, and the remedy"), rows, right=(2,))


def _details(finding: Finding) -> Text:
    """What was found, what breaks otherwise, examples, the remedy; a line each."""
    from rich.text import Text

    about = finding.about
    lines = [_text(about.finds, "bold"), _text(f"otherwise: {about.breaks}", "")]
    lines += [_text(f"  {' '.join(example.split())}", "dim") for example in finding.examples]
    return Text("\n").join([*lines, _text(f"remedy: {about.remedy}", "")])


def _print_loaded(loaded: Sequence[Loaded]) -> None:
    loaders = list(dict.fromkeys(loader for each in loaded for loader in each.got))
    rows: list[list[str | Text]] = []
    for each in loaded:
        for what, expected in each.expected.items():
            cells = [
                _text(str(got[what]), "" if got[what] == each.wanted(loader, what) else _COLOURS["error"])
                if (got := each.got.get(loader)) is not None
                else _text("-", "dim")
                for loader in loaders
            ]
            rows.append([each.split, what, str(expected), *cells])
    typer.echo()
    show(("split", "what", "expected", *loaders), rows, right=range(2, 3 + len(loaders)))
    typer.echo("Images reach transformers as RGB, as torchvision makes them; regions to ignore it drops by design.")


def _print_checked(report: Report) -> None:
    from nirgen.validate.checks import GROUPS
    from nirgen.validate.findings import count_severities

    counts = count_severities(report.findings)
    typer.echo()
    typer.echo(f"checked: {'; '.join(GROUPS[group] for group in report.checked)}")
    for group, why in report.partial.items():
        typer.echo(f"checked in part: {GROUPS[group]}: {why}")
    for group, why in report.skipped.items():
        typer.echo(f"not checked: {GROUPS[group]}: {why}")
    if not report.findings:
        typer.echo(f"nothing found in {report.subject}")
    else:
        found = ", ".join(f"{number} {severity}{'s' * (number != 1)}" for severity, number in counts.items())
        typer.echo(f"{found} in {report.subject}")


def _text(words: str, style: str) -> Text:
    from rich.text import Text

    return Text(words, style)
