"""Matches at one score and overlap, against examples small enough to count by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.detect.coco_eval import Result, match
from nirgen.detect.matching import Detection, confusion, covered, iou, match_image, match_images, operating_score
from nirgen.detect.pictures import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.data import Split

BOX, ASIDE, FAR = (100, 100, 100, 50), (110, 100, 100, 50), (300, 200, 20, 20)


def test_overlaps_are_shares_of_the_union_and_of_the_first_box() -> None:
    assert iou([BOX], [BOX, ASIDE, FAR]).tolist() == [[1, pytest.approx(90 / 110), 0]]
    assert covered([FAR, BOX], [(0, 0, 310, 300)]).tolist() == [[0.5], [1]]


def test_a_detection_of_the_class_goes_before_one_of_another_with_a_higher_score(
    make_split: Callable[..., Split],
) -> None:
    image = make_split([("car", BOX)]).images[0]
    found = match_image(image, [Detection("person", BOX, 0.9), Detection("car", ASIDE, 0.3)])
    assert [(pair.detection.category, pair.right) for pair in found.pairs] == [("car", True)]
    assert [each.category for each in found.false] == ["person"]
    assert found.quality == pytest.approx(90 / 110 / 1.5)
    assert found.describe() == "1 of 1 found, 1 false"


def test_an_object_found_as_another_class_is_confused(make_split: Callable[..., Split]) -> None:
    image = make_split([("car", BOX), ("person", FAR)]).images[0]
    found = match_image(image, [Detection("bicycle", BOX, 0.9)])
    assert [pair.right for pair in found.pairs] == [False]
    assert [box.category for box in found.missed] == ["person"]
    assert (found.errors, found.quality, found.describe()) == (2, 0, "0 of 2 found, 1 confused")


def test_detections_in_a_region_to_ignore_are_neither_false_nor_found(make_split: Callable[..., Split]) -> None:
    image = make_split([("car", (0, 0, 200, 200), True)]).images[0]
    found = match_image(image, [Detection("person", BOX, 0.9), Detection("car", FAR, 0.8)])
    assert [each.bbox for each in found.false] == [FAR]
    assert found.missed == ()


def test_the_confusion_matrix_counts_each_object_and_each_false_detection_once(
    make_split: Callable[..., Split],
) -> None:
    split = make_split([("car", BOX), ("person", FAR)], [("car", BOX)], [("bicycle", FAR)])
    results = [Result(1, 3, BOX, 0.9), Result(2, 1, BOX, 0.8), Result(3, 3, BOX, 0.7), Result(3, 2, FAR, 0.1)]
    assert confusion(match_images(split, results, 0.5), split.names).tolist() == [
        [0, 0, 0, 1],
        [0, 0, 0, 1],
        [1, 0, 1, 0],
        [0, 0, 1, 0],
    ]


def test_the_score_is_that_of_the_highest_f1(make_split: Callable[..., Split]) -> None:
    split = make_split(*[[("car", BOX)]] * 3)
    results = [Result(1, 3, BOX, 0.9), Result(2, 3, BOX, 0.6), Result(3, 3, FAR, 0.6), Result(3, 3, BOX, 0.4)]
    # F1 is 2 of 4 at 0.9, 4 of 6 at 0.6 (two right, one wrong), 6 of 7 at 0.4
    assert operating_score(match(split, results)) == 0.4
    wrong = [Result(1, 3, FAR, 0.2)] * 9
    assert operating_score(match(split, [*results[:2], *wrong])) == 0.6
    assert operating_score(match(split, wrong)) == 0.5


def test_best_typical_and_worst_images_are_chosen_once_each_by_quality(make_split: Callable[..., Split]) -> None:
    split = make_split(*[[("car", BOX)]] * 7, [])
    found = {1: BOX, 2: BOX, 3: ASIDE, 4: ASIDE, 5: ASIDE}
    chosen = choose(match_images(split, [Result(image, 3, box, 0.9) for image, box in found.items()], 0.5))
    assert [(title, [each.image.key[-7:] for each in on]) for title, on in chosen] == [
        ("Best", ["001.png", "002.png"]),
        ("Typical", ["003.png", "004.png"]),
        ("Worst", ["006.png", "007.png"]),
    ]
    alike = choose(match_images(split, [], 0.5))
    assert [(title, len(on)) for title, on in alike] == [("All alike", 4)]
    assert choose(match_images(make_split([]), [], 0.5)) == []
