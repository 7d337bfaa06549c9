"""`nirgen report`: write an HTML page about a dataset."""

from __future__ import annotations

import json
from pathlib import Path

from nirgen.cli import options
from nirgen.cli.options import argument, option
from nirgen.cli.output import announce, conclude, echo, echo_text, note_outdated_scores, progress

_OPTIONS = "report.gallery:ReportOptions"


def report(
    folder: Path = argument("D", "Folder of 'nirgen build-dataset' or 'nirgen translate'."),
    out: Path = option("HTML file to write, outside of D.", "--out -o FILE", default=Path("report.html")),
    title: str | None = option("Title of the page.  [default: D's name]"),
    images: int | None = option("Worst images to show, and as many of the best.", min=0, max=60, of=_OPTIONS),
    boxes: int | None = option("Worst boxes to show.", min=0, max=120, of=_OPTIONS),
    frames: int | None = option("Images to show with a slider between RGB and NIR.", min=0, max=24, of=_OPTIONS),
    sampled: int | None = option(
        "Images to measure, generated and real each.", "--sample", min=0, max=10_000, of=_OPTIONS
    ),
    sources: list[str] | None = options.SOURCES,
    as_json: bool = options.AS_JSON,
) -> None:
    """Write an HTML report of a dataset.

    Writes one file that opens without a server or network: counts, statistics, the worst and best images and boxes,
    and RGB-NIR sliders. Missing scores are computed and stored in D. docs/report.md defines the numbers.
    """
    announce("reading the dataset", quiet=as_json)
    from nirgen.report import ReportOptions, write_report

    chosen = ReportOptions(**options.given(title=title, images=images, boxes=boxes, frames=frames, sampled=sampled))
    named = options.parse_all_named(sources, "--sources")
    note_outdated_scores(folder, quiet=as_json)
    with progress("no page was written; scores that are done are kept") as bar:
        written = write_report(folder, out, chosen, sources=named, report=bar)
    if as_json:
        written.file.check()
        page = {"path": str(out), "bytes": written.size_bytes}
        echo_text(json.dumps({**written.numbers, "page": page}, indent=2, ensure_ascii=False))
        return
    for sentence in written.short:
        echo(sentence)
    written.file.check()
    conclude(f"{out}: {written.size_bytes / 1e6:.1f} MB; open it in a browser", then=["browse", folder])
