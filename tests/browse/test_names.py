"""Names of fields."""

from __future__ import annotations

from nirgen.browse.names import BOX_ACTIONS, IMAGE_ACTIONS, TAG_OF, count_names, field_names


def test_each_attribute_has_a_field_of_its_own() -> None:
    names = field_names(["a b", "a.b", "id", "_x", "$"], [])
    assert names == {"$": "attribute", "_x": "x", "a b": "a_b", "a.b": "attribute_a_b", "id": "attribute_id"}


def test_very_many_classes_are_not_counted_one_by_one() -> None:
    assert len(count_names(map(str, range(30)))) == 30
    assert count_names(map(str, range(31))) == {}


def test_each_decision_has_its_tag() -> None:
    for actions in (IMAGE_ACTIONS, BOX_ACTIONS):
        assert len(actions) == 3
        assert all(TAG_OF[action] == tag for tag, action in actions.items())
