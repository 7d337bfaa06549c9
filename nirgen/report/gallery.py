"""Images and boxes that a report shows: how they are chosen, and their captions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.report.pictures import MOSAIC_SIDE, SLIDER_SIDE
from nirgen.report.survey import is_night

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.dataset.read import Image
    from nirgen.progress import Progress
    from nirgen.report.pictures import Painter
    from nirgen.report.survey import Survey
    from nirgen.scores import Scores


BOXES_OF_AN_IMAGE = 3  # worst boxes shown of one image, at most
STANDS_OUT = 0.1  # share of the dataset's worst that makes a score a reason
REASONS = 3  # given for an image, at most
LOW_IS_BAD = frozenset({"structure", "sharpness", "contrast"})  # scores of images; of the others, high values are bad
_COMPARED = {"worst": "the worst", "median": "the median", "best": "the best", "night": "night"}


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Contents of a report; they determine the size of the page."""

    title: str | None = None  # None: the folder's name
    images: int = 12  # worst images, and as many of the best
    boxes: int = 24  # worst boxes
    frames: int = 8  # images beside their RGB image, under a slider
    sampled: int = 200  # images of each kind whose intensities and gradients are measured


@dataclass(frozen=True, slots=True)
class Choice:
    """Images and boxes to show, as indices in `Survey.frames` and `Survey.boxes`."""

    worst: list[int]  # images, worst first
    best: list[int]  # images, best first; none of `worst`
    boxes: list[int]  # worst first
    compared: Mapping[int, tuple[str, ...]]  # images to show beside their RGB image, with the reasons


