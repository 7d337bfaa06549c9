"""Images and boxes that a report shows: how they are chosen, and their captions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen.report.pictures import MOSAIC_SIDE, SLIDER_SIDE
from nirgen.report.survey import is_night

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.collection import Item
    from nirgen.progress import Progress
    from nirgen.report.pictures import Painter, Picture
    from nirgen.report.survey import Survey
    from nirgen.scores import BoxScores, Scores


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How much a report shows; the page's size grows with these, and not with the dataset.

    Attributes:
        title: Of the page; None for the folder's name.
        images: The worst images shown, and as many of the best.
        boxes: The worst boxes shown.
        frames: Images shown beside their RGB image, with a slider.
        sampled: Images of each kind, generated and real, whose intensities and gradients are measured.
    """

    title: str | None = None
    images: int = 12
    boxes: int = 24
    frames: int = 8
    sampled: int = 200


BOXES_OF_AN_IMAGE = 3
"""Worst boxes shown of one image, so that others have their turn."""
STANDS_OUT = 0.1
"""A score is given as a reason if it is among this share of the dataset's worst."""
REASONS = 3
"""Reasons given for an image, the strongest first."""

LOW_IS_BAD = frozenset({"structure", "sharpness", "contrast"})
"""The scores of images whose low values are the bad ones; of the others it is the high ones."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown.

    Attributes:
        worst: Indices in `Survey.frames`, the worst first.
        best: The same, the best first; none of them is in `worst`.
        boxes: Indices in `Survey.boxes`, the worst first.
        compared: Indices in `Survey.frames` of what is shown beside its RGB image, with what each is an example of.
        twins: By index of a generated image among `compared`, that of the real NIR image of the same scene.
    """

    worst: tuple[int, ...]
    best: tuple[int, ...]
    boxes: tuple[int, ...]
    compared: Mapping[int, tuple[str, ...]]
    twins: Mapping[int, int]

    @property
    def frames(self) -> frozenset[int]:
        """All images that are needed."""
        return frozenset((*self.worst, *self.best, *self.compared, *self.twins.values()))


def choose(survey: Survey, options: ReportOptions, categories: Sequence[str]) -> Choice:
    """Choose what is shown.

    Args:
        survey: The dataset.
        options: How much to show.
        categories: The names of the classes, in their order.
    """
    ranked = _ranked(survey.trouble, [frame.has_nir for frame in survey.frames])
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


def why(survey: Survey) -> Mapping[str, NDArray[np.float32]]:
    """How bad each score of each image is within this dataset: by name, shares of the images that do no worse.

    Returns:
        For each of `Survey.frames` a value in [0, 1], 1 for the worst; NaN where the score couldn't be computed.
    """
    return {
        name: _badness(-values if name in LOW_IS_BAD else values)
        for name, values in survey.scores.items()
        if name != "trouble"
    }


def reasons(badness: Mapping[str, NDArray[np.float32]], number: int) -> list[str]:
    """The scores of an image that stand out, the worst first."""
    ranked = sorted((-float(values[number]), name) for name, values in badness.items() if values[number] >= 0)
    return [name for negative, name in ranked if -negative >= 1 - STANDS_OUT][:REASONS]


