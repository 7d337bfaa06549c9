"""The table of an evaluation in the layout of the paper's Table 2, for a terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen.evaluate.measures import CAVEAT, MEASURES, TABLES
from nirgen.templates import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nirgen.evaluate.summary import Report, Subset
    from nirgen.stats import Estimate


MARKS = {"better": "+", "worse": "-", "undecided": "="}
LEGEND = "against the best floor: + better, - worse, = not told apart (the paired difference's 95 % interval holds 0)"
NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A number as text; the interval and the mark may be empty."""

    value: str
    interval: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a grid."""

    name: str
    kind: str  # of the method, or `published`
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table as text."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]


def grids(report: Report) -> list[Grid]:
    """Return the tables of all images, which has the published rows, then of the subsets."""
    return [_grid(subset, report.published if subset.name == "all" else ()) for subset in report.subsets]


def differences(subset: Subset) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Return the comparisons as (method, other, [(measure, difference with interval, verdict)])."""
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for comparison in subset.comparisons:
        measure = MEASURES[comparison.measure]
        text = _signed(comparison.difference, measure.decimals)
        entry = (measure.title, text, comparison.verdict)
        found.setdefault((comparison.method, comparison.other), []).append(entry)
    return [(method, other, entries) for (method, other), entries in found.items()]


def definitions() -> list[tuple[str, str, str, str, str]]:
    """Return title, better direction, range, definition and input of each measure."""
    return [
        (measure.title, measure.arrow, measure.limits, measure.definition, measure.input)
        for measure in MEASURES.values()
    ]


def as_text(report: Report, width: int | None = None) -> str:
    """Return the report for a terminal.

    Args:
        report: The report.
        width: Width of the terminal in characters; wider tables are cut into blocks of columns. None for no limit.
    """
    lines = [report.about, ""]
    for grid in grids(report):
        lines += [f"{grid.title}:" if len(report.subsets) > 1 else "", *_aligned(grid, width), ""]
    lines = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    for subset in report.subsets:
        for method, other, entries in differences(subset):
            of = "" if subset.name == "all" else f" ({subset.name})"
            texts = (f"{title} {text} {verdict}" for title, text, verdict in entries)
            lines += [f"{method} - {other}{of}:", *(f"  {text}" for text in texts)]
    lines += ["", f"marks: {LEGEND}"] if any(subset.comparisons for subset in report.subsets) else [""]
    lines += [f"{name}: {note}" for name, note in report.notes]
    lines += ["measures:"]
    lines += [f"  {title} {arrow}  {limits}; {what}; {seen}" for title, arrow, limits, what, seen in definitions()]
    return "\n".join(lines)


def as_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    parts = ["# Evaluation", report.about]
    for grid in grids(report):
        parts += [f"## {grid.title}", _table(("method", *grid.headings), map(_plain, grid.lines))]
    compared = [
        (subset.name, method, other, *entry)
        for subset in report.subsets
        for method, other, entries in differences(subset)
        for entry in entries
    ]
    if compared:
        headings = ("images", "method", "minus", "measure", "difference [95 % interval]", "verdict")
        parts += ["## What the methods add", f"In the tables above: {LEGEND}.", _table(headings, compared)]
    if report.notes:
        parts += ["## Notes", "\n".join(f"- {name}: {note}" for name, note in report.notes)]
    columns = ("measure", "better", "range", "definition", "compared")
    parts += ["## Measures", _table(columns, definitions())]
    return "\n\n".join(parts) + "\n"


def published_notes(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the sources of the published rows, and the caveat on comparing with them."""
    return [(f"published {name}", TABLES[name].title) for name in names] + ([("published", CAVEAT)] if names else [])


def _grid(subset: Subset, published: tuple[str, ...]) -> Grid:
    floors = {row.method for row in subset.rows if row.kind == "floor"}
    marks = {
        (comparison.method, comparison.measure): MARKS[comparison.verdict]
        for comparison in subset.comparisons
        if comparison.other in floors
    }
    lines = [
        Line(
            row.method,
            row.kind,
            tuple(_cell(row.estimates.get(name), name, marks.get((row.method, name), "")) for name in MEASURES),
        )
        for row in subset.rows
    ]
    for name in published:
        for method, values in TABLES[name].values():
            cells = tuple(Cell(_number(values.get(measure), MEASURES[measure].decimals)) for measure in MEASURES)
            lines.append(Line(f"{method} ({name}, published)", "published", cells))
    headings = tuple(f"{measure.title} {measure.arrow}" for measure in MEASURES.values())
    return Grid(f"{subset.name} ({subset.images} images)", headings, tuple(lines))


def _cell(estimate: Estimate | None, name: str, mark: str) -> Cell:
    decimals = MEASURES[name].decimals
    if estimate is None:
        return Cell(NOTHING)
    if estimate.low is None or estimate.high is None:
        return Cell(_number(estimate.value, decimals))
    return Cell(
        _number(estimate.value, decimals),
        f"[{_number(estimate.low, decimals)}, {_number(estimate.high, decimals)}]",
        mark,
    )


def _number(value: float | None, decimals: int, sign: str = "") -> str:
    if value is None:
        return NOTHING
    if np.isfinite(value):
        return f"{value:{sign}.{decimals}f}"
    return f"{sign}∞" if value > 0 else "-∞"


def _signed(estimate: Estimate, decimals: int) -> str:
    value, low, high = (_number(number, decimals, "+") for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} (no interval)" if estimate.low is None else f"{value} [{low}, {high}]"


def _aligned(grid: Grid, width: int | None) -> list[str]:
    """Return the lines of a grid, its columns in blocks that fit the width; intervals stand below their values."""
    rows: list[tuple[str, ...]] = [("method", *(f"{heading}  " for heading in grid.headings))]
    for line in grid.lines:
        rows.append((line.name, *(f"{cell.value} {cell.mark or ' '}" for cell in line.cells)))
        if any(cell.interval for cell in line.cells):
            rows.append(("", *(cell.interval for cell in line.cells)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        wanted = widths[0] + sum(widths[other] + 2 for other in [*blocks[-1], column])
        if width is not None and wanted > width and blocks[-1]:
            blocks.append([])
        blocks[-1].append(column)
    lines: list[str] = []
    for block in blocks:
        lines += [""] if lines else []
        for row in rows:
            cells = "".join(row[column].rjust(widths[column] + 2) for column in block)
            lines.append(f"{row[0].ljust(widths[0])}{cells}".rstrip())
    return lines


def _plain(line: Line) -> tuple[str, ...]:
    return (line.name, *(" ".join(filter(None, (cell.value, cell.interval, cell.mark))) for cell in line.cells))


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Unlike `templates.cell`, escape nothing but the bar: intervals have brackets."""
    return "\n".join(markdown_table(headings, ([text.replace("|", "\\|") for text in row] for row in rows)))
