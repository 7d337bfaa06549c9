"""Charts of a report, as SVG in the page's colours, light and dark, each with a caption."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from nirgen.report.survey import LEVELS, SLOPES, overlap
from nirgen.scores import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from nirgen.report.survey import Statistics, Survey


Kind = Literal["generated", "real"]

_INK, _LINE, _GENERATED, _REAL = "#010101", "#020202", "#030303", "#040404"
_COLOURS = {_INK: "currentColor", _LINE: "var(--line)", _GENERATED: "var(--generated)", _REAL: "var(--real)"}
"""Colours to draw with, and what the page makes of them."""
_OF_KIND = {"generated": _GENERATED, "real": _REAL}


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one kind of images.

    Attributes:
        kind: `generated`, drawn as an area, or `real`, as a line.
        shares: One for each bin.
    """

    kind: Kind
    shares: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in the page.

    Attributes:
        title: Its heading.
        svg: Safe to be put into HTML as it is.
        caption: What it says, in words.
    """

    title: str
    svg: str
    caption: str


def histogram(
    title: str,
    caption: str,
    edges: NDArray[np.float64],
    series: Sequence[Series],
    *,
    label: str,
    of: str,
    ticks: Sequence[float] | None = None,
    logarithmic: bool = False,
    marks: Sequence[float] = (),
) -> Chart:
    """Draw distributions over each other.

    Args:
        title: What it shows; also what the picture is called for people who don't see it, with the caption.
        caption: What it says.
        edges: Of the bins, ascending.
        series: At least one.
        label: Of the horizontal axis, with its unit.
        of: What the vertical axis has shares of, such as `images`.
        ticks: On the horizontal axis, if not chosen by itself.
        logarithmic: Whether the horizontal axis is.
        marks: Values to mark by thin vertical lines.
    """
    figure = Figure(figsize=(3.6, 2.25), layout="constrained")
    axes = figure.subplots()
    for each in series:
        colour = _OF_KIND[each.kind]
        if each.kind == "generated":
            axes.stairs(each.shares, edges, fill=True, color=colour, alpha=0.28, linewidth=0)
        axes.stairs(each.shares, edges, color=colour, linewidth=1.5)
    for mark in marks:
        axes.axvline(mark, color=_INK, linewidth=0.7, linestyle=(0, (2, 3)), zorder=0)
    _style(axes, label, f"share of {of}")
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.06 * max(1e-9, *(float(each.shares.max()) for each in series)))
    if ticks is not None:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    return Chart(title, _svg(figure, title, caption), caption)


def shares(values: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of values in each bin; what lies outside is counted in the outermost, and NaN nowhere.

    Args:
        values: Any number of them.
        edges: Of the bins, ascending.

    Example:
        >>> shares(np.array([1.0, 2.0, 99.0, np.nan]), np.array([0.0, 1.5, 3.0])).round(2).tolist()
        [0.33, 0.67]
    """
    known = np.asarray(values, np.float64)[~np.isnan(values)]
    counts, _ = np.histogram(known.clip(edges[0], edges[-1]), edges)
    return counts / max(1, len(known))


def _style(axes: Axes, label: str, across: str) -> None:
    axes.set_xlabel(label, color=_INK, fontsize=9)
    axes.set_ylabel(across, color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelcolor=_INK, labelsize=9, length=3, width=0.7)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    axes.locator_params(axis="y", nbins=4)
    axes.grid(axis="y", color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_INK)
    axes.spines["bottom"].set_linewidth(0.7)
    axes.patch.set_visible(False)


def _svg(figure: Figure, title: str, caption: str) -> str:
    """The chart without what a page must not have twice: prolog, metadata, global styles and the names of groups."""
    figure.patch.set_visible(False)
    file = io.StringIO()
    # The names of what is drawn come from the salt, so that they differ between charts, and not from chance.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    head, body = re.search(r"<svg\b([^>]*)>(.*)</svg>", text, re.DOTALL).groups()  # type: ignore[union-attr]
    body = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style\b.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    for drawn, shown in _COLOURS.items():
        body = body.replace(drawn, shown)
    box = re.search(r'viewBox="[^"]*"', head).group()  # type: ignore[union-attr]
    body = re.sub(r"\s*\n\s*", " ", body)
    name = html.escape(f"{title}: {caption}")
    return f'<svg {box} role="img" aria-label="{name}">{body.strip()}</svg>'


KINDS: tuple[tuple[Kind, bool], ...] = (("generated", True), ("real", False))
_SIDES = np.geomspace(4, 1024, 33)
_SIDE_TICKS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
_COCO_BORDERS = (32, 96)
_MOST_BOXES = 40
_BINS = 30


