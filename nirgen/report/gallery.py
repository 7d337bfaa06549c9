"""Images and boxes that a report shows: how they are chosen, and their captions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.report.pictures import MOSAIC_SIDE, SLIDER_SIDE
from nirgen.report.survey import is_night
from nirgen.scores.trouble import IMAGE_ORDINARY, image_excesses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.dataset.read import Image
    from nirgen.progress import Progress
    from nirgen.report.pictures import Painter
    from nirgen.report.survey import Survey
    from nirgen.scores import Scores


BOXES_OF_AN_IMAGE = 3  # worst boxes shown of one image, at most
STANDS_OUT = 0.2  # trouble from which an image is shown as bad, or a box
ALIKE = 2.0  # excess from which a score is a reason
REASONS = 3  # given for an image, at most
_COMPARED = {"worst": "the worst", "median": "the median", "best": "the best", "night": "night"}


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Contents of a report; they determine the size of the page."""

    title: str | None = None  # None: the folder's name
    images: int = 12  # worst images, and as many of the best; half of them real if there are both kinds
    boxes: int = 24  # worst boxes
    frames: int = 8  # images beside their RGB image, under a slider
    sampled: int = 200  # images of each kind whose intensities and gradients are measured


@dataclass(frozen=True, slots=True)
class Choice:
    """Images and boxes to show, as indices in `Survey.frames` and `Survey.boxes`."""

    worst: Mapping[bool, list[int]]  # images that stand out, worst first, by `generated` for the kinds that there are
    best: Mapping[bool, list[int]]  # images that don't, best first; none if there are no worst ones of their kind
    boxes: list[int]  # worst first
    compared: Mapping[int, tuple[str, ...]]  # images to show beside their RGB image, with the reasons


def choose(survey: Survey, options: ReportOptions, categories: Sequence[str]) -> Choice:
    """Choose images and boxes by their trouble, and an image of each class in `categories`."""
    order = np.argsort(-survey.trouble, kind="stable").tolist()
    ranked = [at for at in order if survey.frames[at].has_nir and not np.isnan(survey.trouble[at])]
    kinds = [kind for kind in (True, False) if any(survey.frames[at].generated == kind for at in ranked)]
    most = -(-options.images // max(1, len(kinds)))
    worst: dict[bool, list[int]] = {}
    best: dict[bool, list[int]] = {}
    for kind in kinds:
        bad = [at for at in ranked if survey.frames[at].generated == kind and survey.trouble[at] >= STANDS_OUT]
        good = [at for at in ranked if survey.frames[at].generated == kind and survey.trouble[at] < STANDS_OUT]
        worst[kind] = bad[:most]
        best[kind] = good[::-1][:most] if bad else []
    return Choice(
        worst, best, _worst_boxes(survey, options.boxes), _compared(survey, ranked, categories, options.frames)
    )


def excesses_of(survey: Survey) -> Mapping[str, NDArray[np.float64]]:
    """Return by how many scales each image is worse than is ordinary for its kind, by score."""
    scores = {name: survey.scores[name].astype(np.float64) for name in IMAGE_ORDINARY}
    beside_rgb = np.array([frame.has_rgb for frame in survey.frames], bool)
    return image_excesses(scores, survey.generated * np.int64(2) + beside_rgb)


def reasons(excesses: Mapping[str, NDArray[np.float64]], number: int) -> list[str]:
    """Return the scores of an image that stand out, worst first."""
    ranked = sorted((-float(values[number]), name) for name, values in excesses.items())
    return [name for negative, name in ranked if -negative >= ALIKE][:REASONS]


def _worst_boxes(survey: Survey, most: int) -> list[int]:
    boxes, taken = survey.boxes, Counter[int]()
    chosen: list[int] = []
    for number in np.argsort(-boxes.trouble, kind="stable").tolist():
        if len(chosen) >= most or not boxes.trouble[number] >= STANDS_OUT:  # NaN sorts last
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
    judged = [number for number in usable if frames[number].generated] or usable
    bad = [number for number in judged if survey.trouble[number] >= STANDS_OUT]
    good = [number for number in judged if survey.trouble[number] < STANDS_OUT]
    middle = [usable[at] for at in sorted(range(len(usable)), key=lambda at: (abs(2 * at - len(usable) + 1), at))]
    typical = sorted(middle, key=lambda number: not frames[number].generated)
    wanted: dict[str, Sequence[int]] = {
        "worst": bad[:1],
        "median": judged[len(judged) // 2 :][:1],
        "best": good[-1:] if bad else [],
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
        Values for the template: groups of images (`worst`, `best`), each with its `kind`, highest trouble and cards;
        cards of `boxes`; and `comparisons`, with a picture each in `rgb` and `nir`. A picture of a card is None if its
        file is missing or unreadable.
    """
    boxes_of: dict[int, list[int]] = {}
    for box in choice.boxes:
        boxes_of.setdefault(int(survey.boxes.frame[box]), []).append(box)
    listed = [at for group in (*choice.worst.values(), *choice.best.values()) for at in group]
    wanted = {*listed, *choice.compared, *boxes_of}
    kept = {number: item for number, item in enumerate(items) if number in wanted}
    total = len(listed) + len(choice.compared) + len(boxes_of)
    numbers = count(1)

    def step() -> None:
        if report is not None:
            report("draw", next(numbers), total)

    excesses = excesses_of(survey)
    cards: dict[int, dict[str, Any]] = {}
    for number in listed:
        item = kept[number]
        cards[number] = {
            "key": item.key,
            "trouble": f"{survey.trouble[number]:.2f}",
            "because": [_because(survey, name, number, excesses) for name in reasons(excesses, number)],
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
        "worst": [_group(survey, kind, [cards[at] for at in each]) for kind, each in choice.worst.items()],
        "best": [_group(survey, kind, [cards[at] for at in each]) for kind, each in choice.best.items() if each],
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


def _because(survey: Survey, name: str, number: int, excesses: Mapping[str, NDArray[np.float64]]) -> str:
    """Return a score, by how many spreads it is bad, and its kind's median: `noise 3.7 (9.1 spreads, median 0.5)`."""
    values = survey.scores[name]
    known = values[(survey.generated == survey.frames[number].generated) & ~np.isnan(values)]
    return f"{name} {values[number]:.3g} ({excesses[name][number]:.1f} spreads, median {np.median(known):.3g})"


def _group(survey: Survey, kind: bool, cards: list[dict[str, Any]]) -> dict[str, Any]:
    trouble = survey.trouble[(survey.generated == kind) & ~np.isnan(survey.trouble)]
    highest = f"{trouble.max():.2f}" if len(trouble) else ""
    return {"kind": "generated" if kind else "real", "count": len(trouble), "highest": highest, "cards": cards}