def _badness(values: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.sort(values[~np.isnan(values)])
    shares = np.searchsorted(known, values, side="left") / max(1, len(known) - 1)
    unlike = len(known) > 1 and known[0] < known[-1]
    return np.where(np.isnan(values) | (not unlike), np.nan, shares).astype(np.float32)


def _ranked(trouble: NDArray[np.float32], there: Sequence[bool]) -> list[int]:
    """The images that have a file and a score, the worst first; equal ones by their keys."""
    numbers = [number for number, has_file in enumerate(there) if has_file and not np.isnan(trouble[number])]
    return sorted(numbers, key=lambda number: (-trouble[number], number))


def _worst_boxes(survey: Survey, count: int) -> Iterator[int]:
    boxes = survey.boxes
    there = np.fromiter((frame.has_nir for frame in survey.frames), bool, len(survey.frames))
    usable = ~np.isnan(boxes.trouble) & there[boxes.frame]
    numbers = np.flatnonzero(usable)
    taken: Counter[int] = Counter()
    for number in numbers[np.argsort(-boxes.trouble[numbers], kind="stable")]:
        frame = int(boxes.frame[number])
        if taken.total() < count and taken[frame] < BOXES_OF_AN_IMAGE:
            taken[frame] += 1
            yield int(number)
        elif taken.total() >= count:
            return


def _twins(survey: Survey) -> dict[int, int]:
    """By generated image, the real NIR image whose RGB partner is the file that it was translated from."""
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
    """The images to compare with their RGB images, and what each is an example of."""
    frames = survey.frames
    usable = [number for number in ranked if frames[number].has_rgb]
    middle = _from_the_middle(usable)
    unscored = [
        number
        for number, frame in enumerate(frames)
        if frame.has_nir and frame.has_rgb and np.isnan(survey.trouble[number])
    ]
    typical = sorted(middle, key=lambda number: not frames[number].place.generated) + unscored
    wanted: list[tuple[str, Iterable[int]]] = [
        ("worst", usable[:1]),
        ("median", middle[:1]),
        ("best", usable[-1:]),
        ("with a real twin", [number for number in typical if number in twins]),
        ("night", [number for number in typical if frames[number].night]),
        *((name, [number for number in typical if name in frames[number].classes]) for name in categories),
        *([] if categories else _quarters(usable)),
        ("example", [] if usable else unscored),
    ]
    chosen: dict[int, tuple[str, ...]] = {}
    sequences: set[str] = set()
    for name, numbers in wanted:
        number = _next(list(numbers), survey, chosen, sequences)
        if number is not None and (number in chosen or len(chosen) < count):
            chosen[number] = (*chosen.get(number, ()), name)
            sequences |= {sequence} if (sequence := frames[number].sequence) else set()
    return chosen


def _quarters(usable: Sequence[int]) -> list[tuple[str, Sequence[int]]]:
    """What else to look at where there are no classes."""
    quarter = len(usable) // 4
    if quarter < 2:
        return []
    return [
        ("worse than most", usable[quarter : quarter + 1]),
        ("better than most", usable[::-1][quarter : quarter + 1]),
    ]


def _next(
    candidates: Sequence[int], survey: Survey, chosen: Mapping[int, Sequence[str]], sequences: set[str]
) -> int | None:
    """The first that isn't shown yet and of another recording than those shown; else not shown; else the first."""
    new = [number for number in candidates if number not in chosen]
    apart = (number for number in new if survey.frames[number].sequence not in sequences)
    return next(apart, next(iter(new), next(iter(candidates), None)))


def _from_the_middle(ranked: Sequence[int]) -> list[int]:
    """A ranking from its median outwards."""
    middle = (len(ranked) - 1) / 2
    return [ranked[place] for place in sorted(range(len(ranked)), key=lambda place: (abs(place - middle), place))]


_COMPARED: Mapping[str, str] = {
    "worst": "the worst",
    "median": "the median",
    "best": "the best",
    "night": "night",
    "worse than most": "worse than three quarters",
    "better than most": "better than three quarters",
    "example": "an example",
    "with a real twin": "with a real NIR image of the same scene",
}
"""What a compared image is an example of, in words; a class is called `shows NAME`."""


@dataclass(frozen=True, slots=True)
class ImageCard:
    """An image of a mosaic.

    Attributes:
        key: Its stable key.
        trouble: Its score, as shown.
        because: The scores that stand out, in words, the strongest first.
        about: What it is and what is on it.
        picture: None if its file can't be shown.
    """

    key: str
    trouble: str
    because: tuple[str, ...]
    about: str
    picture: Picture | None


@dataclass(frozen=True, slots=True)
class BoxCard:
    """A box with its surroundings.

    Attributes:
        key: Its stable key.
        category: Its class.
        colour: Of the class.
        trouble: Its score, by which it was chosen.
        fidelity: Its score; None if it isn't known.
        tags: Suggestions and flags.
        nir: None if the file can't be shown.
        rgb: None if there is no RGB image.
    """

    key: str
    category: str
    colour: str
    trouble: float
    fidelity: float | None
    tags: tuple[str, ...]
    nir: Picture | None
    rgb: Picture | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two pictures of one scene under a slider.

    Attributes:
        title: What the image is an example of.
        key: Its stable key.
        about: What it is and what is on it.
        left: The picture on the left of the line, and what it is.
        right: The same on the right.
    """

    title: str
    key: str
    about: str
    left: tuple[str, Picture]
    right: tuple[str, Picture]


@dataclass(frozen=True)
class Gallery:
    """All pictures of a report."""

    worst: tuple[ImageCard, ...]
    best: tuple[ImageCard, ...]
    boxes: tuple[BoxCard, ...]
    comparisons: tuple[Comparison, ...]


def make_gallery(
    survey: Survey,
    choice: Choice,
    items: Iterable[Item],
    scores: Scores,
    painter: Painter,
    *,
    report: Progress | None = None,
) -> Gallery:
    """Draw what was chosen.

    Args:
        survey: The dataset.
        choice: What to show.
        items: The images of the dataset, in the order of `survey.frames`.
        scores: Of them.
        painter: Makes the pictures.
        report: Told after each picture.
    """
    studio = _Studio(survey, choice, items, scores, painter, report=report)
    worst, best = (tuple(studio.card(number) for number in numbers) for numbers in (choice.worst, choice.best))
    boxes = studio.boxes()
    comparisons = tuple(each for number, names in choice.compared.items() for each in studio.compare(number, names))
    return Gallery(worst, best, boxes, comparisons)


def explain_badness(survey: Survey, badness: Mapping[str, NDArray[np.float32]], number: int) -> tuple[str, ...]:
    """The scores of an image that stand out, each with its value and how many images do better."""
    return tuple(
        f"{name} {survey.scores[name][number]:.3g}, {_compared_with_others(float(badness[name][number]))}"
        for name in reasons(badness, number)
    )


class _Studio:
    """Draws what was chosen; images that are shown are kept, and no others."""

    def __init__(
        self,
        survey: Survey,
        choice: Choice,
        items: Iterable[Item],
        scores: Scores,
        painter: Painter,
        *,
        report: Progress | None,
    ) -> None:
        self._survey, self._choice, self._scores, self._painter = survey, choice, scores, painter
        self._badness = why(survey)
        self._of_image: dict[int, list[int]] = {}
        for box in choice.boxes:
            self._of_image.setdefault(int(survey.boxes.frame[box]), []).append(box)
        wanted = choice.frames | self._of_image.keys()
        self._items = {number: item for number, item in enumerate(items) if number in wanted}
        self._report, self._done = report, 0
        self._total = len(choice.worst) + len(choice.best) + len(choice.compared) + len(self._of_image)

    def card(self, number: int) -> ImageCard:
        item = self._items[number]
        notes = [_box_note(each) for each in self._scores.of(item).boxes]
        card = ImageCard(
            key=item.key,
            trouble=f"{self._survey.trouble[number]:.2f}",
            because=explain_badness(self._survey, self._badness, number),
            about=describe(item),
            picture=self._painter.nir(item, MOSAIC_SIDE, notes),
        )
        self._step()
        return card

    def boxes(self) -> tuple[BoxCard, ...]:
        cards: dict[int, BoxCard] = {}
        for frame, boxes in self._of_image.items():
            item = self._items[frame]
            numbers = [int(self._survey.boxes.number[box]) for box in boxes]
            scored = self._scores.of(item).boxes
            for box, number, (nir, rgb) in zip(boxes, numbers, self._painter.crops(item, numbers), strict=True):
                category = item.boxes[number].category
                cards[box] = BoxCard(
                    key=item.boxes[number].key,
                    category=category,
                    colour=self._painter.colours[category],
                    trouble=float(self._survey.boxes.trouble[box]),
                    fidelity=scored[number].fidelity,
                    tags=(*scored[number].tags, *item.boxes[number].flags),
                    nir=nir,
                    rgb=rgb,
                )
            self._step()
        return tuple(cards[box] for box in self._choice.boxes)

    def compare(self, number: int, names: Sequence[str]) -> list[Comparison]:
        """An image beside its RGB image, and beside the real NIR image of the scene if there is one."""
        item = self._items[number]
        kind = "generated NIR" if item.generated else "real NIR"
        notes = [_box_note(each) for each in self._scores.of(item).boxes]
        nir, rgb = self._painter.nir(item, SLIDER_SIDE, notes), self._painter.rgb(item, SLIDER_SIDE)
        self._step()
        if nir is None or rgb is None:
            return []
        title = ", ".join(_COMPARED.get(name, f"shows {name}") for name in names)
        found = [Comparison(title, item.key, describe(item), ("RGB", rgb), (kind, nir))]
        twin = self._choice.twins.get(number)
        real = None if twin is None else self._painter.nir(self._items[twin], SLIDER_SIDE)
        if twin is not None and real is not None:
            about = f"the real one is {self._items[twin].key}"
            found.append(
                Comparison("real and generated NIR of one scene", item.key, about, ("real NIR", real), (kind, nir))
            )
        return found

    def _step(self) -> None:
        self._done += 1
        if self._report is not None:
            self._report("draw", self._done, self._total)


def describe(item: Item) -> str:
    """What an image is and what is on it: `generated, train, night; 12 car, 2 person`."""
    boxes = Counter(box.category for box in item.boxes if not box.iscrowd)
    ignored = sum(box.iscrowd for box in item.boxes)
    about = ["generated" if item.generated else "real", item.split or "", "night" if is_night(item) else ""]
    on_it = [f"{count} {name}" for name, count in sorted(boxes.items(), key=lambda entry: (-entry[1], entry[0]))]
    on_it += [f"{ignored} to ignore"] if ignored else []
    return "; ".join(filter(None, (", ".join(filter(None, about)), ", ".join(on_it))))


def _compared_with_others(badness: float) -> str:
    return "the worst of all" if badness >= 1 else f"worse than {min(99, int(100 * badness))}\u00a0%"


def _box_note(scored: BoxScores) -> str:
    fidelity = "" if scored.fidelity is None else f"fidelity {scored.fidelity:.2f}"
    return ", ".join(filter(None, (fidelity, *scored.tags)))
