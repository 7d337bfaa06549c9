"""The table of an evaluation in the layout of the paper's Table 2, for a terminal and as Markdown."""

from __future__ import annotations

from textwrap import shorten, wrap
from typing import TYPE_CHECKING, NamedTuple

from nirgen.errors import counted
from nirgen.escapes import markdown
from nirgen.evaluate.cost import COLUMNS
from nirgen.evaluate.measures import MEASURES, TABLES
from nirgen.evaluate.summary import VERDICT_BY
from nirgen.evaluate.verdicts import NOTHING, brief_sentences, differences, number, sentences
from nirgen.stats import Estimate
from nirgen.templates import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nirgen.evaluate.cost import Cost, Costs
    from nirgen.evaluate.measures import Measure
    from nirgen.evaluate.summary import Report, Row, Subset
    from nirgen.evaluate.supplement import Column, Supplement, SupplementRow


MARKS = {"better": "+", "worse": "-", "undecided": "="}
LEGEND = "against the best floor: + better, - worse, = not told apart (the paired difference's 95 % interval holds 0)"
SHORT_LEGEND = "marks against the best baseline: + better, - worse, = not told apart"
BRIEF = (  # columns on a terminal, those first that stay where there is no room
    *("psnr_affine", "parameters", "GMAC", "s/image", "ssim_affine", "psnr", "ssim"),
    *("licence", "lpips", "fid", "features_distance"),
)
MOST_METHODS, _FEWEST_METHODS = 9, 3  # rows of a brief table
_AROUND_ROWS = 3  # lines of a brief table beside its rows
_OTHERS = 5  # lines of the command beside the first numbers: what it does, notes, the next command
SCREEN = (24, 80)  # lines, columns


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
    """Return the tables of all images, which has the published rows, of costs, of the subsets, and the supplements."""
    whole, *parts = report.subsets
    costs = [] if report.costs is None else [_costs(whole, report.costs)]
    return [_grid(whole, report.published), *costs, *map(_grid, parts), *map(_supplement, report.supplements)]


def _costs(subset: Subset, costs: Costs) -> Grid:
    """Return the table of costs, beside the measure of the verdict."""
    full = _grid(subset)
    at = list(MEASURES).index(VERDICT_BY)
    lines = (line._replace(cells=(line.cells[at], *_cells(costs.methods[line.name]))) for line in full.lines)
    return Grid(f"cost and licence ({costs.about})", (full.headings[at], *COLUMNS), tuple(lines))


def definitions(report: Report) -> list[tuple[str, str, str, str, str]]:
    """Return title, better direction, range, definition and input of each measure, then those of the supplements."""
    found = [(each.title, each.arrow, each.limits, each.definition, each.input) for each in MEASURES.values()]
    for supplement in report.supplements:
        found += [(each.heading, "", "", each.definition, supplement.title) for each in supplement.columns]
    if report.costs is not None:
        found += [(name, "", "", definition, report.costs.about) for name, definition in COLUMNS.items()]
    return found


def as_brief(report: Report, width: int = SCREEN[1]) -> str:
    """Return the main numbers and the first notes for a terminal of `width` characters, three lines less than a screen.

    It begins with the verdicts. What has no room is counted.
    """
    whole = report.subsets[0]
    lines = _few([line for each in brief_sentences(whole) for line in wrap(each, width)], 4, "verdicts")
    lines += ["", *_few(wrap(report.about, width), 3), ""]
    beside = grids(report)[1 if report.costs is None else 2 :]
    more = [*(grid.title for grid in beside), *(f"published {name}" for name in report.published)]
    missing = [each.title for each in MEASURES.values() if each.name not in whole.rows[0].estimates]
    below = [] if report.costs is None else [f"{report.costs.about}; licences: {_licences(whole, report.costs)}"]
    below += [f"more tables: {', '.join(more)}"] if more else []
    below += [f"not measured: {', '.join(missing)}; --explain says why"] if missing else []
    after = [line for each in below for line in _few(wrap(each, width), 3)]
    most = SCREEN[0] - _OTHERS - len(lines) - len(after) - _AROUND_ROWS
    lines += [*brief_table(whole, width, report.costs, most=min(max(most, _FEWEST_METHODS), MOST_METHODS)), *after]
    own = {method.name for method in report.scores.methods}
    said = [(name, note) for name, note in report.notes if name not in missing]
    notes = [wrap(f"{name}: {note}", width) for name, note in sorted(said, key=lambda each: each[0] not in own)]
    room = SCREEN[0] - _OTHERS - len(lines)
    shown = 0
    while shown < len(notes) and len(notes[shown]) <= room:
        lines += notes[shown]
        room -= len(notes[shown])
        shown += 1
    lines += [f"... and {counted(len(notes) - shown, 'more note')}"] if shown < len(notes) else []
    return "\n".join(line for each in lines for line in ([each] if len(each) <= width else wrap(each, width)))


