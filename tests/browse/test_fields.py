"""Names of fields."""

from __future__ import annotations

import pytest

from nirgen.browse.fields import (
    BOX_ACTIONS,
    IMAGE_ACTIONS,
    TAG_OF,
    LoadedBox,
    count_names,
    decode_loaded,
    encode_loaded,
    field_names,
    same_place,
    to_pixels,
    to_shares,
)


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


@pytest.mark.parametrize("bbox", [(1.333, 2.667, 10.001, 5.999), (0, 0, 1279.999, 719.999), (639.9995, 1, 0.001, 3)])
def test_a_box_comes_back_from_shares_as_it_was(bbox: tuple[float, float, float, float]) -> None:
    assert to_pixels(to_shares(bbox, 1280, 720), 1280, 720) == pytest.approx(bbox, abs=1e-5)


def test_a_box_that_reaches_out_of_its_image_is_cut() -> None:
    assert to_pixels((0.9, -0.1, 0.2, 0.3), 100, 100) == (90, 0, 10, 20)


def test_a_hundredth_of_a_pixel_is_another_place() -> None:
    place = (0.1, 0.1, 0.2, 0.2)
    assert same_place(place, (0.1 + 0.009 / 1280, 0.1, 0.2, 0.2), (1280, 720))
    assert not same_place(place, (0.1, 0.1, 0.2, 0.2 + 0.011 / 720), (1280, 720))


def test_what_was_loaded_is_remembered() -> None:
    text = encode_loaded([{"key": "a#1", "label": "Fußgänger", "bounding_box": [1 / 3, 0, 0.5, 1]}])
    assert text == '[["a#1","Fußgänger",0.3333333,0,0.5,1]]'
    assert decode_loaded(text) == {"a#1": LoadedBox("Fußgänger", (0.3333333, 0, 0.5, 1))}


@pytest.mark.parametrize("text", [None, 3, "", "{", "[1]", '[["a"]]'])
def test_what_was_damaged_is_not_believed(text: object) -> None:
    assert decode_loaded(text) is None