def content_charts(survey: Survey) -> list[Chart]:
    """How large boxes are, and how many there are on an image."""
    boxes = survey.boxes
    if not len(boxes.side):
        return []
    charts = list(
        _compared(
            "Size of boxes",
            {kind: boxes.side[boxes.generated == wanted] for kind, wanted in KINDS},
            _SIDES,
            label="√(width × height), pixels",
            of="boxes",
            unit=" px",
            ticks=_SIDE_TICKS,
            logarithmic=True,
            marks=_COCO_BORDERS,
            note="Dotted: COCO's borders of small, medium and large, at 32 and 96 px.",
        )
    )
    most = int(min(_MOST_BOXES, max(5, survey.counts.max())))
    charts += _compared(
        "Boxes on an image",
        {kind: survey.counts[survey.generated == wanted].astype(np.float64) for kind, wanted in KINDS},
        np.arange(-0.5, most + 1),
        label=f"boxes ({most} or more in the last bar)" if survey.counts.max() > most else "boxes",
        of="images",
    )
    return charts


def score_charts(survey: Survey) -> list[Chart]:
    """How the scores of images, and the fidelity of boxes, are distributed."""
    charts: list[Chart] = []
    for name, about in IMAGE_SCORES.items():
        if name == "trouble" or name not in survey.scores:
            continue
        values = survey.scores[name]
        charts += _compared(
            name.capitalize(),
            {kind: values[survey.generated == wanted] for kind, wanted in KINDS},
            _edges(values),
            label=name,
            of="images",
            note=_sentence(about),
        )
    boxes = survey.boxes
    charts += _compared(
        "Fidelity of boxes",
        {kind: boxes.fidelity[boxes.generated == wanted] for kind, wanted in KINDS},
        np.linspace(0, 1, 26),
        label="fidelity",
        of="boxes",
        note="1: what the box promises is as visible in NIR as in RGB; low is bad.",
    )
    return charts


def statistics_charts(statistics: Mapping[bool, Statistics]) -> list[Chart]:
    """Intensities and gradients of generated and of real images over each other."""
    if not statistics:
        return []
    levels = [Series(kind, statistics[wanted].levels) for kind, wanted in KINDS if wanted in statistics]
    slopes = [Series(kind, statistics[wanted].slopes) for kind, wanted in KINDS if wanted in statistics]
    return [
        histogram(
            "Intensity",
            _shared(levels),
            LEVELS,
            levels,
            label="grey level",
            of="pixels",
            ticks=(0, 64, 128, 192, 256),
        ),
        histogram(
            "Gradient",
            _shared(slopes),
            SLOPES,
            slopes,
            label="grey levels a pixel",
            of="pixels",
            ticks=(1, 2, 4, 8, 16, 32, 64, 128),
            logarithmic=True,
        ),
    ]


def _compared(
    title: str,
    values: Mapping[Kind, NDArray[np.floating]],
    edges: NDArray[np.float64],
    *,
    label: str,
    of: str,
    unit: str = "",
    note: str = "",
    ticks: tuple[float, ...] | None = None,
    logarithmic: bool = False,
    marks: tuple[float, ...] = (),
) -> Iterator[Chart]:
    """A histogram of what is known of each kind; none if nothing is."""
    known = {kind: each[~np.isnan(each)] for kind, each in values.items()}
    known = {kind: each for kind, each in known.items() if len(each)}
    if not known:
        return
    medians = ", ".join(f"{kind} {np.median(each):.3g}{unit}" for kind, each in known.items())
    yield histogram(
        title,
        f"Median: {medians}. {note}".strip(),
        edges,
        [Series(kind, shares(each, edges)) for kind, each in known.items()],
        label=label,
        of=of,
        ticks=ticks,
        logarithmic=logarithmic,
        marks=marks,
    )


def _edges(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bins over all but the most extreme hundredth on each side, which the outermost bins have."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.linspace(0, 1, _BINS + 1)
    low, high = (float(each) for each in np.percentile(known, (1, 99)))
    if high - low < 1e-6 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def _shared(series: list[Series]) -> str:
    if len(series) < 2:
        return f"Of {series[0].kind} images alone: there are none of the other kind to compare with."
    return f"Generated and real share {100 * overlap(series[0].shares, series[1].shares):.0f} % of this distribution."


def _sentence(about: str) -> str:
    """What a score means, from its range and meaning: the meaning first."""
    bounds, _, meaning = about.partition(": ")
    return f"{meaning[:1].upper()}{meaning[1:]} ({bounds})." if meaning else f"{about}."
