from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nirgen.curation import Decision, Seen, added_key
from nirgen.dataset.annotations import count_boxes, label_images
from nirgen.dataset.decisions import (
    Outcome,
    Subject,
    SubjectBox,
    apply_decisions,
    assign,
    by,
    check_categories,
    decide,
    explain_unknown,
    placed,
)
from nirgen.errors import NirgenError

SHA = "a" * 64
KEY = "bdd/a.jpg"
BOXES = {"7": SubjectBox("car", (2, 2, 8, 8)), "8": SubjectBox("person", (0, 0, 4, 4))}
SUBJECT = Subject(SHA, (30, 20), BOXES, frozenset({"9"}))


def applied(*decisions: Decision) -> Outcome:
    return apply_decisions(KEY, SUBJECT, decisions)


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
    decision = Decision(key, action)
    by_image, unknown = assign([decision], ["bdd/a.jpg", "bdd/b#c.jpg"])
    assert (by_image, unknown) == (({image: [decision]}, []) if image else ({}, [decision]))


def test_decisions_are_applied_to_their_targets() -> None:
    found = applied(Decision(KEY, "keep"), Decision("bdd/a.jpg#7", "relabel", "truck"))
    assert [each.action for each in found.applied] == ["keep", "relabel"]
    assert (found.gone, found.changed, found.idle, found.rejected) == ((), (), 0, False)


def test_a_decision_whose_target_is_gone_says_why() -> None:
    move = {"bbox": (40, 10, 8, 8), "width": 60, "height": 40}
    found = applied(
        Decision("bdd/a.jpg#6", "delete"),
        Decision("bdd/a.jpg#7", "move", None, (60, 20, 0.001, 8), 60.0001, 40),  # type: ignore[arg-type]
        Decision("bdd/a.jpg#9", "relabel", "car"),
        Decision("bdd/a.jpg#+0123456789ab", "move", **move),
    )
    assert noted(found.gone) == [
        ("bdd/a.jpg#+0123456789ab", "move", "its image has no such box"),
        ("bdd/a.jpg#6", "delete", "its image has no such box"),
        ("bdd/a.jpg#7", "move", "nothing of the new box is in the image"),
        ("bdd/a.jpg#9", "relabel", "the box is too small for the dataset once it is scaled"),
    ]
    assert list(found.applied) == []


def test_a_decision_without_an_image_has_the_reason_of_that_image() -> None:
    reasons = {"bdd/x.jpg": "not sampled"}
    assert explain_unknown(Decision("bdd/x.jpg", "reject"), reasons.get).why == "not sampled"
    assert explain_unknown(Decision("bdd/x.jpg#1", "delete"), reasons.get).why == "not sampled"
    assert explain_unknown(Decision("bdd/z.jpg", "flag"), reasons.get).why == "the dataset has no such image"


def test_a_decision_whose_target_changed_is_applied_and_says_how() -> None:
    found = applied(
        Decision(KEY, "keep", seen=Seen(sha256="b" * 64)),
        Decision("bdd/a.jpg#7", "delete", None, None, 60, 40, seen=Seen(None, "truck", (4, 4, 16, 20))),
    )
    assert noted(found.changed) == [
        ("bdd/a.jpg", "keep", "its file was bbbbbbbbbbbb, and is aaaaaaaaaaaa"),
        ("bdd/a.jpg#7", "delete", "its class was truck, and is car; its box was at 2,2 8x10, and is at 2,2 8x8"),
    ]
    assert [each.action for each in found.applied] == ["keep", "delete"]


def test_a_target_seen_at_another_size_is_the_same() -> None:
    seen = Seen(SHA, "car", (4, 4, 16, 16.05))
    found = applied(Decision("bdd/a.jpg#7", "delete", None, None, 60, 40, seen=seen))
    assert (found.changed, found.gone) == ((), ())


def test_decisions_about_boxes_of_rejected_images_have_no_effect() -> None:
    found = applied(Decision(KEY, "reject"), Decision("bdd/a.jpg#7", "delete"), Decision("bdd/a.jpg#5", "keep"))
    assert ([each.action for each in found.applied], found.idle, found.gone) == (["reject"], 2, ())
    assert found.rejected


def test_an_added_box_can_be_edited_like_any_other() -> None:
    key = "bdd/a.jpg#+0123456789ab"
    found = applied(
        Decision(key, "relabel", "truck", seen=Seen(category="car")),
        Decision(key, "keep", seen=Seen(category="bicycle")),
        Decision(key, "add", "car", (0, 0, 5, 5), 30, 20),
    )
    assert [change.decision.action for change in found.changes["+0123456789ab"]] == ["add", "keep", "relabel"]
    assert found.changes["+0123456789ab"][-1].after == SubjectBox("truck", (0, 0, 5, 5))
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


