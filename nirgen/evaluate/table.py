"""The table of an evaluation in the layout of the paper's Table 2, for a terminal and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nirgen.evaluate.measures import MEASURES, TABLES
from nirgen.evaluate.methods import BASELINE
from nirgen.evaluate.summary import VERDICT_BY
from nirgen.stats import Estimate
from nirgen.templates import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nirgen.evaluate.measures import Measure
    from nirgen.evaluate.summary import Report, Row, Subset
    from nirgen.evaluate.supplement import Column, Supplement, SupplementRow


MARKS = {"better": "+", "worse": "-", "undecided": "="}
LEGEND = "against the best floor: + better, - worse, = not told apart (the paired difference's 95 % interval holds 0)"
NOTHING = "–"


class Cell(NamedTuple):
    """A number as text; the interval and the mark may be empty."""

    value: str
    interval: str = ""
    mark: str = ""


class Line(NamedTuple):
    """A row of a grid."""

    name: str
    kind: str  # of the method, or `published`
    cells: tuple[Cell, ...]


class Grid(NamedTuple):
    """A table as text."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    verdicts: tuple[str, ...] = ()  # sentences on its methods


def grids(report: Report) -> list[Grid]:
    """Return the tables of all images, which has the published rows, then of the subsets, then the supplements."""
    main = [_grid(subset, report.published if subset.name == "all" else ()) for subset in report.subsets]
    return [*main, *map(_supplement, report.supplements)]


def verdicts(subset: Subset) -> list[str]:
    """Return a sentence on each method against the baseline `grey`; without that, one that says so."""
    sentences = []
    where = "these images" if subset.name == "all" else f"the images '{subset.name}'"
    for each in subset.verdicts:
        said = "undecided against" if each.verdict == "undecided" else f"{each.verdict} than"
        decimals, estimate = MEASURES[VERDICT_BY].decimals, each.difference
        value, low, high = (_number(number, decimals, "+") for number in (estimate.value, estimate.low, estimate.high))
        interval = "no interval" if estimate.low is None else f"95 % interval {low} to {high}"
        measured = "PSNR after the best gain and offset of each image"
        sentences.append(f"{each.method} is {said} {each.other} on {where} ({value} dB, {interval}; {measured})")
    return sentences or [f"no verdict: the baseline {BASELINE} needs the photos; name their folder with --rgb"]


def differences(subset: Subset) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Return the comparisons as (method, other, [(measure, difference with interval, verdict)])."""
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for each in subset.comparisons:
        measure, estimate = MEASURES[each.measure], each.difference
        numbers = (estimate.value, estimate.low, estimate.high)
        value, low, high = (_number(number, measure.decimals, "+") for number in numbers)
        text = f"{value} (no interval)" if estimate.low is None else f"{value} [{low}, {high}]"
        found.setdefault((each.method, each.other), []).append((measure.title, text, each.verdict))
    return [(method, other, entries) for (method, other), entries in found.items()]


def definitions(report: Report) -> list[tuple[str, str, str, str, str]]:
    """Return title, better direction, range, definition and input of each measure, then those of the supplements."""
    found = [(each.title, each.arrow, each.limits, each.definition, each.input) for each in MEASURES.values()]
    for supplement in report.supplements:
        found += [(each.heading, "", "", each.definition, supplement.title) for each in supplement.columns]
    return found


def as_text(report: Report, width: int | None = None, *, explain: bool = False) -> str:
    """Return the report for a terminal of `width` characters; wider tables are cut into blocks of columns.

    It begins with the verdicts. With `explain`, it ends with the definitions of the measures.
    """
    first, *rest = grids(report)
    lines = [*first.verdicts, "", report.about, ""]
    lines += [f"{first.title}:" if rest else "", *_aligned(first, width), ""]
    for grid in rest:
        lines += [f"{grid.title}:", *grid.verdicts, *_aligned(grid, width), ""]
    lines = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    for subset in report.subsets:
        for method, other, entries in differences(subset):
            of = "" if subset.name == "all" else f" ({subset.name})"
            texts = (f"{title} {text} {verdict}" for title, text, verdict in entries)
            lines += [f"{method} - {other}{of}:", *(f"  {text}" for text in texts)]
    lines += ["", f"marks: {LEGEND}"] if any(subset.comparisons for subset in report.subsets) else [""]
    lines += [f"{name}: {note}" for name, note in report.notes]
    if not explain:
        return "\n".join([*lines, "definitions of the measures: --explain"])
    lines += ["measures:"]
    for title, arrow, *words in definitions(report):
        lines.append(f"  {title} {arrow}".rstrip() + f"  {'; '.join(filter(None, words))}")
    return "\n".join(lines)


def as_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    parts = ["# Evaluation"]
    for number, grid in enumerate(grids(report)):
        rows = ((line.name, *(" ".join(filter(None, cell)) for cell in line.cells)) for line in grid.lines)
        said = [f"**{text}.**" for text in grid.verdicts]
        parts += [*said, report.about] if number == 0 else []
        parts += [f"## {grid.title}", *(said if number else ()), _table(("method", *grid.headings), rows)]
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
    parts += ["## Measures", _table(columns, definitions(report))]
    return "\n\n".join(parts) + "\n"


def _grid(subset: Subset, published: tuple[str, ...]) -> Grid:
    floors = {row.method for row in subset.rows if row.kind == "floor"}
    marks = {(each.method, each.measure): MARKS[each.verdict] for each in subset.comparisons if each.other in floors}

    def cell(row: Row, measure: Measure) -> Cell:
        estimate = row.estimates.get(measure.name, Estimate(None))
        value, low, high = (_number(each, measure.decimals) for each in (estimate.value, estimate.low, estimate.high))
        if estimate.low is None:
            return Cell(value)
        return Cell(value, f"[{low}, {high}]", marks.get((row.method, measure.name), ""))

    lines = [Line(row.method, row.kind, tuple(cell(row, each) for each in MEASURES.values())) for row in subset.rows]
    for name in published:
        for method, values in TABLES[name].rows.items():
            cells = tuple(Cell(_number(values.get(each.name), each.decimals)) for each in MEASURES.values())
            lines.append(Line(f"{method} ({name}, published)", "published", cells))
    headings = tuple(f"{measure.title} {measure.arrow}" for measure in MEASURES.values())
    return Grid(f"{subset.name} ({subset.images} images)", headings, tuple(lines), tuple(verdicts(subset)))


def _supplement(supplement: Supplement) -> Grid:
    def cell(row: SupplementRow, column: Column) -> Cell:
        estimate = row.estimates.get(column.name, Estimate(None))
        value, low, high = (_number(each, column.decimals) for each in (estimate.value, estimate.low, estimate.high))
        interval = "" if estimate.low is None else f"[{low}, {high}]"
        return Cell(value, interval, MARKS.get(row.marks.get(column.name, ""), ""))

    lines = [
        Line(row.method, row.kind, tuple(cell(row, each) for each in supplement.columns)) for row in supplement.rows
    ]
    return Grid(supplement.title, tuple(column.heading for column in supplement.columns), tuple(lines))


def _number(value: float | None, decimals: int, sign: str = "") -> str:
    if value is None:
        return NOTHING
    if np.isfinite(value):
        return f"{value:{sign}.{decimals}f}"
    return f"{sign}∞" if value > 0 else "-∞"


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


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Unlike `templates.cell`, escape nothing but the bar: intervals have brackets."""
    return "\n".join(markdown_table(headings, ([text.replace("|", "\\|") for text in row] for row in rows)))
