"""Report page: one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from nirgen.collection import open_collection
from nirgen.errors import NirgenError
from nirgen.files import output_file
from nirgen.report.charts import content_charts, score_charts, statistics_charts
from nirgen.report.gallery import BOXES_OF_AN_IMAGE, STANDS_OUT, ReportOptions, choose, make_gallery
from nirgen.report.pictures import Painter, class_colours
from nirgen.report.summary import class_totals, facts_of, in_short, numbers, totals
from nirgen.report.survey import LONGEST_SIDE, measure_files, survey
from nirgen.scores import TAGS, score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nirgen.collection import Collection
    from nirgen.progress import Progress
    from nirgen.report.charts import Chart
    from nirgen.report.gallery import Gallery
    from nirgen.report.summary import Fact, Facts
    from nirgen.report.survey import Statistics, Survey


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
    report: Progress | None = None,
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


_MEASURES: Mapping[str, tuple[str, str]] = {
    "mean": ("mean intensity", "{:.0f}"),
    "spread": ("contrast (standard deviation)", "{:.0f}"),
    "slope": ("mean gradient, grey levels a pixel", "{:.1f}"),
    "black": ("pixels at 0", "{:.2f} %"),
    "white": ("pixels at 255", "{:.2f} %"),
}


@dataclass(frozen=True)
class Page:
    """What stands on the page.

    Attributes:
        title: Its heading.
        collection: What it is about.
        facts: What the folder says of itself.
        survey: What it holds.
        short: The first sentences.
        colours: Of the classes, by name, as CSS has them.
        gallery: The pictures.
        content_charts: Of boxes.
        statistics: Of generated and of real images.
        statistics_charts: The same, drawn.
        score_charts: Of scores.
    """

    title: str
    collection: Collection
    facts: Facts
    survey: Survey
    short: tuple[str, ...]
    colours: Mapping[str, str]
    gallery: Gallery
    content_charts: Sequence[Chart]
    statistics: Mapping[bool, Statistics]
    statistics_charts: Sequence[Chart]
    score_charts: Sequence[Chart]


def render(page: Page) -> str:
    """The page's HTML; the same page gives the same text.

    All that comes from files is escaped. The only script that the page allows is its own, told by its hash.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    script = _text("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = [category.name for category in page.collection.categories]
    return environment.from_string(_text("page.html.j2")).render(
        page=page,
        style=Markup(_text("page.css")),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        script_hash=Markup(digest),  # noqa: S704 - of base64 letters
        names=names,
        totals=totals(page.survey),
        class_totals=class_totals(page.survey, names),
        facts=_grouped(page.facts.lines),
        measures=_measures(page.statistics),
        charts={
            name: [(chart, Markup(chart.svg)) for chart in charts]  # noqa: S704 - what it holds is escaped
            for name, charts in (
                ("content", page.content_charts),
                ("statistics", page.statistics_charts),
                ("scores", page.score_charts),
            )
        },
        tags=TAGS,
        of_an_image=BOXES_OF_AN_IMAGE,
        stands_out=STANDS_OUT,
        measured_side=LONGEST_SIDE,
    )


def _text(name: str) -> str:
    return resources.files("nirgen.report").joinpath(name).read_text(encoding="utf-8")


def _grouped(facts: Sequence[Fact]) -> list[tuple[str, list[Fact]]]:
    """Facts under one name together."""
    return [(name, list(each)) for name, each in groupby(facts, key=lambda fact: fact.name)]


def _measures(statistics: Mapping[bool, Statistics]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "values": [
                shown.format(statistics[kind].numbers[key]) if kind in statistics else "none" for kind in (True, False)
            ],
        }
        for key, (name, shown) in _MEASURES.items()
        if statistics
    ]
