from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.detect.matching import AREAS, THRESHOLDS, match, numbers_only
from nirgen.detect.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.truth import Truth

CAR = 3
ALL = AREAS.index("all")


def test_a_box_on_an_object_is_found_as_far_as_they_overlap(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([("car", (100, 100, 100, 50))])
    part = match(truth, [Result(1, CAR, (120, 100, 80, 50), 0.9)]).parts[CAR - 1][ALL]  # 80 of 100 columns
    assert part.found[:, 0].tolist() == [threshold <= 0.8 for threshold in THRESHOLDS]
    assert part.counted.all()
    assert part.objects.tolist() == [1]


def test_detections_in_a_region_to_ignore_do_not_count(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([("car", (100, 100, 100, 50)), ("car", (250, 100, 100, 100), True)])
    inside, outside = Result(1, CAR, (260, 110, 40, 40), 0.9), Result(1, CAR, (10, 10, 40, 40), 0.8)
    part = match(truth, [inside, outside]).parts[CAR - 1][ALL]
    assert part.counted[0].tolist() == [False, True]
    assert not part.found.any()
    assert part.objects.tolist() == [1]


def test_images_and_objects_may_have_any_ids(make_truth: Callable[..., Truth]) -> None:
    box = (100, 100, 100, 50)
    truth = make_truth([("car", box)], [], [])
    first, *others = truth.entries
    first.image.id = 7  # the first by its key, and the last by its id
    truth = replace(truth, entries=(first._replace(boxes=(replace(first.boxes[0], id=0),)), *others))
    matches = match(truth, [Result(7, CAR, box, 0.9), Result(2, CAR, box, 0.8)])
    part = matches.parts[CAR - 1][ALL]
    assert (part.image.tolist(), part.found[0].tolist(), part.objects.tolist()) == ([0, 1], [True, False], [1, 0, 0])
    assert matches.recall[0, CAR - 1, ALL] == 1


def test_a_second_box_on_an_object_is_wrong(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([("car", (100, 100, 100, 50))])
    part = match(truth, [Result(1, CAR, (100, 100, 100, 50), score) for score in (0.4, 0.9)]).parts[CAR - 1][ALL]
    assert part.found[0].tolist() == [True, False]


def test_a_hundred_detections_of_an_image_and_class_are_judged(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([("car", (100, 100, 100, 50))])
    wrong = [Result(1, CAR, (float(number), 0, 20, 20), 0.9) for number in range(100)]
    part = match(truth, [*wrong, Result(1, CAR, (100, 100, 100, 50), 0.1)]).parts[CAR - 1][ALL]
    assert part.counted.shape == (10, 100)
    assert not part.found.any()


def test_no_detection_at_all_finds_nothing(make_truth: Callable[..., Truth]) -> None:
    matches = match(make_truth([("car", (100, 100, 100, 50))], []), [])
    assert matches.parts[CAR - 1][ALL].objects.tolist() == [1, 0]
    assert matches.precision[:, :, CAR - 1, ALL].max() == 0
    assert matches.precision[:, :, 0, ALL].max() == -1  # there is no person


def test_detections_on_images_that_are_not_judged_are_left_aside(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([("car", (100, 100, 100, 50))])
    part = match(truth, [Result(7, CAR, (100, 100, 100, 50), 0.9)]).parts[CAR - 1][ALL]
    assert part.found.shape == (10, 0)


def test_faster_coco_eval_gives_the_same_numbers(scene: Callable[..., tuple[Truth, list[Result]]]) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval isn't installed")
    truth, results = scene(40)
    slow, fast = match(truth, results), numbers_only(truth, results)
    assert slow.library.startswith("pycocotools ")
    assert fast.library.startswith("faster-coco-eval ")
    assert (slow.precision > 0).any()
    np.testing.assert_allclose(fast.precision, slow.precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fast.recall, slow.recall, rtol=0, atol=1e-12)


def test_nothing_is_printed(
    scene: Callable[..., tuple[Truth, list[Result]]], capfd: pytest.CaptureFixture[str]
) -> None:
    truth, results = scene(3)
    match(truth, results)
    numbers_only(truth, results)
    assert capfd.readouterr() == ("", "")
