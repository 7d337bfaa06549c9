from __future__ import annotations

from nirgen.curation import Decision, diff

A = Decision("bdd/a.jpg", "reject")
B = Decision("bdd/b.jpg#1", "relabel", "car")
C = Decision("bdd/c.jpg", "keep")


def test_differences_are_what_makes_the_first_the_second() -> None:
    other = Decision("bdd/b.jpg#1", "relabel", "truck")
    found = diff([B, A], [C, other])
    assert (found.added, found.removed, found.changed) == ((C,), (A,), ((B, other),))
    assert found.any


def test_order_does_not_differ() -> None:
    assert not diff([A, B, C], [C, B, A]).any


def test_boxes_differ_by_what_a_file_can_say() -> None:
    one, other = (Decision("bdd/b.jpg#1", "move", None, (x, 0, 1, 1), 9, 9) for x in (1, 1.0001))
    assert not diff([one], [other]).any
