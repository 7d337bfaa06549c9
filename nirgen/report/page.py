"""Report page: one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nirgen.collection import open_collection
from nirgen.errors import NirgenError
from nirgen.files import write_output
from nirgen.report.charts import content_charts, score_charts, statistics_charts
from nirgen.report.gallery import ALIKE, BOXES_OF_AN_IMAGE, STANDS_OUT, ReportOptions, choose, make_gallery
from nirgen.report.pictures import Painter, class_colours
from nirgen.report.summary import SCHEMA, facts_of, in_short, numbers
from nirgen.report.survey import LONGEST_SIDE, measure_files, survey
from nirgen.scores import TAGS, score
from nirgen.templates import read_text, render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nirgen.files import WrittenFile
    from nirgen.progress import Progress


_PACKAGE = "nirgen.report"


@dataclass(frozen=True)
class Written:
    """A report that was written."""

    file: WrittenFile
    size_bytes: int
    short: tuple[str, ...]  # its first sentences
    numbers: Mapping[str, Any]  # all of it as plain values


def write_report(
    folder: Path,
    out: Path,
    options: ReportOptions | None = None,
    *,
    sources: Mapping[str, Path] | None = None,
    report: Progress | None = None,
) -> Written:
    """Write a page about a dataset or a translation folder; missing scores are computed first.

    The same folder, files and options give the same bytes.

    Args:
        folder: From `nirgen build-dataset` or `nirgen translate`.
        out: The HTML file; an old one is replaced.
        options: Contents of the page.
        sources: Folders of RGB images that have moved, by origin.
        report: Progress callback.

    Raises:
        NirgenError: The folder is neither of the two or damaged, or changes meanwhile; `out` is in it; or the page
            can't be written.
    """
    options = options or ReportOptions()
    collection = open_collection(folder, sources)
    if out.resolve().is_relative_to(folder.resolve()):
        raise NirgenError(
            f"{out}: in the folder that it is about, which holds its own files only; name a place outside"
        )
    facts, provenance = facts_of(collection)
    scores = score(collection, report)
    found = survey(collection, scores, options.sampled, report)
    choice = choose(found, options, [category.name for category in collection.categories])
    statistics = measure_files(found.samples, report)
    painter = Painter(class_colours(collection.categories))
    gallery = make_gallery(found, choice, collection.items(), scores, painter, report=report)
    labelled = collection.kind == "dataset"
    short = tuple(in_short(facts, found, statistics, labelled=labelled, unreadable=len(painter.unreadable)))
    values = {
        "schema": SCHEMA,
        "title": options.title or collection.name,
        "kind": collection.kind,
        "digest": collection.digest,
        **provenance,
        **numbers(collection, found, choice, gallery["boxes"], statistics),
    }
    script = read_text(_PACKAGE, "page.js")
    page = render(
        _PACKAGE,
        "page.html.j2",
        filters={"thousands": lambda number: f"{number:,}"},
        page=values,
        short=short,
        colours=painter.colours,
        class_totals={each: sum(row["boxes"][each] for row in values["counts"]) for each in painter.colours},
        facts=[(name, list(lines)) for name, lines in groupby(facts, key=lambda fact: fact.name)],
        gallery=gallery,
        charts={
            "content": content_charts(found),
            "statistics": statistics_charts(statistics),
            "scores": score_charts(found),
        },
        measured=statistics,
        tags=TAGS,
        of_an_image=BOXES_OF_AN_IMAGE,
        stands_out=STANDS_OUT,
        alike=ALIKE,
        measured_side=LONGEST_SIDE,
        style=read_text(_PACKAGE, "page.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    ).encode("utf-8", "backslashreplace")
    collection.check()
    return Written(write_output(out, [page]), len(page), short, values)
