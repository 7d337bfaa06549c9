from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nirgen.detect.coco_eval import AREAS, THRESHOLDS, Result, match, official, precisions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.data import Split

    Scene = Callable[..., tuple[Split, list[Result]]]


CAR = 3
ALL = AREAS.index("all")


def test_a_box_on_an_object_is_found_as_far_as_they_overlap(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", (100, 100, 100, 50))])
    part = match(truth, [Result(1, CAR, (120, 100, 80, 50), 0.9)]).parts[CAR - 1][ALL]  # 80 of 100 columns
    assert part.found[:, 0].tolist() == [threshold <= 0.8 for threshold in THRESHOLDS]
    assert part.counted.all()
    assert part.objects.tolist() == [1]


def test_detections_in_a_region_to_ignore_do_not_count(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", (100, 100, 100, 50)), ("car", (250, 100, 100, 100), True)])
    inside, outside = Result(1, CAR, (260, 110, 40, 40), 0.9), Result(1, CAR, (10, 10, 40, 40), 0.8)
    part = match(truth, [inside, outside]).parts[CAR - 1][ALL]
    assert part.counted[0].tolist() == [False, True]
    assert not part.found.any()
    assert part.objects.tolist() == [1]


def test_images_and_objects_may_have_any_ids(make_split: Callable[..., Split]) -> None:
    box = (100, 100, 100, 50)
    truth = make_split([("car", box)], [], [])
    first, *others = truth.images
    first = replace(first, id=7, boxes=(replace(first.boxes[0], id=0),))  # the first by its key, the last by its id
    truth = replace(truth, images=(first, *others))
    matches = match(truth, [Result(7, CAR, box, 0.9), Result(2, CAR, box, 0.8)])
    part = matches.parts[CAR - 1][ALL]
    assert (part.image.tolist(), part.found[0].tolist(), part.objects.tolist()) == ([0, 1], [True, False], [1, 0, 0])
    assert matches.recall[0, CAR - 1, ALL] == 1


def test_a_second_box_on_an_object_is_wrong(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", (100, 100, 100, 50))])
    part = match(truth, [Result(1, CAR, (100, 100, 100, 50), score) for score in (0.4, 0.9)]).parts[CAR - 1][ALL]
    assert part.found[0].tolist() == [True, False]


def test_a_hundred_detections_of_an_image_and_class_are_judged(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", (100, 100, 100, 50))])
    wrong = [Result(1, CAR, (float(number), 0, 20, 20), 0.9) for number in range(100)]
    part = match(truth, [*wrong, Result(1, CAR, (100, 100, 100, 50), 0.1)]).parts[CAR - 1][ALL]
    assert part.counted.shape == (10, 100)
    assert not part.found.any()


def test_no_detection_at_all_finds_nothing(make_split: Callable[..., Split]) -> None:
    matches = match(make_split([("car", (100, 100, 100, 50))], []), [])
    assert matches.parts[CAR - 1][ALL].objects.tolist() == [1, 0]
    assert matches.precision[:, :, CAR - 1, ALL].max() == 0
    assert matches.precision[:, :, 0, ALL].max() == -1  # there is no person


def test_detections_on_images_that_are_not_judged_are_left_aside(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", (100, 100, 100, 50))])
    part = match(truth, [Result(7, CAR, (100, 100, 100, 50), 0.9)]).parts[CAR - 1][ALL]
    assert part.found.shape == (10, 0)


def test_nothing_is_printed(
    scene: Callable[..., tuple[Split, list[Result]]], capfd: pytest.CaptureFixture[str]
) -> None:
    truth, results = scene(3)
    match(truth, results)
    assert capfd.readouterr() == ("", "")


NAMES = ("person", "bicycle", "car")


def test_images_that_count_once_give_cocoevals_numbers(scene: Scene) -> None:
    truth, results = scene(60)
    matches = match(truth, results)
    ours, its = precisions(matches, np.ones((1, 60), int)), official(matches)
    assert len(np.unique(its.average)) > 50
    np.testing.assert_allclose(ours.average, its.average, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.recall, its.recall, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_images_that_were_drawn_often_count_like_copies(scene: Scene, seed: int) -> None:
    truth, results = scene(25, seed)
    drawn = np.random.default_rng(seed).multinomial(25, np.full(25, 1 / 25))
    assert drawn.max() > 2
    copied, found = _copies(truth, results, drawn)
    expected = official(match(copied, found))
    weighted = precisions(match(truth, results), drawn[np.newaxis])
    np.testing.assert_allclose(weighted.average, expected.average, rtol=0, atol=1e-12)
    np.testing.assert_allclose(weighted.recall, expected.recall, rtol=0, atol=1e-12)


def test_draws_do_not_depend_on_how_many_are_worked_on_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, results = scene(20)
    matches = match(truth, results)
    drawn = np.random.default_rng(0).multinomial(20, np.full(20, 1 / 20), size=50)
    whole = precisions(matches, drawn)
    monkeypatch.setattr("nirgen.detect.coco_eval._BLOCK", 1)
    np.testing.assert_array_equal(whole.average, precisions(matches, drawn).average)


def test_numbers_are_those_that_pycocotools_prints(scene: Scene, tmp_path: Path) -> None:
    truth, results = scene(40)
    numbers = official(match(truth, results)).numbers(NAMES)
    stats, of_class = _by_pycocotools(truth, results, tmp_path)
    ours = [numbers[name][0] for name in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")]
    np.testing.assert_allclose(ours, [*stats[:6], stats[8]], rtol=0, atol=1e-12)
    np.testing.assert_allclose([numbers[f"ap/{name}"][0] for name in NAMES], of_class, rtol=0, atol=1e-12)


def test_the_hard_case_has_the_numbers_of_pycocotools(make_split: Callable[..., Split], tmp_path: Path) -> None:
    """Crowds, sides on the limits of sizes, areas of masks, 130 detections of an image, tied scores, no bicycle."""
    random = np.random.default_rng(7)
    on_images: list[list[tuple[Any, ...]]] = [
        [
            *(
                (name, (20 + 60 * place, 30 + 9 * image, side, side))
                for place, side in enumerate((31, 32, 33, 95, 96, 97))
            ),
            (name, (150, 100, 200, 150), True),
            *([(name, (160, 110, 60, 60))] * 2),
        ]
        for image, name in enumerate(("person", "car", "person", "car", "person"))
    ]
    truth = make_split(*on_images, [])
    first = truth.images[0]
    masks = tuple(replace(box, area=box.area * 0.6) for box in first.boxes)
    truth = replace(truth, images=(replace(first, boxes=masks), *truth.images[1:]))
    results = []
    for image in truth.images:
        for category in range(1, 4):  # the bicycles among them too
            for number in range(130):
                near = image.boxes[number % len(image.boxes)].bbox if image.boxes and number % 3 else (0, 0, 50, 40)
                x, y, width, height = (float(value + random.integers(-6, 7)) for value in near)
                results.append(Result(image.id, category, (x, y, width, height), float(random.integers(1, 6)) / 5))
    matches = match(truth, results)
    stats, of_class = _by_pycocotools(truth, results, tmp_path)
    assert 0.05 < stats[0] < 0.9
    for found in (official(matches), precisions(matches, np.ones((1, len(truth.images)), int))):
        numbers = found.numbers(NAMES)
        ours = [numbers[name][0] for name in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")]
        np.testing.assert_allclose(ours, [*stats[:6], stats[8]], rtol=0, atol=1e-12)
        classes = [numbers[f"ap/{name}"][0] for name in NAMES]
        np.testing.assert_allclose(classes, [of_class[0], np.nan, of_class[2]], rtol=0, atol=1e-12)
    assert of_class[1] == -1  # pycocotools' sign for a class without truth


def test_average_precision_of_one_wrong_before_one_right_is_a_half(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", (100, 100, 100, 50))])
    wrong, right = Result(1, CAR, (0, 0, 20, 20), 0.9), Result(1, CAR, (100, 100, 100, 50), 0.8)
    numbers = precisions(match(truth, [wrong, right]), np.ones((1, 1), int)).numbers(NAMES)
    assert numbers["ap/car"][0] == pytest.approx(0.5)
    assert numbers["ap"][0] == pytest.approx(0.5)  # of the only class that there is
    assert np.isnan(numbers["ap/person"][0])
    assert np.isnan(numbers["ap_large"][0])


def test_a_draw_without_an_object_has_no_number(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", (100, 100, 100, 50))], [])
    matches = match(truth, [Result(1, CAR, (100, 100, 100, 50), 0.8)])
    numbers = precisions(matches, np.array([[2, 0], [0, 2], [1, 1]])).numbers(NAMES)
    np.testing.assert_allclose(numbers["ap"], [1.0, np.nan, 1.0])


def _copies(truth: Split, results: list[Result], drawn: np.ndarray) -> tuple[Split, list[Result]]:
    """Each image as often as it was drawn, as images of their own."""
    images, found = [], []
    for image, times in zip(truth.images, drawn, strict=True):
        for _ in range(times):
            number = len(images) + 1
            boxes = tuple(replace(box, id=1000 * number + place) for place, box in enumerate(image.boxes))
            images.append(replace(image, id=number, key=f"ranus/{number:03}.png", boxes=boxes))
            found += [result._replace(image_id=number) for result in results if result.image_id == image.id]
    return replace(truth, images=tuple(images)), found


def _by_pycocotools(truth: Split, results: list[Result], folder: Path) -> tuple[np.ndarray, list[float]]:
    """The twelve numbers of COCOeval, and AP of each class, from files."""
    annotations = [
        {
            "id": box.id,
            "image_id": image.id,
            "category_id": NAMES.index(box.category) + 1,
            "bbox": box.bbox,
            "area": box.area,
            "iscrowd": int(box.ignored),
        }
        for image in truth.images
        for box in image.boxes
    ]
    document = {
        "images": [{"id": image.id} for image in truth.images],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(NAMES, start=1)],
    }
    (folder / "truth.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps([result._asdict() for result in results]))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        judge = COCOeval(coco, coco.loadRes(str(folder / "results.json")), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats, [float(judge.eval["precision"][:, :, k, 0, 2].mean()) for k in range(3)]