@pytest.mark.parametrize("seed", range(20))
def test_applied_to_the_image_before_decisions_give_the_boxes_after(seed: int) -> None:
    random = np.random.default_rng(seed)

    def box() -> SubjectBox:
        x, y, width, height = (round(float(value), 3) for value in random.uniform((0, 0, 1, 1), (20, 10, 10, 10)))
        return SubjectBox(str(random.choice(["car", "person"])), (x, y, width, height))

    before = {str(number): box() for number in range(8)}
    after = {key: old if random.random() < 0.4 else box() for key, old in before.items() if random.random() < 0.8}
    for _ in range(random.integers(3)):
        new = box()
        after[added_key("", new.category, new.bbox, 30, 20).removeprefix("#")] = new
    decisions = list(decide(KEY, replace(SUBJECT, boxes=before), replace(SUBJECT, boxes=after)))
    found = apply_decisions(KEY, replace(SUBJECT, boxes=before), decisions)
    assert (found.gone, found.changed) == ((), ())
    final = before | {key: changes[-1].after for key, changes in found.changes.items()}
    assert {key: each for key, each in final.items() if each is not None} == after
    assert list(decide(KEY, SUBJECT, SUBJECT)) == []


def test_an_unknown_class_is_an_error_with_the_nearest_one() -> None:
    decisions = [Decision("bdd/a.jpg#1", "relabel", "bicylce")]
    with pytest.raises(
        NirgenError, match=r"c\.jsonl: relabel of 'bdd/a\.jpg#1' names the class 'bicylce', .*'bicycle'\?"
    ):
        check_categories(decisions, ["person", "bicycle"], Path("c.jsonl"))
    check_categories(decisions, ["bicylce"], Path("c.jsonl"))


IDS = {"person": 1, "bicycle": 2, "car": 3}


def test_the_steps_of_a_box_are_recorded_in_order() -> None:
    key = "bdd/a.jpg#7"
    decisions = (
        Decision(key, "relabel", "bicycle"),
        Decision(key, "flag", author="ben"),
        Decision(key, "move", None, (2, 2, 8, 8), 60, 40),
    )
    assert [str(change) for change in applied(*decisions).changes["7"]] == [
        "decision: flag (ben)",
        "decision: move 2,2 8x8 -> 1,1 4x4",
        "decision: relabel car -> bicycle",
    ]


def test_boxes_are_counted_as_they_are_decided(small_plan) -> None:
    image = small_plan.images[0]
    assert count_boxes(image, IDS) == ({3: 1, 1: 1}, 1)
    subject = Subject(SHA, (30, 20), {key: SubjectBox("car", (1, 1, 2, 2)) for key in ("7", "10", "3")})
    added = Decision("bdd/a.jpg#+0123456789ab", "add", "bicycle", (1, 1, 2, 2), 30, 20)
    decisions = (added, Decision("bdd/a.jpg#10", "relabel", "car"), Decision("bdd/a.jpg#3", "delete"))
    outcome = apply_decisions(image.key, subject, decisions)
    assert count_boxes(replace(image, outcome=outcome), IDS) == ({3: 2, 2: 1}, 0)
    outcome = apply_decisions(image.key, subject, [added])
    assert count_boxes(replace(image, labels=None, outcome=outcome), IDS) == ({2: 1}, 0)


def test_a_moved_box_loses_its_outline_and_keeps_other_keys(small_plan) -> None:
    image = small_plan.images[5]
    subject = Subject(SHA, (30, 20), {"3": SubjectBox("bicycle", (10, 2, 4, 4))})
    outcome = apply_decisions(image.key, subject, [Decision(f"{image.key}#3", "move", None, (1, 1, 4, 4), 30, 20)])
    (moved,) = (
        box.coco
        for labelled in label_images(replace(small_plan, images=(replace(image, outcome=outcome),)))
        for box in labelled.boxes
        if box.source_key == "3"
    )
    assert (moved["bbox"], moved["area"], "segmentation" in moved) == ([1, 1, 4, 4], 16, False)
    assert moved["source_category"] == "bicycle"


def test_author_and_reason_are_on_one_line() -> None:
    assert by(Decision("b/a", "keep")) == ""
    assert by(Decision("b/a", "keep", author=" anna ")) == " (anna)"
    assert by(Decision("b/a", "keep", reason="too\n dark")) == " (too dark)"
