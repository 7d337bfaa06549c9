"""Which labels of a detector are which of our categories."""

from __future__ import annotations

import pytest

from nirgen.detect.names import find_sources, refuse_unknown
from nirgen.errors import ConfigError

COCO = ("person", "bicycle", "car", "motorbike", "aeroplane", "bus", "train", "truck", "traffic light")
OURS = ("person", "bicycle", "car")


def test_two_wheelers_are_bicycles_and_motor_vehicles_cars_and_trains_nothing() -> None:
    assert find_sources(COCO, OURS) == ((0,), (1, 3), (2, 5, 7))


def test_the_label_of_a_categorys_own_name_comes_first_wherever_it_stands() -> None:
    assert find_sources(("truck", "Car"), ("car",)) == ((1, 0),)


def test_a_category_keeps_its_own_label_although_a_policy_takes_it_for_another() -> None:
    assert find_sources(COCO, ("car", "truck", "bus")) == ((2,), (7,), (5,))


def test_categories_of_bdd100k_find_their_labels_too() -> None:
    assert find_sources(COCO, ("pedestrian", "rider", "traffic_light")) == ((0,), (), (8,))


def test_categories_that_no_label_is_are_named_with_the_labels_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_unknown("M", COCO, ("car", "tree", "cone"), ((2,), (), ()))
    assert str(caught.value) == (
        "M: knows no 'tree' and no 'cone' (its labels: person, bicycle, car, motorbike, aeroplane, bus, train, truck, "
        "...); train it on them with 'nirgen detect train', or choose other classes with 'nirgen labels --policy'"
    )
    refuse_unknown("M", COCO, ("car",), ((2,),))
