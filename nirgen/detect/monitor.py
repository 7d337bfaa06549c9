"""Curves of a detector's training: losses and average precision over the steps."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.escapes import mathtext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


LOSSES = {"loss": "loss, of all layers", "vfl": "class (vfl)", "bbox": "box (L1)", "giou": "box (GIoU)"}
_FEW = 30  # points of a curve that are drawn as dots as well


def draw_curves(lines: Sequence[dict[str, Any]], *, title: str = "") -> bytes:
    """Draw the losses of a run's log and, if it was validated, its average precision, as a PNG."""
    from matplotlib.figure import Figure

    steps = [line for line in lines if "progress" in line]
    validated = [line for line in lines if "validation" in line]
    figure = Figure(figsize=(8, 6.6 if validated else 3.6), layout="constrained", dpi=100)
    plots = np.atleast_1d(np.array(figure.subplots(2 if validated else 1, 1, sharex=True), object))
    for name, label in LOSSES.items():
        _curve(plots[0], [(line["step"], line[name]) for line in steps if line.get(name) is not None], label=label)
    positive = all(line[name] > 0 for line in steps for name in LOSSES if line.get(name) is not None)
    plots[0].set(title="Training losses", yscale="log" if positive and steps else "linear", ylabel="loss")
    if validated:
        _draw_precision(plots[1], validated)
    for axes in plots:
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("step")
        axes.grid(linewidth=0.5, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    if title:
        figure.suptitle(mathtext(title))
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")  # letters that matplotlib's font lacks become boxes
        figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _draw_precision(axes: Axes, validated: Sequence[dict[str, Any]]) -> None:
    """Draw AP, with its best value marked, AP50, and the AP of each class as thin lines."""
    names = [name for name in validated[-1]["validation"] if name.startswith("ap/")]
    for name, label in {"ap": "AP", "ap50": "AP50", **{name: mathtext(name[3:]) for name in names}}.items():
        points = [(line["step"], line["validation"][name]) for line in validated]
        thin = name.startswith("ap/")
        _curve(axes, points, label=label, linewidth=0.9 if thin else 1.8, linestyle="--" if thin else "-")
    step, best = max(((line["step"], line["validation"]["ap"]) for line in validated), key=lambda at: (at[1], at[0]))
    axes.plot([step], [best], "o", markersize=9, markerfacecolor="none", markeredgecolor="black", markeredgewidth=1.2)
    axes.set(title=f"Validation: best AP {best:.4f} at step {step:,}, circled", ylabel="average precision")
    axes.set_ylim(bottom=0)


def _curve(axes: Axes, points: Sequence[tuple[int, float]], *, linewidth: float = 1.2, **style: Any) -> None:
    """Draw a curve; few points as dots too, so that a single one is seen."""
    if points:
        marks = "o" if len(points) <= _FEW else ""
        axes.plot(*np.transpose(points), marker=marks, markersize=3.5, linewidth=linewidth, **style)
