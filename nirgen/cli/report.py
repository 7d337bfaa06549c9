"""`nirgen report`: write an HTML page about a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, progress


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="D", help="Folder of 'nirgen build-dataset' or 'nirgen translate'.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="HTML file to write, outside of D.")] = Path(
        "report.html"
    ),
    title: Annotated[
        str | None, typer.Option(help="Title of the page.  [default: D's name]", show_default=False)
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=60,
            help="Worst images to show, and as many of the best.  [default: {report.gallery:ReportOptions.images}]",
        ),
    ] = None,
    boxes: Annotated[
        int | None,
        typer.Option(min=0, max=120, help="Worst boxes to show.  [default: {report.gallery:ReportOptions.boxes}]"),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=24,
            help="Images to show with a slider between RGB and NIR.  [default: {report.gallery:ReportOptions.frames}]",
        ),
    ] = None,
    sampled: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=0,
            max=10_000,
            help="Images to measure, generated and real each.  [default: {report.gallery:ReportOptions.sampled}]",
        ),
    ] = None,
    sources: options.Sources = None,
    as_json: options.AsJson = False,
) -> None:
    """Write an HTML report of a dataset.

    Writes one file that opens without a server or network: counts, statistics, the worst and best images and boxes,
    and RGB-NIR sliders. Missing scores are computed and stored in D. docs/report.md defines the numbers.
    """
    announce("reading the dataset", quiet=as_json)
    from nirgen.report import ReportOptions, write_report

    chosen = ReportOptions(**options.given(title=title, images=images, boxes=boxes, frames=frames, sampled=sampled))
    named = options.parse_all_named(sources, "--sources")
    with progress("no page was written; scores that are done are kept") as bar:
        written = write_report(folder, out, chosen, sources=named, report=bar)
    if as_json:
        page = {"path": str(written.path), "bytes": written.size_bytes}
        typer.echo(json.dumps({**written.numbers, "page": page}, indent=2, ensure_ascii=False))
        return
    for sentence in written.short:
        typer.echo(sentence)
    typer.echo(f"{written.path}: {written.size_bytes / 1e6:.1f} MB; open it in a browser")
