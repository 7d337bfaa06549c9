"""The page: all of a report as one HTML text that asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from nirgen.report.choosing import BOXES_OF_AN_IMAGE, STANDS_OUT
from nirgen.report.statistics import LONGEST_SIDE
from nirgen.report.summary import class_totals, totals
from nirgen.scores import TAGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.collection import Collection
    from nirgen.report.charts import Chart
    from nirgen.report.facts import Fact, Facts
    from nirgen.report.gallery import Gallery
    from nirgen.report.statistics import Statistics
    from nirgen.report.survey import Survey

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