def choose(survey: Survey, options: ReportOptions, categories: Sequence[str]) -> Choice:
    """Choose images and boxes by their trouble, and an image of each class in `categories`."""
    order = np.argsort(-survey.trouble, kind="stable").tolist()
    ranked = [at for at in order if survey.frames[at].has_nir and not np.isnan(survey.trouble[at])]
    worst = ranked[: min(options.images, (len(ranked) + 1) // 2)]
    best = ranked[::-1][: min(options.images, len(ranked) - len(worst))]
    return Choice(
        worst, best, _worst_boxes(survey, options.boxes), _compared(survey, ranked, categories, options.frames)
    )


def badness_of(survey: Survey) -> Mapping[str, NDArray[np.float32]]:
    """Return the share of images that do no worse than each, by score: 1 for the worst; NaN if unknown or all equal."""
    found = {}
    for name, column in survey.scores.items():
        if name != "trouble":
            values = -column if name in LOW_IS_BAD else column
            known = np.sort(values[~np.isnan(values)])
            shares = np.searchsorted(known, values, side="left") / max(1, len(known) - 1)
            differ = len(known) > 1 and known[0] < known[-1]
            found[name] = np.where(np.isnan(values) | (not differ), np.nan, shares).astype(np.float32)
    return found


def reasons(badness: Mapping[str, NDArray[np.float32]], number: int) -> list[str]:
    """Return the scores of an image that stand out, worst first."""
    ranked = sorted((-float(values[number]), name) for name, values in badness.items() if values[number] >= 0)
    return [name for negative, name in ranked if -negative >= 1 - STANDS_OUT][:REASONS]


def _worst_boxes(survey: Survey, most: int) -> list[int]:
    boxes, taken = survey.boxes, Counter[int]()
    chosen: list[int] = []
    for number in np.argsort(-boxes.trouble, kind="stable").tolist():
        if len(chosen) >= most or np.isnan(boxes.trouble[number]):  # NaN sorts last
            break
        frame = int(boxes.frame[number])
        if survey.frames[frame].has_nir and taken[frame] < BOXES_OF_AN_IMAGE:
            taken[frame] += 1
            chosen.append(number)
    return chosen


def _compared(survey: Survey, ranked: list[int], categories: Sequence[str], most: int) -> dict[int, tuple[str, ...]]:
    """Return the images to show beside their RGB image with the reasons; new ones and new recordings come first."""
    frames = survey.frames
    usable = [number for number in ranked if frames[number].has_rgb]
    middle = [usable[at] for at in sorted(range(len(usable)), key=lambda at: (abs(2 * at - len(usable) + 1), at))]
    typical = sorted(middle, key=lambda number: not frames[number].generated)
    wanted: dict[str, Sequence[int]] = {
        "worst": usable[:1],
        "median": middle[:1],
        "best": usable[-1:],
        "night": [number for number in typical if frames[number].night],
        **{name: [number for number in typical if name in frames[number].classes] for name in categories},
    }
    chosen: dict[int, tuple[str, ...]] = {}
    sequences: set[str | None] = set()
    for name, candidates in wanted.items():
        new = [number for number in candidates if number not in chosen]
        apart = [number for number in new if frames[number].sequence not in sequences]
        for number in (*apart, *new, *candidates)[:1]:
            if number in chosen or len(chosen) < most:
                chosen[number] = (*chosen.get(number, ()), name)
                sequences |= {frames[number].sequence} - {None}
    return chosen


def make_gallery(
    survey: Survey,
    choice: Choice,
    items: Iterable[Image],
    scores: Scores,
    painter: Painter,
    *,
    report: Progress | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Draw the chosen images and boxes; `items` are in the order of `survey.frames`.

    Returns:
        Values for the template: cards of images (`worst`, `best`) and of `boxes`, and `comparisons`, with a picture
        each in `rgb` and `nir`. A picture of a card is None if its file is missing or unreadable.
    """
    boxes_of: dict[int, list[int]] = {}
    for box in choice.boxes:
        boxes_of.setdefault(int(survey.boxes.frame[box]), []).append(box)
    wanted = {*choice.worst, *choice.best, *choice.compared, *boxes_of}
    kept = {number: item for number, item in enumerate(items) if number in wanted}
    total = len(choice.worst) + len(choice.best) + len(choice.compared) + len(boxes_of)
    numbers = count(1)

    def step() -> None:
        if report is not None:
            report("draw", next(numbers), total)

    badness = badness_of(survey)
    cards: dict[int, dict[str, Any]] = {}
    for number in (*choice.worst, *choice.best):
        item = kept[number]
        ranks = {name: float(badness[name][number]) for name in reasons(badness, number)}
        cards[number] = {
            "key": item.key,
            "trouble": f"{survey.trouble[number]:.2f}",
            "because": [f"{name} {survey.scores[name][number]:.3g}, {_rank(bad)}" for name, bad in ranks.items()],
            "about": describe(item),
            "picture": painter.nir(item, MOSAIC_SIDE, _notes(item, scores)),
        }
        step()
    box_cards: dict[int, dict[str, Any]] = {}
    for frame, boxes in boxes_of.items():
        box_cards |= zip(boxes, _box_cards(survey, kept[frame], boxes, scores, painter), strict=True)
        step()
    comparisons: list[dict[str, Any]] = []
    for number, names in choice.compared.items():
        item = kept[number]
        nir, rgb = painter.nir(item, SLIDER_SIDE, _notes(item, scores)), painter.rgb(item, SLIDER_SIDE)
        if nir is not None and rgb is not None:
            title = ", ".join(_COMPARED.get(name, f"shows {name}") for name in names)
            kind = "generated NIR" if item.generated else "real NIR"
            comparisons.append(
                {"title": title, "key": item.key, "about": describe(item), "kind": kind, "nir": nir, "rgb": rgb}
            )
        step()
    return {
        "worst": [cards[number] for number in choice.worst],
        "best": [cards[number] for number in choice.best],
        "boxes": [box_cards[box] for box in choice.boxes],
        "comparisons": comparisons,
    }


def _box_cards(
    survey: Survey, item: Image, boxes: Sequence[int], scores: Scores, painter: Painter
) -> Iterator[dict[str, Any]]:
    """Yield the cards of some boxes of one image, which is read once."""
    numbers = survey.boxes.number[boxes].tolist()
    scored = scores.of(item).boxes
    for box, number, (nir, rgb) in zip(boxes, numbers, painter.crops(item, numbers), strict=True):
        drawn = item.boxes[number]
        yield {
            "key": drawn.key,
            "category": drawn.category,
            "colour": painter.colours[drawn.category],
            "trouble": float(survey.boxes.trouble[box]),
            "fidelity": scored[number].fidelity,
            "tags": [*scored[number].tags, *drawn.flags],
            "nir": nir,
            "rgb": rgb,
        }


def _notes(item: Image, scores: Scores) -> list[str]:
    """Return the titles of an image's boxes: fidelity and tags."""
    return [
        ", ".join(([] if box.fidelity is None else [f"fidelity {box.fidelity:.2f}"]) + [*box.tags])
        for box in scores.of(item).boxes
    ]


def describe(item: Image) -> str:
    """Return kind, split and contents of an image: `generated, train, night; 12 car, 2 person`."""
    boxes = Counter(box.category for box in item.boxes if not box.ignored)
    ignored = sum(box.ignored for box in item.boxes)
    about = ["generated" if item.generated else "real", item.split or "", "night" if is_night(item) else ""]
    on_it = [f"{number} {name}" for name, number in sorted(boxes.items(), key=lambda entry: (-entry[1], entry[0]))]
    on_it += [f"{ignored} to ignore"] if ignored else []
    return "; ".join(filter(None, (", ".join(filter(None, about)), ", ".join(on_it))))


def _rank(badness: float) -> str:
    return "the worst of all" if badness >= 1 else f"worse than {min(99, int(100 * badness))}\u00a0%"
