"""Charts of a report, as SVG in the page's colours, light and dark, each with a caption."""

from __future__ import annotations

import html
import io
import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nirgen.report.survey import LEVELS, SLOPES, overlap
from nirgen.scores import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from nirgen.report.survey import Statistics, Survey


# Colours to draw with, which the page's take the place of.
_INK, _LINE, _GENERATED, _REAL = "#010101", "#020202", "#030303", "#040404"
_COLOURS = {_INK: "currentColor", _LINE: "var(--line)", _GENERATED: "var(--generated)", _REAL: "var(--real)"}
_KINDS = {"generated": True, "real": False}
_SIDES = np.geomspace(4, 1024, 33)
_MOST_BOXES = 40
_BINS = 30
_FEW = 20  # values of a kind that are drawn as dots, at most
_LABEL = 44  # characters of a line below an axis


class Chart(NamedTuple):
    """A chart in the page."""

    title: str
    svg: str  # can be put into HTML as it is
    caption: str


def histogram(
    title: str,
    caption: str,
    edges: NDArray[np.float64],
    series: Mapping[str, NDArray[np.float64]],
    *,
    label: str,
    of: str,
    ticks: Sequence[float] = (),
    logarithmic: bool = False,
    marks: Sequence[float] = (),
    few: Collection[str] = (),
) -> Chart:
    """Draw the shares of `generated`, as an area, and of `real`, as a line, in the bins between `edges`.

    The shares of a kind in `few` are counts of values instead, which are drawn as dots, as high as their shares.
    `title` and `caption` are also the text for screen readers. `label`, `ticks` (automatic if empty), `logarithmic` and
    `marks` (values with a thin vertical line) are those of the horizontal axis; the vertical one has shares of `of`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    figure = Figure(figsize=(3.6, 2.25), layout="constrained")
    axes = figure.subplots()
    highest = 0.0
    for kind, shown in series.items():
        colour = _GENERATED if kind == "generated" else _REAL
        if kind in few:
            axes.plot(
                *_dots(shown, edges, kind, both=len(series) > 1), "o", color=colour, markersize=3.5, clip_on=False
            )
            highest = max(highest, float(shown.max()) / shown.sum())
            continue
        if kind == "generated":
            axes.stairs(shown, edges, fill=True, color=colour, alpha=0.28, linewidth=0)
        axes.stairs(shown, edges, color=colour, linewidth=1.5)
        highest = max(highest, float(shown.max()))
    for mark in marks:
        axes.axvline(mark, color=_INK, linewidth=0.7, linestyle=(0, (2, 3)), zorder=0)
    axes.set_xlabel("\n".join(textwrap.wrap(label, _LABEL)), color=_INK, fontsize=9)
    axes.set_ylabel(f"share of {of}", color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelcolor=_INK, labelsize=9, length=3, width=0.7)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    axes.locator_params(axis="y", nbins=4)
    axes.grid(axis="y", color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_INK)
    axes.spines["bottom"].set_linewidth(0.7)
    axes.patch.set_visible(False)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.06 * max(1e-9, highest))
    if ticks:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    elif not logarithmic:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_minor_formatter(NullFormatter())
    return Chart(title, _svg(figure, title, caption), caption)


def _dots(
    counts: NDArray[np.float64], edges: NDArray[np.float64], kind: str, *, both: bool
) -> tuple[list[float], list[float]]:
    """Return x and y of a dot for each value: stacked in its bin, beside those of the other kind if there are both."""
    side = (0.3 if kind == "generated" else 0.7) if both else 0.5
    places = edges[:-1] + side * np.diff(edges)
    x, y = [], []
    for place, count in zip(places, counts.astype(int), strict=True):
        x += [float(place)] * count
        y += [(number + 0.5) / counts.sum() for number in range(count)]
    return x, y


def _svg(figure: Figure, title: str, caption: str) -> str:
    """Return the SVG without prolog, metadata, global styles and ids of groups, which a page can have only once."""
    import matplotlib as mpl

    figure.patch.set_visible(False)
    file = io.StringIO()
    # Ids are made from the salt: the same bytes each time, and other ids in each chart.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    head, body = re.search(r"<svg\b([^>]*)>(.*)</svg>", file.getvalue(), re.DOTALL).groups()  # type: ignore[union-attr]
    body = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style\b.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    for drawn, shown in _COLOURS.items():
        body = body.replace(drawn, shown)
    box = re.search(r'viewBox="[^"]*"', head).group()  # type: ignore[union-attr]
    body = re.sub(r"\s*\n\s*", " ", body)
    name = html.escape(f"{title}: {caption}")
    return f'<svg {box} role="img" aria-label="{name}">{body.strip()}</svg>'


def content_charts(survey: Survey) -> list[Chart]:
    """Draw the sizes of boxes, and the numbers of boxes on an image."""
    boxes = survey.boxes
    if not len(boxes.side):
        return []
    sizes = _compared(
        "Size of boxes",
        boxes.side,
        survey.generated[boxes.frame],
        _SIDES,
        note="Dotted: COCO's borders of small, medium and large, at 32 and 96 px.",
        unit=" px",
        label="√(width × height), pixels",
        of="boxes",
        ticks=(4, 16, 64, 256, 1024),
        logarithmic=True,
        marks=(32, 96),
    )
    counts = np.bincount(boxes.frame, minlength=len(survey.frames))
    most = int(min(_MOST_BOXES, max(5, counts.max())))
    label = f"boxes ({most} or more in the last bar)" if counts.max() > most else "boxes"
    edges = np.arange(-0.5, most + 1)
    return [*sizes, *_compared("Boxes on an image", counts, survey.generated, edges, label=label, of="images")]


def score_charts(survey: Survey) -> list[Chart]:
    """Draw the scores of images, and the fidelity of boxes."""
    charts: list[Chart] = []
    for name, about in IMAGE_SCORES.items():
        if name != "trouble":
            values = survey.scores[name]
            bounds, _, meaning = about.partition(": ")
            bad = bounds.rpartition(", ")[2]  # `low is bad`
            edges = _edges(values)
            title = f"{name.capitalize()}, {bad}"
            charts += _compared(title, values, survey.generated, edges, label=meaning, of="images")
    values, generated = survey.boxes.fidelity, survey.generated[survey.boxes.frame]
    edges = np.linspace(0, 1, 26)
    label = "1: the object is as visible in NIR as in RGB"
    charts += _compared("Fidelity of boxes, low is bad", values, generated, edges, label=label, of="boxes")
    return charts


def statistics_charts(statistics: Mapping[bool, Statistics]) -> list[Chart]:
    """Draw intensities and gradients of generated and of real images."""
    if not statistics:
        return []
    kinds = {kind: statistics[wanted] for kind, wanted in _KINDS.items() if wanted in statistics}
    captions = dict.fromkeys(
        ("levels", "slopes"), f"Of {next(iter(kinds))} images only: there are none of the other kind."
    )
    for name, share in overlap(statistics).items():
        captions[name] = f"Generated and real share {100 * share:.0f} % of this distribution."
    levels = {kind: each.levels for kind, each in kinds.items()}
    slopes = {kind: each.slopes for kind, each in kinds.items()}
    grey: dict[str, Any] = {"label": "grey level", "ticks": (0, 64, 128, 192, 256)}
    steep: dict[str, Any] = {
        "label": "grey levels a pixel",
        "ticks": (1, 4, 16, 64),
        "logarithmic": True,
    }
    return [
        histogram("Intensity", captions["levels"], LEVELS, levels, of="pixels", **grey),
        histogram("Gradient", captions["slopes"], SLOPES, slopes, of="pixels", **steep),
    ]


def _compared(
    title: str,
    values: NDArray[Any],
    generated: NDArray[np.bool_],
    edges: NDArray[np.float64],
    *,
    note: str = "",
    unit: str = "",
    **style: Any,
) -> Iterator[Chart]:
    """Yield a histogram of the known values, if any; those beyond `edges` count in the outermost bins."""
    known = {kind: values[(generated == wanted) & ~np.isnan(values)] for kind, wanted in _KINDS.items()}
    known = {kind: each for kind, each in known.items() if len(each)}
    if known:
        medians = ", ".join(f"{kind} {np.median(each):.3g}{unit}" for kind, each in known.items())
        few = [kind for kind, each in known.items() if len(each) <= _FEW]
        series = {
            kind: np.histogram(each.astype(np.float64).clip(edges[0], edges[-1]), edges)[0]
            / (1 if kind in few else len(each))
            for kind, each in known.items()
        }
        dots = f"Each dot is one of {' or of '.join(f'{len(known[kind])} {kind}' for kind in few)}." if few else ""
        caption = " ".join(filter(None, (f"Median: {medians}.", dots, note)))
        yield histogram(title, caption, edges, series, few=few, **style)


def _edges(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return bins from the 1st to the 99th percentile."""
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, (1, 99)).astype(float) if len(known) else (0.0, 1.0)
    if high - low < 1e-6 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)
