"""Charts as SVG that stands in a page: its letters and lines have the page's colours, in light and in dark."""

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

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
