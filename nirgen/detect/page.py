"""Page of a comparison: one HTML file that loads nothing, with the answer, the arms, and what each finds and misses."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.dataset.drawing import COLOURS
from nirgen.detect.answer import answer
from nirgen.detect.arms import PRETRAINED, REAL
from nirgen.detect.figures import choose_changes, found_by
from nirgen.detect.report import notes_on, sentence, table
from nirgen.errors import ImageError
from nirgen.files import output_file
from nirgen.templates import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.dataset.read import Image
    from nirgen.detect.answer import Answer, Finding, Tested
    from nirgen.detect.comparison import Comparison
    from nirgen.detect.matching import OnImage


PAGE = "answer.html"
_SIDE = 480  # pixels of the longer side of a picture
_WIDE = 640.0  # of a chart, in its own units
_VERDICTS = {"helps": "Use them", "grey": "Grey does as well", "hurts": "They hurt", "undecided": "No evidence"}
WORDS = {
    "helps": "use them",
    "grey": "as grey",
    "hurts": "they hurt",
    "undecided": "undecided",
    "unknown": "can't be told",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A number with its interval on an axis, in units of the chart."""

    at: float
    low: float
    high: float
    dots: tuple[float, ...]  # of each seed
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a chart: ticks with their labels, and where 0 is."""

    ticks: tuple[tuple[float, str], ...]
    start: float
    span: float

    def place(self, value: float) -> float:
        """Return where a value is, in units of the chart."""
        return round((value - self.start) / self.span * _WIDE, 1)


@dataclass(frozen=True, slots=True)
class Outline:
    """A box on a picture."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    kind: str  # object, found, missed or false
    title: str


def write(comparison: Comparison, out: Path, before: Sequence[str] = ()) -> None:
    """Write the page; an older one is replaced. `before` are the lines that were told before the training."""
    page = render_page(comparison, answer(comparison), before).encode("utf-8", "backslashreplace")
    with output_file(out / PAGE) as temporary:
        temporary.write_bytes(page)


def render_page(comparison: Comparison, found: Answer, before: Sequence[str] = ()) -> str:
    """Return the page; `before` are the lines that were told before the training."""
    headings, rows = table(comparison)
    arms = len(comparison.arms)
    colours = {category.name: _hex(category.id) for category in comparison.split.categories}
    return render(
        "nirgen.detect",
        "page.html.j2",
        answer=found,
        verdict=_VERDICTS.get(found.advice, "Can't be told"),
        sentence=sentence(comparison),
        differences=_differences(found.findings),
        strips=_strips(comparison),
        headings=headings,
        rows=[[cell.partition(" (")[::2] for cell in row] for row in rows[:arms]],
        titles=[each.arm.title for each in comparison.arms],
        counts=[each.arm for each in comparison.arms],
        pictures=_pictures(comparison, colours),
        colours=colours,
        before=before,
        notes=notes_on(comparison),
        split=comparison.split,
        seeds=len(comparison.config.seeds),
        wide=_WIDE,
    )


def _axis(low: float, high: float) -> Axis:
    """Return an axis that holds both ends, with round ticks."""
    span = max(high - low, 1e-6)
    step = next(each for each in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if span / each <= 6 or each == 0.5)
    first, last = int(low // step), int(-(-high // step))
    axis = Axis((), first * step, (last - first) * step)
    ticks = tuple((axis.place(number * step), f"{number * step:.3g}") for number in range(first, last + 1))
    return Axis(ticks, axis.start, axis.span)


def _differences(findings: Sequence[Finding]) -> tuple[Axis, list[tuple[Finding, Bar | None, Bar | None]]]:
    """Return differences from real images and from grey copies, on one axis."""
    tested = [each for finding in findings for each in (finding.real, finding.grey) if each is not None]
    ends = [end for each in tested for end in (each.estimate.low, each.estimate.high) if end is not None]
    axis = _axis(min([*ends, -0.01]), max([*ends, 0.01]))

    def bar(each: Tested | None) -> Bar | None:
        if each is None or each.measured.value is None:
            return None
        estimate = each.estimate
        value = each.measured.value
        low, high = (value if end is None else end for end in (estimate.low, estimate.high))
        text = f"{value:+.3f} ({low:+.3f} to {high:+.3f}), p {each.p:.3g} among {each.looks}"
        return Bar(axis.place(value), axis.place(low), axis.place(high), (), text)

    return axis, [(each, bar(each.real), bar(each.grey)) for each in findings]


def _strips(comparison: Comparison) -> tuple[Axis, list[tuple[str, Bar]]]:
    """Return mAP of each arm with its seeds, on one axis."""
    arms = [each for each in comparison.arms if each.numbers["ap"].value is not None]
    values = [float(value) for each in arms for value in each.values["ap"]]
    ends = [end for each in arms for end in (each.numbers["ap"].low, each.numbers["ap"].high) if end is not None]
    axis = _axis(0.0, max([*values, *ends, 0.01]))
    strips = []
    for each in arms:
        number = each.numbers["ap"]
        value = number.value or 0.0
        low, high = (value if end is None else end for end in (number.low, number.high))
        dots = tuple(axis.place(float(one)) for one in each.values["ap"])
        text = f"mAP {value:.3f}" + ("" if number.low is None else f" ({low:.3f} to {high:.3f})")
        strips.append((each.arm.title, Bar(axis.place(value), axis.place(low), axis.place(high), dots, text)))
    return axis, strips


def _pictures(comparison: Comparison, colours: dict[str, str]) -> list[dict[str, object]]:
    """Return test images with the objects, and what each trained arm finds there by its first seed."""
    split = comparison.split
    trained = [each for each in comparison.arms if each.arm.name != PRETRAINED]
    found = {each.arm.name: found_by(each, split) for each in trained}
    rows: list[dict[str, object]] = []
    for title, places in choose_changes(found[REAL], found[comparison.reference.arm.name]):
        for place in places:
            image = split.images[place]
            objects = [
                Outline(*box.bbox, colours[box.category], "object", box.category)
                for box in image.boxes
                if not box.ignored
            ]
            cells = [("objects", "", objects)]
            for each in trained:
                on_image = found[each.arm.name][place]
                cells.append((each.arm.title, on_image.describe(), _outlines(on_image, colours)))
            rows.append({"title": title, "image": image, "uri": _uri(image), "cells": cells, "number": len(rows)})
            title = ""  # noqa: PLW2901 - of the first row alone
    return rows


def _outlines(found: OnImage, colours: dict[str, str]) -> list[Outline]:
    """Return what an arm found on an image, what it missed, and what isn't there."""
    missed = [*found.missed, *(pair.object for pair in found.confused)]
    false = [*found.false, *(pair.detection for pair in found.confused)]
    outlines = [Outline(*box.bbox, colours[box.category], "missed", f"missed {box.category}") for box in missed]
    for kind, detections in (("false", false), ("found", [pair.detection for pair in found.hits])):
        for each in detections:
            title = f"{each.category} {each.score:.2f}"
            outlines.append(Outline(*each.bbox, colours[each.category], kind, title))
    return outlines


def _uri(image: Image) -> str | None:
    """Return a picture of an image for the page; None if it can't be read."""
    try:
        pixels = images.read(image.path)
    except ImageError:
        return None
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    size = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
    data = images.encode(images.resize(pixels, size), "jpg")
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _hex(category_id: int) -> str:
    red, green, blue = COLOURS[category_id % len(COLOURS)]
    return f"#{red:02x}{green:02x}{blue:02x}"
