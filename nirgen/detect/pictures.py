"""Pictures of an evaluation: detections beside the objects, curves of precision and recall, the confusion matrix.

The images are chosen by rank, so the same detections give the same pictures. Names are those of data, which are escaped
for matplotlib.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen import images
from nirgen.dataset.drawing import COLOURS, IGNORED
from nirgen.detect.coco_eval import RECALLS
from nirgen.detect.matching import confusion, match_images, operating_score
from nirgen.errors import ImageError
from nirgen.escapes import drawn, mathtext
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from nirgen.dataset.read import Image
    from nirgen.detect.coco_eval import Matches, Result
    from nirgen.detect.data import Split
    from nirgen.detect.matching import Detection, OnImage, Pair

EACH = 2  # images of a section
COLUMNS = 4  # pictures of a row
_CELL = (4.0, 3.0)  # width and height of a picture, in inches of 100 pixels
_SIDE = 800  # pixels of the longer side of an image that is drawn
_LABELS = 15  # boxes of an image up to which all have a text
_MARGIN = 0.7  # surroundings of a crop on each side, as a share of its longer side
_SMALLEST_CROP = 64  # pixels
_MOST_COUNTED = 20  # classes whose counts are written into the confusion matrix


@dataclass(frozen=True, slots=True)
class Outline:
    """A box over an image."""

    bbox: tuple[float, float, float, float]  # COCO xywh in pixels of the image
    category: str
    text: str
    wrong: bool = False  # dashed: a missed object, or a false detection
    ignored: bool = False
    below: bool = False  # text below the box


@dataclass(frozen=True, slots=True)
class Cell:
    """An image, or a part of it, with boxes and a heading."""

    path: Path
    size: tuple[int, int]  # (height, width) that the boxes are of, in pixels
    heading: str
    outlines: tuple[Outline, ...]
    window: tuple[float, float, float, float] | None = None  # left, top, right, bottom in pixels; None: all of it


Section = tuple[str, "Sequence[Cell]"]  # its title, and pictures from left to right


def truth(found: OnImage, *, missed: bool = True) -> Cell:
    """Return the objects of an image and its regions to ignore; `missed` makes those that weren't found dashed."""
    lost = {box.key for box in found.missed} | {pair.object.key for pair in found.confused}
    outlines = [
        Outline(box.bbox, box.category, box.category, wrong=missed and box.key in lost, ignored=box.ignored)
        for box in found.image.boxes
    ]
    return _cell(found.image, f"objects: {_file(found.image)}", outlines)


def detected(found: OnImage, title: str = "detections") -> Cell:
    """Return the detections on an image, false and confused ones dashed."""
    outlines = [_outline(pair.detection, wrong=not pair.right) for pair in found.pairs]
    outlines += [_outline(each, wrong=True) for each in found.false]
    return _cell(found.image, f"{title}: {found.describe()}", outlines)


def choose(on_images: Sequence[OnImage]) -> list[tuple[str, list[OnImage]]]:
    """Choose the images of highest, of median and of lowest quality; images with nothing to find are left out.

    Of equal ones those with most hits are the best, and those with most errors the worst.
    """
    rated = [(each.quality, each) for each in on_images if each.quality is not None]
    if not rated:
        return []
    middle = float(np.median([quality for quality, _ in rated]))
    best = sorted(rated, key=lambda each: (-each[0], -len(each[1].hits), each[1].image.key))
    worst = sorted(rated, key=lambda each: (each[0], -each[1].errors, each[1].image.key))
    typical = sorted(rated, key=lambda each: (abs(each[0] - middle), each[1].image.key))
    if best[0][0] == worst[0][0]:
        return [("All alike", [each for _, each in typical[: 2 * EACH]])]
    taken: set[str] = set()
    sections = []
    for title, ranked in (("Worst", worst), ("Best", best), ("Typical", typical)):
        left = [each for _, each in ranked if each.image.key not in taken][:EACH]
        taken |= {each.image.key for each in left}
        sections += [(title, left)] if left else []
    order = ("Best", "Typical", "Worst")
    return sorted(sections, key=lambda section: order.index(section[0]))


