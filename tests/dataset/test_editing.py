from __future__ import annotations

from dataclasses import replace

from nirgen.curation import Decision
from nirgen.dataset.editing import Editing, by, count_boxes, image_steps

IDS = {"person": 1, "bicycle": 2, "car": 3}


def test_decisions_are_carried_out_one_after_the_other(small_plan) -> None:
    key = "bdd/a.jpg#7"
    decisions = (
        Decision("bdd/a.jpg", "keep", author="ben"),
        Decision(key, "flag"),
        Decision(key, "move", None, (2, 2, 8, 8), 60, 40),
        Decision(key, "relabel", "bicycle"),
    )
    image = replace(small_plan.images[0], decisions=decisions)
    values = {"category_id": 3, "bbox": [5, 10, 15.5, 5.5], "area": 85.25, "segmentation": [[1, 2, 3, 4, 5, 6]], "x": 1}
    assert Editing(image, IDS).apply("7", values) == (
        {"category_id": 2, "bbox": [1.0, 1.0, 4.0, 4.0], "area": 16.0, "x": 1},
        ("decision: flag", "decision: move 5,10 15.5x5.5 -> 1,1 4x4", "decision: relabel car -> bicycle"),
    )
    assert Editing(image, IDS).apply("8", values) == (values, ())
    assert list(image_steps(image)) == ["decision: keep (ben)"]


def test_a_deleted_box_is_none(small_plan) -> None:
    image = replace(small_plan.images[0], decisions=(Decision("bdd/a.jpg#7", "delete"),))
    assert Editing(image, IDS).apply("7", {"category_id": 3}) == (None, ())


def test_boxes_are_counted_as_they_are_decided(small_plan) -> None:
    image = small_plan.images[0]
    assert count_boxes(image, IDS) == ({3: 1, 1: 1}, 1)
    decisions = (
        Decision("bdd/a.jpg#+0123456789ab", "add", "bicycle", (1, 1, 2, 2), 30, 20),
        Decision("bdd/a.jpg#10", "relabel", "car"),
        Decision("bdd/a.jpg#3", "delete"),
    )
    assert count_boxes(replace(image, decisions=decisions), IDS) == ({3: 2, 2: 1}, 0)
    assert count_boxes(replace(image, labels=None, decisions=decisions[:1]), IDS) == ({2: 1}, 0)


def test_author_and_reason_are_told_on_one_line() -> None:
    assert by(Decision("b/a", "keep")) == ""
    assert by(Decision("b/a", "keep", author=" anna ")) == " (anna)"
    assert by(Decision("b/a", "keep", reason="too\n dark")) == " (too dark)"
