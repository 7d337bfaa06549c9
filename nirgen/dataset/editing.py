"""What decisions make of the annotations of an image."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from nirgen.dataset.judging import placed, said
from nirgen.labels.file import annotation, box_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nirgen.curation.decision import Decision
    from nirgen.dataset.plan import PlannedImage


class Editing:
    """The decisions about one image and its boxes.

    Args:
        image: The image, with its decisions.
        ids: The ids of the dataset's categories by their names.
    """

    def __init__(self, image: PlannedImage, ids: Mapping[str, int]) -> None:
        self._size = image.width, image.height
        self._ids = ids
        self._names = {number: name for name, number in ids.items()}
        self._by_key: dict[str, list[Decision]] = {}
        for decision in image.decisions:
            if decision.key != image.key:
                self._by_key.setdefault(decision.key.removeprefix(f"{image.key}#"), []).append(decision)

    def apply(self, source_key: str, values: dict[str, Any]) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
        """Carry out the decisions about an annotation.

        Args:
            source_key: What its label file calls it.
            values: Its COCO keys, on the dataset's image.

        Returns:
            The keys as they are decided, None if it was deleted; and what was done, in words.
        """
        steps = []
        for decision in self._by_key.get(source_key, ()):
            if decision.action == "delete":
                return None, ()
            values, step = self._edited(values, decision)
            steps.append(step)
        return values, tuple(steps)

    def added(self) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
        """The annotations that decisions add, edited by others: source key, COCO keys, what was done in words."""
        for source_key, decisions in sorted(self._by_key.items()):
            if any(decision.action == "add" for decision in decisions):
                values = self._new(next(each for each in decisions if each.action == "add"), source_key)
                edited, steps = self.apply(source_key, values)
                if edited is not None:
                    yield source_key, edited, steps

    def _new(self, decision: Decision, source_key: str) -> dict[str, Any]:
        assert decision.category is not None
        assert decision.bbox is not None
        box = placed(decision.bbox, decision, self._size)
        assert box is not None  # or else it was listed as gone
        return {
            "category_id": self._ids[decision.category],
            "bbox": list(box),
            "area": round(box[2] * box[3], 3),
            "iscrowd": 0,
            "source_key": source_key,
            "source_category": decision.category,
        }

    def _edited(self, values: dict[str, Any], decision: Decision) -> tuple[dict[str, Any], str]:
        """An annotation after one decision, and what that did in words."""
        what = ""
        if decision.action == "relabel":
            number = self._ids[str(decision.category)]
            what = f" {self._names[values['category_id']]} -> {decision.category}"
            values = values | {"category_id": number}
        elif decision.action == "move" and decision.bbox is not None:
            box = placed(decision.bbox, decision, self._size)
            assert box is not None  # or else it was listed as gone
            what = f" {said(values['bbox'])} -> {said(box)}"
            values = {name: value for name, value in values.items() if name != "segmentation"}
            values |= {"bbox": list(box), "area": round(box[2] * box[3], 3)}
        elif decision.action == "add":
            what = f" {decision.category}"
        return values, f"decision: {decision.action}{what}{by(decision)}"


def image_steps(image: PlannedImage) -> Iterator[str]:
    """What was decided about an image that stays, in words."""
    for decision in image.decisions:
        if decision.key == image.key:
            yield f"decision: {decision.action}{by(decision)}"


def by(decision: Decision) -> str:
    """Whose decision it is and why, in brackets behind a blank; empty if neither is known.

    Example:
        >>> from nirgen.curation import Decision
        >>> by(Decision("bdd100k/a.jpg", "reject", author="anna", reason="blurred"))
        ' (anna: blurred)'
    """
    words = ": ".join(text for each in (decision.author, decision.reason) if (text := " ".join(each.split())))
    return f" ({words})" if words else ""


def count_boxes(image: PlannedImage, ids: Mapping[str, int]) -> tuple[Counter[int], int]:
    """How many boxes of each category id an image has by its labels and decisions, and how many regions to ignore."""
    if image.labels is None:
        boxes, ignored = Counter[int](), 0
    elif not image.decisions:
        boxes = box_counts(image.labels)
        return boxes, len(image.labels.annotations) - boxes.total()
    else:
        boxes, ignored = Counter(), 0
    editing = Editing(image, ids)
    raws = () if image.labels is None else image.labels.annotations
    edited = [editing.apply(values["source_key"], values)[0] for values in map(annotation, raws)]
    for values in (*edited, *(values for _, values, _ in editing.added())):
        if values is not None and values["iscrowd"]:
            ignored += 1
        elif values is not None:
            boxes[values["category_id"]] += 1
    return boxes, ignored