def brief_table(
    subset: Subset, width: int = SCREEN[1], costs: Costs | None = None, *, most: int = MOST_METHODS
) -> list[str]:
    """Return the lines of a table without intervals and its legend: columns that fit, and the `most` first methods."""
    full = _grid(subset)
    if costs is not None:
        lines = (line._replace(cells=(*line.cells, *_cells(costs.methods[line.name]))) for line in full.lines)
        full = full._replace(headings=(*full.headings, *COLUMNS), lines=tuple(lines))
    there = {name for name in MEASURES if any(row.estimates.get(name) for row in subset.rows)}
    places = {name: at for at, name in enumerate([*MEASURES, *COLUMNS][: len(full.headings)])}
    names = [name for name in BRIEF if name in places and name not in MEASURES.keys() - there]
    while True:
        shown = sorted(places[name] for name in names)
        rows = [line._replace(cells=tuple(line.cells[at]._replace(interval="") for at in shown)) for line in full.lines]
        brief = Grid(full.title, tuple(full.headings[at] for at in shown), tuple(rows[:most]))
        printed = _aligned(brief, None)
        if len(names) == 1 or max(map(len, printed)) <= width:
            break
        names.pop()
    printed += [f"... and {counted(len(rows) - most, 'more method')}"] if len(rows) > most else []
    return [*printed, SHORT_LEGEND] if any(cell.mark for row in rows for cell in row.cells) else printed


def _licences(subset: Subset, costs: Costs) -> str:
    """Return the licences of the methods that aren't baselines, cut, each with its methods."""
    of: dict[str, list[str]] = {}
    for row in subset.rows:
        if row.kind != "floor":
            of.setdefault(costs.methods[row.method].licence, []).append(row.method)
    named = (f"{', '.join(names)}: {shorten(licence, 40, placeholder=' ...')}" for licence, names in of.items())
    return "; ".join(named)


def _cells(cost: Cost) -> tuple[Cell, ...]:
    return tuple(Cell(text or NOTHING) for text in cost.texts())


def _few(lines: list[str], most: int, of: str = "") -> list[str]:
    left = counted(len(lines) - most + 1, f"more line{of and f' of {of}'}", f"more lines{of and f' of {of}'}")
    return lines if len(lines) <= most else [*lines[: most - 1], f"... and {left}"]


def as_text(report: Report, width: int | None = None, *, explain: bool = False) -> str:
    """Return the whole report for a terminal of `width` characters; wider tables are cut into blocks of columns.

    It begins with the verdicts. With `explain`, it ends with the definitions of the measures.
    """
    first, *rest = grids(report)
    lines = [*first.verdicts, "", report.about, ""]
    lines += [f"{first.title}:" if rest else "", *_aligned(first, width), ""]
    for grid in rest:
        lines += [f"{grid.title}:", *grid.verdicts, *_aligned(grid, width), ""]
    lines = [line for position, line in enumerate(lines) if line or (position and lines[position - 1])]
    for subset in report.subsets:
        for method, other, entries in differences(subset):
            of = "" if subset.name == "all" else f" ({subset.name})"
            texts = (f"{title} {text} {verdict}" for title, text, verdict in entries)
            lines += [f"{method} - {other}{of}:", *(f"  {text}" for text in texts)]
    lines += ["", f"marks: {LEGEND}"] if any(subset.comparisons for subset in report.subsets) else [""]
    lines += [f"{name}: {note}" for name, note in report.notes]
    if not explain:
        return "\n".join(lines)
    lines += ["measures:"]
    for title, arrow, *words in definitions(report):
        lines.append(f"  {title} {arrow}".rstrip() + f"  {'; '.join(filter(None, words))}")
    return "\n".join(lines)


