from __future__ import annotations

import pytest

from nirgen.curation import Decision, Seen, added_key
from nirgen.curation.decision import scaled


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
