from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nirgen.curation import Decision, Seen
from nirgen.dataset.decisions import (
    Editing,
    Judged,
    Target,
    TargetBox,
    by,
    check_categories,
    count_boxes,
    image_of,
    image_steps,
    judge,
    placed,
)
from nirgen.errors import NirgenError

SHA = "a" * 64
KEYS = {"bdd/a.jpg": 1, "bdd/b#c.jpg": 2}
BOXES = {"7": TargetBox("car", (2, 2, 8, 8)), "8": TargetBox("person", (0, 0, 4, 4))}


def judged(*decisions: Decision) -> Judged:
    target = Target(SHA, (30, 20), BOXES, frozenset({"9"}))
    ordered = sorted(decisions, key=lambda each: each.order)
    return judge(ordered, KEYS, lambda _: target, {"bdd/x.jpg": "not sampled"}.get)


def noted(found) -> list[tuple[str, str, str]]:
    return [(each.key, each.action, each.why) for each in found]


@pytest.mark.parametrize(
    ("key", "action", "image"),
    [
        ("bdd/a.jpg", "reject", "bdd/a.jpg"),
        ("bdd/a.jpg#7", "keep", "bdd/a.jpg"),
        ("bdd/b#c.jpg", "keep", "bdd/b#c.jpg"),
        ("bdd/b#c.jpg#1#2", "delete", "bdd/b#c.jpg"),
        ("bdd/a.jpg#7", "reject", None),
        ("bdd/z.jpg", "keep", None),
    ],
)
def test_the_image_of_a_decision_is_found_whatever_signs_its_name_has(key, action, image) -> None:
    assert image_of(Decision(key, action), KEYS) == image


def test_decisions_are_applied_to_what_they_are_about() -> None:
    found = judged(Decision("bdd/a.jpg", "keep"), Decision("bdd/a.jpg#7", "relabel", "truck"))
    assert [each.action for each in found.applied["bdd/a.jpg"]] == ["keep", "relabel"]
    assert (found.counts, found.gone, found.changed, found.idle) == ({"keep": 1, "relabel": 1}, [], [], 0)


def test_a_decision_whose_target_is_gone_says_why() -> None:
    move = {"bbox": (40, 10, 8, 8), "width": 60, "height": 40}
    found = judged(
        Decision("bdd/x.jpg", "reject"),
        Decision("bdd/x.jpg#1", "delete"),
        Decision("bdd/z.jpg", "flag"),
        Decision("bdd/a.jpg#6", "delete"),
        Decision("bdd/a.jpg#9", "relabel", "car"),
        Decision("bdd/a.jpg#7", "move", None, (60, 20, 0.001, 8), 60.0001, 40),  # type: ignore[arg-type]
        Decision("bdd/a.jpg#+0123456789ab", "move", **move),
    )
    assert noted(found.gone) == [
        ("bdd/a.jpg#+0123456789ab", "move", "its image has no such box"),
        ("bdd/a.jpg#6", "delete", "its image has no such box"),
        ("bdd/a.jpg#7", "move", "nothing of the new box is in the image"),
        ("bdd/a.jpg#9", "relabel", "the box is too small for the dataset once it is scaled"),
        ("bdd/x.jpg", "reject", "not sampled"),
        ("bdd/x.jpg#1", "delete", "not sampled"),
        ("bdd/z.jpg", "flag", "the dataset has no such image"),
    ]
    assert found.applied == {}


def test_a_decision_whose_target_changed_is_applied_and_says_how() -> None:
    found = judged(
        Decision("bdd/a.jpg", "keep", seen=Seen(sha256="b" * 64)),
        Decision("bdd/a.jpg#7", "delete", None, None, 60, 40, seen=Seen(None, "truck", (4, 4, 16, 20))),
    )
    assert noted(found.changed) == [
        ("bdd/a.jpg", "keep", "its file was bbbbbbbbbbbb, and is aaaaaaaaaaaa"),
        ("bdd/a.jpg#7", "delete", "its class was truck, and is car; its box was at 2,2 8x10, and is at 2,2 8x8"),
    ]
    assert found.counts == {"keep": 1, "delete": 1}


def test_what_was_seen_at_another_size_is_the_same() -> None:
    seen = Seen(SHA, "car", (4, 4, 16, 16.05))
    found = judged(Decision("bdd/a.jpg#7", "delete", None, None, 60, 40, seen=seen))
    assert (found.changed, found.gone) == ([], [])


def test_decisions_about_boxes_of_rejected_images_have_no_effect() -> None:
    found = judged(Decision("bdd/a.jpg", "reject"), Decision("bdd/a.jpg#7", "delete"), Decision("bdd/a.jpg#5", "keep"))
    assert (found.counts, found.idle, found.gone) == ({"reject": 1}, 2, [])


def test_an_added_box_can_be_edited_like_any_other() -> None:
    key = "bdd/a.jpg#+0123456789ab"
    found = judged(
        Decision(key, "add", "car", (0, 0, 5, 5), 30, 20),
        Decision(key, "relabel", "truck", seen=Seen(category="car")),
        Decision(key, "keep", seen=Seen(category="bicycle")),
    )
    assert found.counts == {"add": 1, "relabel": 1, "keep": 1}
    assert noted(found.changed) == [(key, "keep", "its class was bicycle, and is car")]


@pytest.mark.parametrize(
    ("bbox", "size", "expected"),
    [
        ((2, 4, 6, 8), (30, 20), (1, 2, 3, 4)),
        ((-4, -4, 10, 10), (60, 40), (0, 0, 6, 6)),
        ((50, 30, 20, 20), (60, 40), (50, 30, 10, 10)),
        ((59.9995, 0, 5, 5), (30, 20), None),
    ],
)
def test_a_box_is_scaled_to_the_image_and_cut_at_its_border(bbox, size, expected) -> None:
    assert placed(bbox, Decision("b/a#1", "move", None, bbox, 60, 40), size) == expected


def test_an_unknown_class_is_an_error_with_the_nearest_one() -> None:
    decisions = [Decision("bdd/a.jpg#1", "relabel", "bicylce")]
    with pytest.raises(
        NirgenError, match=r"c\.jsonl: relabel of 'bdd/a\.jpg#1' names the class 'bicylce', .*'bicycle'\?"
    ):
        check_categories(decisions, ["person", "bicycle"], Path("c.jsonl"))
    check_categories(decisions, ["bicylce"], Path("c.jsonl"))


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
