"""The table of an evaluation in the layout of the paper's Table 2, for a terminal and as Markdown."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nirgen.escapes import markdown
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
SHORT_LEGEND = "marks against the best baseline: + better, - worse, = not told apart"
NOTHING = "–"
BRIEF = ("psnr_affine", "ssim_affine", "psnr", "ssim", "lpips", "fid", "features_distance")  # columns on a terminal
MOST_METHODS = 7  # rows of a brief table
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
    """Return the tables of all images, which has the published rows, then of the subsets, then the supplements."""
    main = [_grid(subset, report.published if subset.name == "all" else ()) for subset in report.subsets]
    return [*main, *map(_supplement, report.supplements)]


def verdicts(subset: Subset) -> list[str]:
    """Return a sentence on each method against the baseline `grey`; without that, one that says so."""
    sentences = []
    where = "these images" if subset.name == "all" else f"the images '{subset.name}'"
    for each in subset.verdicts:
        said = "undecided against" if each.verdict == "undecided" else f"{each.verdict} than"
        measure, estimate = MEASURES[VERDICT_BY], each.difference
        value, low, high = (
            _number(number, measure.decimals, "+") for number in (estimate.value, estimate.low, estimate.high)
        )
        interval = ", no interval" if estimate.low is None else f" [{low}, {high}]"
        sentences.append(f"{each.method} is {said} {each.other} on {where} ({measure.title} {value} dB{interval})")
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


def as_brief(report: Report, width: int = SCREEN[1]) -> str:
    """Return the main numbers and the first notes for a terminal of `width` characters, two lines less than a screen.

    It begins with the verdicts. What has no room is counted.
    """
    whole = report.subsets[0]
    lines = _few([line for each in verdicts(whole) for line in wrap(each, width)], 4, "lines of verdicts")
    lines += ["", *_few(wrap(report.about, width), 3, "lines"), "", *brief_table(whole, width)]
    more = [*(grid.title for grid in grids(report)[1:]), *(f"published {name}" for name in report.published)]
    lines += [f"more tables: {', '.join(more)}"] if more else []
    missing = [each.title for each in MEASURES.values() if each.name not in whole.rows[0].estimates]
    lines += [f"not measured: {', '.join(missing)}; --explain says why"] if missing else []
    own = {method.name for method in report.scores.methods}
    said = [(name, note) for name, note in report.notes if name not in missing]
    notes = [wrap(f"{name}: {note}", width) for name, note in sorted(said, key=lambda each: each[0] not in own)]
    room = SCREEN[0] - 4 - len(lines)
    shown = 0
    while shown < len(notes) and len(notes[shown]) <= room:
        lines += notes[shown]
        room -= len(notes[shown])
        shown += 1
    lines += [f"... and {len(notes) - shown} more notes"] if shown < len(notes) else []
    return "\n".join(line for each in lines for line in ([each] if len(each) <= width else wrap(each, width)))


def brief_table(subset: Subset, width: int = SCREEN[1]) -> list[str]:
    """Return the lines of a table without intervals, of the columns that fit and the first methods, and its legend."""
    names = [name for name in BRIEF if any(row.estimates.get(name) for row in subset.rows)]
    full = _grid(subset, ())
    places = [list(MEASURES).index(name) for name in names]
    rows = [
        Line(line.name, line.kind, tuple(line.cells[at]._replace(interval="") for at in places)) for line in full.lines
    ]
    while True:
        grid = Grid(full.title, tuple(full.headings[at] for at in places[: len(names)]), tuple(rows[:MOST_METHODS]))
        lines = _aligned(grid, None)
        if len(names) == 1 or max(map(len, lines)) <= width:
            break
        names.pop()
        rows = [row._replace(cells=row.cells[: len(names)]) for row in rows]
    lines += [f"... and {len(rows) - MOST_METHODS} more methods"] if len(rows) > MOST_METHODS else []
    return [*lines, SHORT_LEGEND] if any(cell.mark for row in rows for cell in row.cells) else lines


def _few(lines: list[str], most: int, what: str) -> list[str]:
    return lines if len(lines) <= most else [*lines[: most - 1], f"... and {len(lines) - most + 1} more {what}"]


def as_text(report: Report, width: int | None = None, *, explain: bool = False) -> str:
    """Return the whole report for a terminal of `width` characters; wider tables are cut into blocks of columns.

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
        return "\n".join(lines)
    lines += ["measures:"]
    for title, arrow, *words in definitions(report):
        lines.append(f"  {title} {arrow}".rstrip() + f"  {'; '.join(filter(None, words))}")
    return "\n".join(lines)


def as_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    parts = ["# Evaluation"]
    for number, grid in enumerate(grids(report)):
        rows = ((line.name, *(" ".join(filter(None, cell)) for cell in line.cells)) for line in grid.lines)
        said = [f"**{markdown(text)}.**" for text in grid.verdicts]
        parts += [*said, report.about] if number == 0 else []
        parts += [
            f"## {markdown(grid.title)}",
            *(said if number else ()),
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


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], names: int = 0) -> str:
    """Escape the first `names` columns, which come from data; of the others the bar: intervals have brackets."""
    escaped = ([*map(markdown, row[:names]), *(text.replace("|", "\\|") for text in row[names:])] for row in rows)
    return "\n".join(markdown_table(headings, escaped))
