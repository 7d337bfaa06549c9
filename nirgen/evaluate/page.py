"""The report as one HTML page that needs no other file: tables, and the worst and best cases."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import jinja2

from nirgen.evaluate import table
from nirgen.evaluate.cases import read_frame, shown
from nirgen.evaluate.measures import MEASURES
from nirgen.evaluate.pictures import ERROR_RANGE, pictures

if TYPE_CHECKING:
    from nirgen.evaluate.pictures import Picture
    from nirgen.evaluate.report import Report

EACH = 3
"""Images shown of each kind."""


@dataclass(frozen=True)
class Shown:
    """A case on the page; the window is in hundredths of the image's height and width."""

    key: str
    about: str
    numbers: list[tuple[str, str]]
    pictures: list[Picture]
    window: dict[str, float]


def render(report: Report) -> str:
    """The page's HTML; the same report gives the same text."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    source = resources.files("nirgen.evaluate").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        report=report,
        grids=table.grids(report),
        differences=[(subset.name, table.differences(subset)) for subset in report.subsets],
        definitions=table.definitions(),
        legend=table.LEGEND,
        method=report.scores.methods[0],
        sections=[(title, [_show(report, number) for number in numbers]) for title, numbers in extremes(report)],
        error_range=ERROR_RANGE,
    )


def extremes(report: Report) -> list[tuple[str, list[int]]]:
    """Which images to show: the worst and best of the first method, by PSNR and by SSIM, none of them twice."""
    values = report.scores.values[report.scores.methods[0].name]
    taken: set[int] = set()
    sections = []
    for measure in ("psnr", "ssim"):
        order = sorted(range(len(report.scores.cases)), key=lambda number: (values[measure][number], number))
        for title, ranked in (
            (f"Worst by {MEASURES[measure].title}", order),
            (f"Best by {MEASURES[measure].title}", order[::-1]),
        ):
            chosen = [number for number in ranked if number not in taken][:EACH]
            taken |= set(chosen)
            if chosen:
                sections.append((title, chosen))
    return sections


def _show(report: Report, number: int) -> Shown:
    method, case = report.scores.methods[0], report.scores.cases[number]
    frame = read_frame(case, report.settings.size)
    drawn, window = pictures(frame, method.generate(frame))
    height, width = frame.nir.shape
    values = report.scores.values[method.name]
    return Shown(
        key=case.key,
        about=", ".join(filter(None, (case.category, shown(frame.nir)))),
        numbers=[
            (MEASURES[name].title, f"{values[name][number]:.{MEASURES[name].decimals}f}")
            for name in report.scores.measures
            if name != "rmse_uint8_wrapped"
        ],
        pictures=drawn,
        window={
            "top": 100 * window.top / height,
            "left": 100 * window.left / width,
            "height": 100 * window.height / height,
            "width": 100 * window.width / width,
        },
    )
