"""Images and boxes that a report shows: how they are chosen, and their captions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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
_COMPARED = {
    "worst": "the worst",
    "median": "the median",
    "best": "the best",
    "night": "night",
    "worse than most": "worse than three quarters",
    "better than most": "better than three quarters",
    "example": "an example",
    "with a real twin": "with a real NIR image of the same scene",
}


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

    worst: tuple[int, ...]  # images, worst first
    best: tuple[int, ...]  # images, best first; none of `worst`
    boxes: tuple[int, ...]  # worst first
    compared: Mapping[int, tuple[str, ...]]  # images to show beside their RGB image, with the reasons
    twins: Mapping[int, int]  # of generated images in `compared`, the real NIR image of the same scene


def choose(survey: Survey, options: ReportOptions, categories: Sequence[str]) -> Choice:
    """Choose images and boxes by their trouble.

    Args:
        survey: The dataset.
        options: Numbers of images and boxes.
        categories: Names of the classes, in their order.
    """
    trouble = survey.trouble
    scored = [number for number, frame in enumerate(survey.frames) if frame.has_nir and not np.isnan(trouble[number])]
    ranked = sorted(scored, key=lambda number: (-trouble[number], number))
    worst = ranked[: min(options.images, (len(ranked) + 1) // 2)]
    best = ranked[::-1][: min(options.images, len(ranked) - len(worst))]
    twins = _twins(survey)
    compared = _compared(survey, ranked, twins, categories, options.frames)
    return Choice(
        worst=tuple(worst),
        best=tuple(best),
        boxes=tuple(_worst_boxes(survey, options.boxes)),
        compared=compared,
        twins={number: twins[number] for number in compared if number in twins},
    )


def badness_of(survey: Survey) -> Mapping[str, NDArray[np.float32]]:
    """Return, for each score of images, the share of images that do no worse than each of `Survey.frames`.

    Returns:
        Arrays by score: 1 for the worst image; NaN where the score is unknown, or the same everywhere.
    """
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


def _worst_boxes(survey: Survey, count: int) -> Iterator[int]:
    boxes = survey.boxes
    there = np.fromiter((frame.has_nir for frame in survey.frames), bool, len(survey.frames))
    numbers = np.flatnonzero(~np.isnan(boxes.trouble) & there[boxes.frame])
    taken: Counter[int] = Counter()
    for number in numbers[np.argsort(-boxes.trouble[numbers], kind="stable")]:
        if taken.total() >= count:
            return
        frame = int(boxes.frame[number])
        if taken[frame] < BOXES_OF_AN_IMAGE:
            taken[frame] += 1
            yield int(number)


def _twins(survey: Survey) -> dict[int, int]:
    """Return, by generated image, the real NIR image whose RGB image is the file that it was translated from."""
    real = {
        frame.rgb_sha256: number
        for number, frame in reversed(list(enumerate(survey.frames)))
        if not frame.place.generated and frame.rgb_sha256 and frame.has_nir
    }
    return {
        number: real[frame.rgb_sha256]
        for number, frame in enumerate(survey.frames)
        if frame.place.generated and frame.rgb_sha256 in real
    }


def _compared(
    survey: Survey, ranked: Sequence[int], twins: Mapping[int, int], categories: Sequence[str], count: int
) -> dict[int, tuple[str, ...]]:
    """Return the images to show beside their RGB image, each with the reasons.

    Of several candidates, the first that is new and of a recording not shown yet is taken; else the first new one; else
    the first.
    """
    frames = survey.frames
    usable = [number for number in ranked if frames[number].has_rgb]
    middle = _from_the_middle(usable)
    unscored = [
        number
        for number, frame in enumerate(frames)
        if frame.has_nir and frame.has_rgb and np.isnan(survey.trouble[number])
    ]
    typical = sorted(middle, key=lambda number: not frames[number].place.generated) + unscored
    quarter = 0 if categories else len(usable) // 4
    wanted: dict[str, Sequence[int]] = {
        "worst": usable[:1],
        "median": middle[:1],
        "best": usable[-1:],
        "with a real twin": [number for number in typical if number in twins],
        "night": [number for number in typical if frames[number].night],
        **{name: [number for number in typical if name in frames[number].classes] for name in categories},
        "worse than most": usable[quarter : quarter + 1] if quarter > 1 else [],
        "better than most": usable[::-1][quarter : quarter + 1] if quarter > 1 else [],
        "example": [] if usable else unscored,
    }
    chosen: dict[int, tuple[str, ...]] = {}
    sequences: set[str | None] = set()
    for name, candidates in wanted.items():
        new = [number for number in candidates if number not in chosen]
        apart = [number for number in new if frames[number].sequence not in sequences]
        number = next(iter((*apart, *new, *candidates)), None)
        if number is not None and (number in chosen or len(chosen) < count):
            chosen[number] = (*chosen.get(number, ()), name)
            sequences |= {frames[number].sequence} - {None}
    return chosen


def _from_the_middle(ranked: Sequence[int]) -> list[int]:
    """Return a ranking from its median outwards."""
    middle = (len(ranked) - 1) / 2
    return [ranked[place] for place in sorted(range(len(ranked)), key=lambda place: (abs(place - middle), place))]


def make_gallery(
    survey: Survey,
    choice: Choice,
    items: Iterable[Image],
    scores: Scores,
    painter: Painter,
    *,
    report: Progress | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Draw the chosen images and boxes.

    Args:
        survey: The dataset.
        choice: From `choose`.
        items: The images of the dataset, in the order of `survey.frames`.
        scores: Of the images.
        painter: Makes the pictures.
        report: Progress callback.

    Returns:
        Values for the template: cards of images (`worst`, `best`) and of `boxes`, and `comparisons`, whose `left` and
        `right` are pairs of a name and a picture. A picture is None if its file is missing or unreadable.
    """
    boxes_of: dict[int, list[int]] = {}
    for box in choice.boxes:
        boxes_of.setdefault(int(survey.boxes.frame[box]), []).append(box)
    wanted = {*choice.worst, *choice.best, *choice.compared, *choice.twins.values(), *boxes_of}
    kept = {number: item for number, item in enumerate(items) if number in wanted}
    total = len(choice.worst) + len(choice.best) + len(choice.compared) + len(boxes_of)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if report is not None:
            report("draw", done, total)

    badness = badness_of(survey)
    cards: dict[int, dict[str, Any]] = {}
    for number in (*choice.worst, *choice.best):
        item = kept[number]
        because = tuple(
            f"{name} {survey.scores[name][number]:.3g}, {_rank(float(badness[name][number]))}"
            for name in reasons(badness, number)
        )
        cards[number] = {
            "key": item.key,
            "trouble": f"{survey.trouble[number]:.2f}",
            "because": because,
            "about": describe(item),
            "picture": painter.nir(item, MOSAIC_SIDE, _notes(item, scores)),
        }
        step()
    box_cards: dict[int, dict[str, Any]] = {}
    for frame, boxes in boxes_of.items():
        box_cards |= _box_cards(survey, kept[frame], boxes, scores, painter)
        step()
    comparisons: list[dict[str, Any]] = []
    for number, names in choice.compared.items():
        title = ", ".join(_COMPARED.get(name, f"shows {name}") for name in names)
        comparisons += _compare(kept[number], kept.get(choice.twins.get(number, -1)), title, scores, painter)
        step()
    return {
        "worst": [cards[number] for number in choice.worst],
        "best": [cards[number] for number in choice.best],
        "boxes": [box_cards[box] for box in choice.boxes],
        "comparisons": comparisons,
    }


