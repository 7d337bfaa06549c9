"""`nirgen report`: a dataset on one HTML page that needs no other file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli.output import stages

if TYPE_CHECKING:
    from collections.abc import Sequence


def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="D", help="A dataset of 'nirgen build-dataset', or a folder of 'nirgen translate'."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The page to write, outside of D; an old one is replaced."),
    ] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Of the page.  [default: D's name]", show_default=False)] = None,
    images: Annotated[int, typer.Option(min=0, max=60, help="Worst images shown, and as many of the best.")] = 12,
    boxes: Annotated[int, typer.Option(min=0, max=120, help="Worst boxes shown.")] = 24,
    frames: Annotated[int, typer.Option(min=0, max=24, help="Images beside their RGB image, under a slider.")] = 8,
    sampled: Annotated[
        int, typer.Option("--sample", min=0, max=10_000, help="Images of each kind, generated and real, to measure.")
    ] = 200,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR", help="Where the RGB images of input NAME are, if they have moved; repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is on the page for machines.")] = False,
) -> None:
    """Write a page about a dataset for people without FiftyOne: counts, statistics, the worst and the best, sliders.

    The page is one file that opens from disk and loads nothing. Scores are computed first where they are missing, and
    kept in D. docs/report.md says how the numbers are made.
    """
    from nirgen.report import ReportOptions, write_report

    options = ReportOptions(title=title, images=images, boxes=boxes, frames=frames, sampled=sampled)
    with stages(lambda: "no page was written; scores that are done are kept") as progress:
        written = write_report(folder, out, options, sources=_named(sources or []), report=progress)
    if as_json:
        page = {"path": str(written.path), "bytes": written.size_bytes}
        typer.echo(json.dumps({**written.numbers, "page": page}, indent=2, ensure_ascii=False))
        return
    for sentence in written.short:
        typer.echo(sentence)
    typer.echo(f"{written.path}: {written.size_bytes / 1e6:.1f} MB; open it in a browser")


def _named(sources: Sequence[str]) -> dict[str, Path]:
    """Folders by the name of their input."""
    named: dict[str, Path] = {}
    for given in sources:
        name, equals, path = given.partition("=")
        if not equals or not name or not path:
            raise typer.BadParameter(f"{given}: give NAME=DIR, such as bdd100k=photos", param_hint="--sources")
        if name in named:
            raise typer.BadParameter(f"{given}: '{name}' has {named[name]} already", param_hint="--sources")
        named[name] = Path(path)
    return named
