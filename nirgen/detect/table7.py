"""A comparison in the layout of the paper's Table 7, with the paper's numbers beside, and as a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from nirgen.detect.arms import PRETRAINED
from nirgen.detect.telling import as_json, notes_on, sentence
from nirgen.files import make_folder, output_file

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.detect.bootstrap import Estimate
    from nirgen.detect.comparison import Comparison

FILES = ("comparison.json", "table7.md", "curve.png")
NOTHING = "-"
PAPER: tuple[tuple[str, dict[str, float]], ...] = (
    ("RGB-pretrained", {"ap": 0.2724, "ap/person": 0.1551, "ap/bicycle": 0.1745, "ap/car": 0.4874}),
    ("+ RANUS", {"ap": 0.3149, "ap/person": 0.1682, "ap/bicycle": 0.2143, "ap/car": 0.5622}),
    ("+ RANUS + generated", {"ap": 0.3347, "ap/person": 0.1704, "ap/bicycle": 0.2829, "ap/car": 0.5507}),
)
"""Table 7 of Jin et al., Technologies 13(4):154, 2025."""
CAVEAT = (
    "The paper's rows are of Co-DETR on RANUS, with boxes of its authors' own: they show the size of the effect that "
    "was found there, and are no goal for another detector or other images."
)


def columns(comparison: Comparison) -> dict[str, str]:
    """What the table shows: headings by the names of numbers."""
    return {"ap": "mAP"} | {f"ap/{name}": name for name in comparison.truth.names}


def lines(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """The measured rows: a title, and each number with its interval."""
    return [(each.arm.title, [shown(each.numbers[key]) for key in columns(comparison)]) for each in comparison.arms]


def published(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """The paper's rows, in the same columns."""
    return [
        (f"paper: {title}", [f"{row[key]:.4f}" if key in row else NOTHING for key in columns(comparison)])
        for title, row in PAPER
    ]


def shown(number: Estimate) -> str:
    """A number with its interval, as in `0.3149 (0.3012 to 0.3290)`.

    Example:
        >>> from nirgen.detect.bootstrap import Estimate
        >>> shown(Estimate(0.25, 0.2, 0.3)), shown(Estimate(0.25)), shown(Estimate(None))
        ('0.2500 (0.2000 to 0.3000)', '0.2500', '-')
    """
    if number.value is None:
        return NOTHING
    return f"{number.value:.4f}" + ("" if number.low is None else f" ({number.low:.4f} to {number.high:.4f})")


def as_markdown(comparison: Comparison) -> str:
    """The text of `table7.md`."""
    headings = ["trained on", *columns(comparison).values()]
    rows = [[title, *cells] for title, cells in (*lines(comparison), *published(comparison))]
    counts = [
        f"- {each.arm.title}: {each.arm.real} real and {each.arm.generated} generated images"
        for each in comparison.arms
        if each.arm.trained
    ]
    seeds = ", ".join(map(str, comparison.config.seeds))
    about = (
        f"AP at overlaps of 0.50 to 0.95 on {len(comparison.truth.entries)} real images of the split "
        f"'{comparison.truth.split}'; means over the seeds {seeds}, with 95 % intervals."
    )
    text = [
        "# Detection with and without generated images",
        "",
        sentence(comparison),
        "",
        _row(headings),
        _row(["---"] * len(headings)),
        *map(_row, rows),
        "",
        about,
        "",
        *counts,
        *(f"- {note}" for note in notes_on(comparison)),
        f"- {CAVEAT}",
    ]
    return "\n".join(text) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw_curve(comparison: Comparison, path: Path) -> None:
    """Draw mAP over the number of generated images: means with intervals, and a dot for each seed.

    Args:
        comparison: With at least two trained arms.
        path: The PNG file; its folder exists.
    """
    trained = [each for each in comparison.arms if each.arm.trained and each.numbers["ap"].value is not None]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained", dpi=120)
    axes = figure.subplots()
    places = [each.arm.generated for each in trained]
    means = [each.numbers["ap"].value or 0.0 for each in trained]
    axes.plot(places, means, color="#1f5fa8", linewidth=1.6, marker="o", markersize=6, label="mean over seeds")
    for each, place in zip(trained, places, strict=True):
        number = each.numbers["ap"]
        if number.low is not None and number.high is not None:
            axes.vlines(place, number.low, number.high, color="#1f5fa8", linewidth=1.2, alpha=0.7)
        values = [run.values["ap"] or 0.0 for run in each.runs]
        axes.scatter([place] * len(values), values, s=14, color="#c05a1a", zorder=3, label="_seeds")
    axes.scatter([], [], s=14, color="#c05a1a", label="a seed")
    base = next(each for each in comparison.arms if each.arm.name == PRETRAINED).numbers["ap"].value
    if base is not None:
        axes.axhline(base, color="#777777", linewidth=1.0, linestyle="--", label="as pretrained")
    axes.set_xlabel(f"generated images beside {trained[0].arm.real} real ones" if trained else "generated images")
    axes.set_ylabel("mAP, with 95 % intervals")
    axes.set_xticks(places)
    axes.grid(axis="y", linewidth=0.5, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, format="png", metadata={"Software": None})


def write(comparison: Comparison, out: Path) -> None:
    """Write `comparison.json`, `table7.md` and `curve.png`; older ones are replaced.

    Raises:
        OutputError: A file can't be written.
    """
    make_folder(out)
    for name, text in (("comparison.json", as_json(comparison)), ("table7.md", as_markdown(comparison))):
        with output_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with output_file(out / "curve.png") as temporary:
        draw_curve(comparison, temporary)