def _box_cards(
    survey: Survey, item: Image, boxes: Sequence[int], scores: Scores, painter: Painter
) -> dict[int, dict[str, Any]]:
    """Return the cards of some boxes of one image, which is read once."""
    numbers = [int(survey.boxes.number[box]) for box in boxes]
    scored = scores.of(item).boxes
    cards = {}
    for box, number, (nir, rgb) in zip(boxes, numbers, painter.crops(item, numbers), strict=True):
        category = item.boxes[number].category
        cards[box] = {
            "key": item.boxes[number].key,
            "category": category,
            "colour": painter.colours[category],
            "trouble": float(survey.boxes.trouble[box]),
            "fidelity": scored[number].fidelity,
            "tags": [*scored[number].tags, *item.boxes[number].flags],
            "nir": nir,
            "rgb": rgb,
        }
    return cards


def _compare(item: Image, twin: Image | None, title: str, scores: Scores, painter: Painter) -> Iterator[dict[str, Any]]:
    """Yield an image beside its RGB image, and beside the real NIR image of the same scene if there is one."""
    kind = "generated NIR" if item.generated else "real NIR"
    nir, rgb = painter.nir(item, SLIDER_SIDE, _notes(item, scores)), painter.rgb(item, SLIDER_SIDE)
    if nir is None or rgb is None:
        return
    yield {"title": title, "key": item.key, "about": describe(item), "left": ("RGB", rgb), "right": (kind, nir)}
    real = None if twin is None else painter.nir(twin, SLIDER_SIDE)
    if twin is not None and real is not None:
        title, about = "real and generated NIR of one scene", f"the real one is {twin.key}"
        yield {"title": title, "key": item.key, "about": about, "left": ("real NIR", real), "right": (kind, nir)}


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
    on_it = [f"{count} {name}" for name, count in sorted(boxes.items(), key=lambda entry: (-entry[1], entry[0]))]
    on_it += [f"{ignored} to ignore"] if ignored else []
    return "; ".join(filter(None, (", ".join(filter(None, about)), ", ".join(on_it))))


def _rank(badness: float) -> str:
    return "the worst of all" if badness >= 1 else f"worse than {min(99, int(100 * badness))}\u00a0%"