def as_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    parts = ["# Evaluation"]
    for position, grid in enumerate(grids(report)):
        rows = ((line.name, *(" ".join(filter(None, cell)) for cell in line.cells)) for line in grid.lines)
        said = [f"**{markdown(text)}.**" for text in grid.verdicts]
        parts += [*said, report.about] if position == 0 else []
        parts += [
            f"## {markdown(grid.title)}",
            *(said if position else ()),
            _table(("method", *grid.headings), rows, names=1),
        ]
    compared = [
        (subset.name, method, other, *entry)
        for subset in report.subsets
        for method, other, entries in differences(subset)
        for entry in entries
    ]
    if compared:
        headings = ("images", "method", "minus", "measure", "difference [95 % interval]", "verdict")
        parts += ["## What the methods add", f"In the tables above: {LEGEND}.", _table(headings, compared, names=3)]
    if report.notes:
        parts += ["## Notes", "\n".join(f"- {markdown(name)}: {markdown(note)}" for name, note in report.notes)]
    columns = ("measure", "better", "range", "definition", "compared")
    parts += ["## Measures", _table(columns, definitions(report))]
    return "\n\n".join(parts) + "\n"


def _grid(subset: Subset, published: tuple[str, ...] = ()) -> Grid:
    floors = {row.method for row in subset.rows if row.kind == "floor"}
    marks = {(each.method, each.measure): MARKS[each.verdict] for each in subset.comparisons if each.other in floors}

    def cell(row: Row, measure: Measure) -> Cell:
        estimate = row.estimates.get(measure.name, Estimate(None))
        value, low, high = (number(each, measure.decimals) for each in (estimate.value, estimate.low, estimate.high))
        if estimate.low is None:
            return Cell(value)
        return Cell(value, f"[{low}, {high}]", marks.get((row.method, measure.name), ""))

    lines = [Line(row.method, row.kind, tuple(cell(row, each) for each in MEASURES.values())) for row in subset.rows]
    for name in published:
        for method, values in TABLES[name].rows.items():
            cells = tuple(Cell(number(values.get(each.name), each.decimals)) for each in MEASURES.values())
            lines.append(Line(f"{method} ({name}, published)", "published", cells))
    headings = tuple(f"{measure.title} {measure.arrow}" for measure in MEASURES.values())
    return Grid(f"{subset.name} ({counted(subset.images, 'image')})", headings, tuple(lines), tuple(sentences(subset)))


def _supplement(supplement: Supplement) -> Grid:
    def cell(row: SupplementRow, column: Column) -> Cell:
        estimate = row.estimates.get(column.name, Estimate(None))
        value, low, high = (number(each, column.decimals) for each in (estimate.value, estimate.low, estimate.high))
        interval = "" if estimate.low is None else f"[{low}, {high}]"
        return Cell(value, interval, MARKS.get(row.marks.get(column.name, ""), ""))

    lines = [
        Line(row.method, row.kind, tuple(cell(row, each) for each in supplement.columns)) for row in supplement.rows
    ]
    return Grid(supplement.title, tuple(column.heading for column in supplement.columns), tuple(lines))


def _aligned(grid: Grid, width: int | None) -> list[str]:
    """Return the lines of a grid, its columns in blocks that fit the width; intervals stand below their values."""
    marked = [any(line.cells[column].mark for line in grid.lines) for column in range(len(grid.headings))]
    blank = ["  " if each else "" for each in marked]
    headings = (f"{heading}{room}" for heading, room in zip(grid.headings, blank, strict=True))
    rows: list[tuple[str, ...]] = [("method", *headings)]
    for line in grid.lines:
        padded = zip(line.cells, blank, strict=True)
        rows.append((line.name, *(f"{cell.value}{f' {cell.mark}' if cell.mark else room}" for cell, room in padded)))
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


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], names: int = 0) -> str:
    """Escape the first `names` columns, which come from data; of the others the bar: intervals have brackets."""
    escaped = ([*map(markdown, row[:names]), *(text.replace("|", "\\|") for text in row[names:])] for row in rows)
    return "\n".join(markdown_table(headings, escaped))