def sections_of(on_images: Sequence[OnImage], names: Sequence[str]) -> list[Section]:
    """Return rows of objects beside detections, for images chosen by `choose`, and of confusions between classes."""
    found: list[Section] = []
    for title, chosen in choose(on_images):
        for start in range(0, len(chosen), COLUMNS // 2):
            part = chosen[start : start + COLUMNS // 2]
            found.append((title, [cell for each in part for cell in (truth(each), detected(each))]))
    confused = _confusions(on_images, names)
    return found + ([("Most frequent confusions", confused)] if confused else [])


def _cell(image: Image, heading: str, outlines: Sequence[Outline]) -> Cell:
    return Cell(image.path, (image.height, image.width), heading, tuple(outlines))


def _confusions(on_images: Sequence[OnImage], names: Sequence[str]) -> list[Cell]:
    """Return the most frequent confusions of classes, each by its detection of the highest score."""
    examples: dict[tuple[str, str], list[tuple[OnImage, Pair]]] = {}
    for each in on_images:
        for pair in each.confused:
            examples.setdefault((pair.object.category, pair.detection.category), []).append((each, pair))
    ranked = sorted(examples.items(), key=lambda item: (-len(item[1]), *map(names.index, item[0])))
    cells = []
    for (category, taken_for), found in ranked[:COLUMNS]:
        on_image, pair = max(found, key=lambda each: (each[1].detection.score, each[0].image.key))
        outlines = Outline(pair.object.bbox, category, category, below=True), _outline(pair.detection, wrong=True)
        window = _around(on_image.image, [outline.bbox for outline in outlines])
        heading = f"{drawn(category)} taken for {drawn(taken_for)}, {len(found)} x\n{_file(on_image.image)}"
        cells.append(replace(_cell(on_image.image, heading, outlines), window=window))
    return cells


def draw_sections(sections: Sequence[Section], split: Split, title: str) -> Figure:
    """Draw rows of pictures under their titles, with the colours of the classes."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = max((len(cells) for _, cells in sections), default=1)
    height = _CELL[1] + 0.6
    figure = Figure(figsize=(_CELL[0] * columns, height * max(1, len(sections)) + 0.8), layout="constrained", dpi=100)
    figure.suptitle(title, fontsize=13)
    colours = {category.name: _colour(category.id) for category in split.categories}
    rows = np.atleast_1d(np.array(figure.subfigures(max(1, len(sections)), 1), object))
    for row, (name, cells) in zip(rows, sections, strict=False):
        row.suptitle(name, fontsize=12, fontweight="bold", x=0.01, ha="left")
        for axes in (plots := np.atleast_1d(np.array(row.subplots(1, columns), object))):
            axes.set_axis_off()
        for axes, cell in zip(plots, cells, strict=False):
            _draw_cell(axes, cell, colours)
    if not sections:
        rows[0].text(0.5, 0.5, "no objects and no detections", ha="center")
    lines = [Line2D([], [], color=colours[name], linewidth=3, label=mathtext(name)) for name in split.names[:12]]
    lines += [Line2D([], [], color="black", linestyle=(0, (4, 2)), label="dashed: missed, confused or false")]
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), 7), frameon=False)
    return figure


def draw_image(cell: Cell, names: Sequence[str]) -> Figure:
    """Draw an image with its boxes at about its own size; classes have the colours of their places from 1."""
    from matplotlib.figure import Figure

    height, width = cell.size
    scale = max(1.0, 640 / max(height, width)) * min(1.0, 1600 / max(height, width))
    figure = Figure(figsize=(width * scale / 100, height * scale / 100 + 0.3), layout="constrained", dpi=100)
    axes = figure.subplots()
    axes.set_axis_off()
    _draw_cell(axes, cell, {name: _colour(place) for place, name in enumerate(names, start=1)})
    return figure


def draw_precision(split: Split, matches: Matches, score: float) -> Figure:
    """Draw precision over recall of each class at the overlap 0.5, and where the detections of a score are."""
    figure, axes = _plot("Precision and recall, at the overlap (IoU) 0.5")
    for place, category in enumerate(split.categories):
        part = matches.parts[place][0]
        objects = int(part.objects.sum())
        if not objects:
            continue
        curve = matches.precision[0, :, place, 0]
        colour, dashes = _colour(category.id), ("-", "--", ":", "-.")[place // len(COLOURS) % 4]
        label = f"{mathtext(category.name)}: AP50 {curve.mean():.3f} ({objects:,} objects)"
        reached = np.append(np.flatnonzero(curve > 0), 0).max() + 1
        axes.plot(RECALLS[:reached], curve[:reached], color=colour, linestyle=dashes, linewidth=1.6, label=label)
        passed = part.counted[0] & (part.score >= score)
        if passed.any():
            hits = np.count_nonzero(part.found[0][passed])
            axes.plot(hits / objects, hits / np.count_nonzero(passed), "o", color=colour, markersize=6)
    axes.plot([], [], "o", color="black", label=f"dot: scores from {score:.3f} on (highest F1)")
    axes.set(xlabel="recall: share of the objects found", ylabel="precision: share of the detections that are right")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str], score: float) -> Figure:
    """Draw the matrix of `confusion`, coloured by shares of its rows."""
    from matplotlib.figure import Figure

    size = len(names) + 1
    side = min(12.0, 3.2 + 0.55 * size)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained", dpi=100)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares[-1] = 0  # there is no number of all that isn't an object
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape) if size <= _MOST_COUNTED else ():
        if (row, column) != (size - 1, size - 1):
            colour = "white" if shares[row, column] > 0.5 else "black"
            share = f"\n{100 * shares[row, column]:.0f} %" if row < size - 1 and counts[row, column] else ""
            axes.text(
                column, row, f"{counts[row, column]:,}{share}", ha="center", va="center", color=colour, fontsize=9
            )
    labels = [mathtext(name) for name in names]
    axes.set_xticks(range(size), [*labels, "missed"], rotation=30, ha="right")
    axes.set_yticks(range(size), [*labels, "no object"])
    axes.set(xlabel="found as", ylabel="object")
    axes.set_title(
        f"Objects by the class found, at scores from {score:.3f} on\n(colour: share of the row)", fontsize=11
    )
    return figure


def write_pictures(split: Split, results: Sequence[Result], matches: Matches, out: Path) -> None:
    """Write `predictions.png`, `precision_recall.png` and `confusion_matrix.png` of an evaluation."""
    score = operating_score(matches)
    on_images = match_images(split, results, score)
    title = f"Detections on '{split.name}' at scores from {score:.3f} on"
    save(draw_sections(sections_of(on_images, split.names), split, title), out / "predictions.png")
    save(draw_precision(split, matches, score), out / "precision_recall.png")
    save(draw_confusion(confusion(on_images, split.names), split.names, score), out / "confusion_matrix.png")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, the same bytes for the same figure."""
    with output_file(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph ")  # letters that matplotlib's font lacks become boxes
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _plot(title: str) -> tuple[Figure, Axes]:
    """Return an empty plot of shares, with a legend on its right once it is saved."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 5.2), layout="constrained", dpi=100)
    axes = figure.subplots()
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), title=title)
    axes.grid(linewidth=0.5, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw_cell(axes: Axes, cell: Cell, colours: dict[str, Any]) -> None:
    """Draw an image with its boxes, large ones first, and texts on all of them, or on wrong ones if they are many."""
    from matplotlib.patches import Rectangle

    axes.set_title(mathtext_lines(cell.heading), fontsize=9, loc="left")
    rows, columns = cell.size
    left, top, right, bottom = cell.window or (0.0, 0.0, float(columns), float(rows))
    extent = (0, columns, rows, 0)
    try:
        axes.imshow(_reduced(images.read(cell.path), whole=cell.window is None), extent=extent)
    except ImageError:
        axes.imshow(np.full((1, 1, 3), 200, np.uint8), extent=extent)
        axes.text((left + right) / 2, (top + bottom) / 2, "can't be read", ha="center")
    for outline in sorted(cell.outlines, key=lambda each: (-each.bbox[2] * each.bbox[3], each.bbox)):
        x, y, width, height = outline.bbox
        colour = _share(IGNORED) if outline.ignored else colours[outline.category]
        dashes: Any = (0, (4, 2)) if outline.wrong else (0, (1, 2)) if outline.ignored else "-"
        axes.add_patch(Rectangle((x, y), width, height, fill=False, color=colour, linewidth=1.6, linestyle=dashes))
        if outline.ignored or (len(cell.outlines) > _LABELS and not outline.wrong):
            continue
        right_end = x > left + 0.75 * (right - left)
        upwards = y - top > 0.08 * (bottom - top)
        axes.text(
            min(x + width, right) if right_end else max(x, left),
            min(y + height, bottom) if outline.below else y if upwards else max(y, top) + 0.012 * (bottom - top),
            mathtext(outline.text),
            ha="right" if right_end else "left",
            va="bottom" if upwards and not outline.below else "top",
            fontsize=7.5,
            color=_ink(colour),
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0},
            clip_on=True,
        )
    axes.set(xlim=(left, right), ylim=(bottom, top))


def mathtext_lines(text: str) -> str:
    """Return a heading of several lines that matplotlib doesn't take for a formula."""
    return "\n".join(line.replace("$", "\\$") for line in text.split("\n"))


def _outline(detection: Detection, *, wrong: bool) -> Outline:
    text = f"{drawn(detection.category)[:24]} {detection.score:.2f}"
    return Outline(detection.bbox, detection.category, text, wrong=wrong)


def _around(image: Image, boxes: Sequence[tuple[float, ...]]) -> tuple[float, float, float, float]:
    """Return the part of an image around boxes: left, top, right and bottom in pixels."""
    starts = np.array([box[:2] for box in boxes]).min(axis=0)
    ends = np.array([np.add(box[:2], box[2:]) for box in boxes]).max(axis=0)
    half = max(float((ends - starts).max()) * (1 + 2 * _MARGIN), _SMALLEST_CROP) / 2
    low = np.maximum((starts + ends) / 2 - half, 0)
    high = np.minimum((starts + ends) / 2 + half, (image.width, image.height))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _reduced(pixels: NDArray[np.uint8], *, whole: bool) -> NDArray[np.uint8]:
    """Return an image of at most `_SIDE` pixels, unless a part of it is shown."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    if not whole or scale == 1:
        return pixels
    return images.resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))


def _file(image: Image) -> str:
    """Return the end of an image's key, as one line."""
    name = drawn(image.key[-39:])
    return name if len(image.key) < 40 else f"…{name}"


def _colour(category_id: int) -> tuple[float, float, float]:
    return _share(COLOURS[category_id % len(COLOURS)])


def _share(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _ink(colour: tuple[float, float, float]) -> str:
    """Return black or white, whichever is read better on a colour."""
    red, green, blue = colour
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
