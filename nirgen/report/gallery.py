"""The pictures of a report with their captions: images, boxes, and images beside their RGB image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.report.choosing import reasons, why
from nirgen.report.pictures import MOSAIC_SIDE, SLIDER_SIDE
from nirgen.report.survey import is_night

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.collection import Item
    from nirgen.dataset.plan import Report
    from nirgen.report.choosing import Choice
    from nirgen.report.pictures import Painter, Picture
    from nirgen.report.survey import Survey
    from nirgen.scores import BoxScores, Scores

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
    report: Report | None = None,
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
        report: Report | None,
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
