"""Figures of a comparison: mAP over generated images, precision over recall, and what the arms find on an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nirgen.detect.arms import PRETRAINED, REAL
from nirgen.detect.coco_eval import RECALLS, match
from nirgen.detect.comparison import as_number
from nirgen.detect.matching import match_images, operating_score
from nirgen.detect.pictures import EACH, detected, draw_sections, truth
from nirgen.escapes import mathtext

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nirgen.detect.comparison import Comparison, OfArm
    from nirgen.detect.data import Split
    from nirgen.detect.matching import OnImage
    from nirgen.detect.pictures import Section


_COLOURS = ("#777777", "#1f5fa8", "#c05a1a", "#2e8b57", "#8a4fa8", "#b8860b", "#c0392b")  # of the arms, in their order
_OTHERS = ["#2e8b57", "#8a4fa8", "#b8860b", "#c0392b", "#555555", "#0a7f8f"]  # of arms beside the ratios
_COLUMNS = 3


def draw_curve(comparison: Comparison) -> Figure:
    """Draw mAP over the number of generated images: means with intervals, and a dot for each seed."""
    from matplotlib.figure import Figure

    judged = [each for each in comparison.arms if each.arm.images and each.numbers["ap"].value is not None]
    trained = [each for each in judged if each.arm.name == REAL or (each.arm.advisable and each.arm.order is None)]
    others = [each for each in judged if each not in trained]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained", dpi=120)
    axes = figure.subplots()
    places = [each.arm.generated for each in trained]
    means = [each.numbers["ap"].value or 0.0 for each in trained]
    axes.plot(places, means, color="#1f5fa8", linewidth=1.6, marker="o", markersize=6, label="mean over seeds")
    shift = max(places, default=0) / 40
    beside = [each.arm.generated + each.arm.copies + shift * number for number, each in enumerate(others, start=1)]
    colours = ["#1f5fa8"] * len(trained) + _OTHERS[: len(others)]
    for each, place, colour in zip([*trained, *others], [*places, *beside], colours, strict=True):
        number = each.numbers["ap"]
        if number.low is not None and number.high is not None:
            axes.vlines(place, number.low, number.high, color=colour, linewidth=1.2, alpha=0.7)
        if each in others:
            axes.plot(place, number.value or 0.0, "s", color=colour, markersize=6, label=mathtext(each.arm.title))
        values = [as_number(value) or 0.0 for value in each.values["ap"]]
        axes.scatter([place] * len(values), values, s=14, color="#c05a1a", zorder=3, label="_seeds")
    axes.scatter([], [], s=14, color="#c05a1a", label="a seed")
    base = comparison.of(PRETRAINED).numbers["ap"].value
    if base is not None:
        axes.axhline(base, color="#777777", linewidth=1.0, linestyle="--", label="as pretrained")
    axes.set_xlabel(
        f"generated or RGB images beside {trained[0].arm.real} real ones" if trained else "generated images"
    )
    axes.set_ylabel("mAP, with 95 % intervals")
    axes.set_xticks(places)
    axes.grid(axis="y", linewidth=0.5, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw_precision(comparison: Comparison) -> Figure:
    """Draw precision over recall at the overlap 0.5, a plot for each class with objects, a curve for each arm."""
    from matplotlib.figure import Figure

    split = comparison.split
    shown = [place for place in range(len(split.names)) if np.isfinite(comparison.arms[0].precision[place]).all()]
    columns = min(_COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(3.8 * columns + 0.4, 3.4 * rows + 0.9), layout="constrained", dpi=100)
    plots = np.array(figure.subplots(rows, columns, sharex=True, sharey=True), object).reshape(-1)
    for axes in plots[len(shown) :]:
        axes.set_axis_off()
    for axes, place in zip(plots, shown, strict=False):
        for each, colour in zip(comparison.arms, _cycle(len(comparison.arms)), strict=True):
            curve = each.precision[place]
            reached = np.append(np.flatnonzero(curve > 0), 0).max() + 1
            title = mathtext(f"{each.arm.title}" if place == shown[0] else "_")
            axes.plot(RECALLS[:reached], curve[:reached], color=colour, linewidth=1.5, label=title)
        axes.set(title=mathtext(split.names[place]), xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall")
        axes.grid(linewidth=0.5, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    plots[0].set_ylabel("precision")
    seeds = "mean over seeds, " if len(comparison.config.seeds) > 1 else ""
    figure.suptitle(f"Precision and recall of each class ({seeds}at the overlap 0.5)", fontsize=11)
    figure.legend(loc="outside lower center", ncols=min(len(comparison.arms), 4), frameon=False, fontsize=9)
    return figure


def draw_differences(comparison: Comparison) -> Figure:
    """Draw test images where generated images change most, and typical ones: objects, and what two arms find there.

    The arms are the one of real images alone and the one of most generated images, each by its first seed.
    """
    split = comparison.split
    real, last = comparison.of(REAL), comparison.reference
    found = [found_by(arm, split) for arm in (real, last)]
    sections: list[Section] = []
    for title, places in choose_changes(*found):
        for place in places:
            cells = [truth(found[0][place], missed=False)]
            cells += [detected(of_arm[place], arm.arm.title) for arm, of_arm in zip((real, last), found, strict=True)]
            sections.append((title, cells))
            title = ""  # noqa: PLW2901 - of the first row alone
    return draw_sections(sections, split, f"'{real.arm.title}' and '{last.arm.title}' on '{split.name}'")


def found_by(arm: OfArm, split: Split) -> list[OnImage]:
    """Return what the first run of an arm finds, at its own score of the highest F1."""
    results = arm.runs[0].read(split)
    return match_images(split, results, operating_score(match(split, results)))


def choose_changes(real: list[OnImage], last: list[OnImage]) -> list[tuple[str, list[int]]]:
    """Return positions of images by the change of their quality: the most gained, the most lost, and others."""
    rated = [
        ((after.quality or 0.0) - (before.quality or 0.0), place)
        for place, (before, after) in enumerate(zip(real, last, strict=True))
        if not (before.quality is None and after.quality is None)
    ]
    rises = [place for change, place in sorted(rated, key=lambda each: (-each[0], each[1])) if change > 0][:EACH]
    falls = [place for change, place in sorted(rated) if change < 0][:EACH]
    middle = float(np.median([change for change, _ in rated])) if rated else 0.0
    near = sorted(rated, key=lambda each: (abs(each[0] - middle), each[1]))
    typical = [place for _, place in near if place not in (*rises, *falls)][:EACH]
    titled = (("Gains most", rises), ("Typical", typical), ("Loses most", falls))
    return [(title, places) for title, places in titled if places]


def _cycle(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]
