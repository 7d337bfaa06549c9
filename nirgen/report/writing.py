"""From a folder to its report, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.collection import open_collection
from nirgen.errors import NirgenError
from nirgen.files import output_file
from nirgen.report.choosing import choose
from nirgen.report.facts import facts_of
from nirgen.report.figures import content_charts, score_charts, statistics_charts
from nirgen.report.gallery import make_gallery
from nirgen.report.options import ReportOptions
from nirgen.report.page import Page, render
from nirgen.report.pictures import Painter, class_colours
from nirgen.report.statistics import measure_files
from nirgen.report.summary import in_short, numbers
from nirgen.report.survey import survey
from nirgen.scores import score

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nirgen.dataset.plan import Report


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Attributes:
        path: The page.
        size_bytes: Of it.
        short: Its first sentences.
        numbers: All of it as plain values; nothing in there is a clock, a host or an absolute path.
    """

    path: Path
    size_bytes: int
    short: tuple[str, ...]
    numbers: Mapping[str, Any]


def write_report(
    folder: Path,
    out: Path,
    options: ReportOptions | None = None,
    *,
    sources: Mapping[str, Path] | None = None,
    report: Report | None = None,
) -> Written:
    """Write a page about a dataset or a translation folder; scores are computed first where they are missing.

    Args:
        folder: What `nirgen build-dataset` or `nirgen translate` wrote.
        out: The HTML file; one that is there is replaced.
        options: How much to show.
        sources: Where RGB images are if they have moved, by origin.
        report: Told how far the work has come.

    Returns:
        What was written. The same folder, files and options give the same bytes.

    Raises:
        NirgenError: The folder is none of the two or damaged, `out` is in it, or the page can't be written.
    """
    options = options or ReportOptions()
    collection = open_collection(folder, sources)
    _check_place(out, folder)
    title = options.title or collection.name
    facts = facts_of(collection)
    scores = score(collection, report)
    found = survey(collection, scores, options.sampled, report)
    choice = choose(found, options, [category.name for category in collection.categories])
    statistics = measure_files(found.samples, report)
    painter = Painter(class_colours(collection.categories))
    gallery = make_gallery(found, choice, collection.items(), scores, painter, report=report)
    page = Page(
        title=title,
        collection=collection,
        facts=facts,
        survey=found,
        short=tuple(in_short(collection, facts, found, statistics, len(painter.unreadable))),
        colours=painter.colours,
        gallery=gallery,
        content_charts=content_charts(found),
        statistics=statistics,
        statistics_charts=statistics_charts(statistics),
        score_charts=score_charts(found),
    )
    data = render(page).encode("utf-8", "backslashreplace")
    with output_file(out) as temporary:
        temporary.write_bytes(data)
    summed = numbers(title, collection, facts, found, choice, gallery=gallery, statistics=statistics)
    return Written(out, len(data), page.short, summed)


def _check_place(out: Path, folder: Path) -> None:
    """Refuse to put the page among files that count as the folder's own."""
    if out.resolve().is_relative_to(folder.resolve()):
        raise NirgenError(
            f"{out}: in the folder that it is about, which holds its own files only; name a place outside"
        )
