"""The charts of a report, and what each says in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen.report.charts import Series, histogram, shares
from nirgen.report.statistics import LEVELS, SLOPES, overlap
from nirgen.scores import IMAGE_SCORES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from nirgen.report.charts import Chart, Kind
    from nirgen.report.statistics import Statistics
    from nirgen.report.survey import Survey

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
