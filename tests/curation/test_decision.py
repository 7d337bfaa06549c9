from __future__ import annotations

import pytest

from nirgen.curation import Decision, Seen, added_key, merge, scaled, unite


def test_the_key_of_an_added_box_tells_boxes_apart() -> None:
    key = added_key("bdd/a.jpg", "car", (1, 2, 3, 4), 30, 20)
    assert key.startswith("bdd/a.jpg#+")
    assert len(key) == len("bdd/a.jpg#+") + 12
    assert key == added_key("bdd/a.jpg", "car", (1.0, 2.0001, 3, 4.0), 30, 20)
    others = {
        added_key("bdd/a.jpg", "bicycle", (1, 2, 3, 4), 30, 20),
        added_key("bdd/a.jpg", "car", (1, 2, 3, 4.5), 30, 20),
        added_key("bdd/a.jpg", "car", (1, 2, 3, 4), 60, 40),
    }
    assert len(others - {key}) == 3


def test_boxes_have_three_decimals() -> None:
    decision = Decision("b/a.jpg#1", "move", None, (1.23456, -0.0001, 2, 3), 30, 20, seen=Seen(bbox=(0.00049, 1, 2, 3)))
    rounded = decision.rounded()
    assert rounded.bbox == (1.235, 0.0, 2.0, 3.0)
    assert str(rounded.bbox) == "(1.235, 0.0, 2.0, 3.0)"
    assert rounded.seen.bbox == (0.0, 1.0, 2.0, 3.0)


@pytest.mark.parametrize("sizes", [(None, (30, 20)), ((30, 20), None), ((30, 20), (30, 20))])
def test_a_box_stays_where_no_size_or_no_other_one_is_known(sizes) -> None:
    assert scaled((1, 2, 3, 4), *sizes) == (1, 2, 3, 4)


REJECT = Decision("bdd/a.jpg", "reject", author="anna")
RELABEL = Decision("bdd/b.jpg#1", "relabel", "bicycle", seen=Seen(category="car"))
MOVE = Decision("bdd/b.jpg#1", "move", None, (4, 4, 8, 8), 40, 20, seen=Seen(bbox=(2, 2, 8, 8)))
ADD = Decision("bdd/b.jpg#+0123456789ab", "add", "car", (1, 1, 2, 2), 40, 20)


def test_nothing_new_leaves_the_base_as_it_is() -> None:
    assert merge([MOVE, RELABEL, REJECT, ADD], []) == (REJECT, ADD, MOVE, RELABEL)


def test_new_decisions_come_to_the_old_ones() -> None:
    new = Decision("bdd/a2.jpg", "keep", seen=Seen(sha256="0" * 64))
    assert merge([REJECT], [new]) == (REJECT, new)


def test_what_a_new_decision_contradicts_goes() -> None:
    keep = Decision("bdd/a.jpg", "keep", author="ben")
    assert merge([REJECT], [keep]) == (keep,)
    again = Decision("bdd/a.jpg", "reject", author="ben")
    assert merge([REJECT], [again]) == (again,)


def test_seen_goes_on_telling_of_the_dataset_without_decisions() -> None:
    # the curator sees the box as the older decisions made it
    truck = Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="bicycle"))
    assert merge([RELABEL], [truck]) == (Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="car")),)
    moved = Decision("bdd/b.jpg#1", "move", None, (1, 1, 2, 2), 20, 10, seen=Seen(None, "bicycle", (2, 2, 4, 4)))
    assert merge([RELABEL, MOVE], [moved]) == (
        Decision("bdd/b.jpg#1", "move", None, (1, 1, 2, 2), 20, 10, seen=Seen(None, "car", (1, 1, 4, 4))),
        RELABEL,
    )


def test_a_deletion_replaces_what_was_done_to_the_box_before() -> None:
    delete = Decision("bdd/b.jpg#1", "delete", None, None, 40, 20, seen=Seen(None, "bicycle", (4, 4, 8, 8)))
    assert merge([RELABEL, MOVE], [delete]) == (
        Decision("bdd/b.jpg#1", "delete", None, None, 40, 20, seen=Seen(None, "car", (2, 2, 8, 8))),
    )


def test_deleting_an_added_box_leaves_no_trace_of_it() -> None:
    relabel = Decision(ADD.key, "relabel", "bicycle", seen=Seen(category="car"))
    assert merge([ADD, relabel, REJECT], [Decision(ADD.key, "delete")]) == (REJECT,)


def test_taking_a_change_back_leaves_no_decision() -> None:
    back = Decision("bdd/b.jpg#1", "relabel", "car", seen=Seen(category="bicycle"))
    there = Decision("bdd/b.jpg#1", "move", None, (1, 1, 4, 4), 20, 10, seen=Seen(bbox=(2, 2, 4, 4)))
    assert merge([RELABEL, MOVE], [back, there]) == ()


def test_an_added_box_can_be_changed_later() -> None:
    relabel = Decision(ADD.key, "relabel", "bicycle", seen=Seen(category="car"))
    assert merge([ADD], [relabel]) == (ADD, relabel)


def test_merging_again_changes_nothing() -> None:
    new = [Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="bicycle")), Decision("bdd/c.jpg", "keep")]
    once = merge([RELABEL, MOVE, REJECT], new)
    assert merge([RELABEL, MOVE, REJECT], reversed(new)) == once
    assert merge(once, []) == once


def test_files_that_are_united_keep_what_each_saw() -> None:
    other = Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="car"), author="ben")
    keep = Decision("bdd/a.jpg", "keep")
    assert unite([RELABEL, MOVE, REJECT], [other, keep]) == (keep, MOVE, other)
