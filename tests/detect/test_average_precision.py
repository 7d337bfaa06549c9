from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nirgen.collection.coco import ImageEntry
from nirgen.detect.average_precision import official, precisions
from nirgen.detect.matching import match
from nirgen.detect.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.truth import Truth

    Scene = Callable[..., tuple[Truth, list[Result]]]

NAMES = ("person", "bicycle", "car")
CAR = 3


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
    monkeypatch.setattr("nirgen.detect.average_precision._BLOCK", 1)
    np.testing.assert_array_equal(whole.average, precisions(matches, drawn).average)


def test_numbers_are_those_that_pycocotools_prints(scene: Scene, tmp_path: Path) -> None:
    truth, results = scene(40)
    numbers = official(match(truth, results)).numbers(NAMES)
    stats, of_class = _by_pycocotools(truth, results, tmp_path)
    ours = [numbers[name][0] for name in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")]
    np.testing.assert_allclose(ours, [*stats[:6], stats[8]], rtol=0, atol=1e-12)
    np.testing.assert_allclose([numbers[f"ap/{name}"][0] for name in NAMES], of_class, rtol=0, atol=1e-12)


def test_average_precision_of_one_wrong_before_one_right_is_a_half(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([("car", (100, 100, 100, 50))])
    wrong, right = Result(1, CAR, (0, 0, 20, 20), 0.9), Result(1, CAR, (100, 100, 100, 50), 0.8)
    numbers = precisions(match(truth, [wrong, right]), np.ones((1, 1), int)).numbers(NAMES)
    assert numbers["ap/car"][0] == pytest.approx(0.5)
    assert numbers["ap"][0] == pytest.approx(0.5)  # of the only class that there is
    assert np.isnan(numbers["ap/person"][0])
    assert np.isnan(numbers["ap_large"][0])


def test_a_draw_without_an_object_has_no_number(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([("car", (100, 100, 100, 50))], [])
    matches = match(truth, [Result(1, CAR, (100, 100, 100, 50), 0.8)])
    numbers = precisions(matches, np.array([[2, 0], [0, 2], [1, 1]])).numbers(NAMES)
    np.testing.assert_allclose(numbers["ap"], [1.0, np.nan, 1.0])


def _copies(truth: Truth, results: list[Result], drawn: np.ndarray) -> tuple[Truth, list[Result]]:
    """Each image as often as it was drawn, as images of their own."""
    entries, found = [], []
    for entry, times in zip(truth.entries, drawn, strict=True):
        for _ in range(times):
            number = len(entries) + 1
            copy = ImageEntry(number, "", 400, 300, f"ranus/{number:03}.png", "ranus", "real")
            boxes = tuple(replace(box, id=1000 * number + place) for place, box in enumerate(entry.boxes))
            entries.append(entry._replace(image=copy, boxes=boxes))
            found += [result._replace(image_id=number) for result in results if result.image_id == entry.image.id]
    return replace(truth, entries=tuple(entries)), found


def _by_pycocotools(truth: Truth, results: list[Result], folder: Path) -> tuple[np.ndarray, list[float]]:
    """The twelve numbers of COCOeval, and AP of each class, from files."""
    annotations = [
        {
            "id": box.id,
            "image_id": entry.image.id,
            "category_id": NAMES.index(box.category) + 1,
            "bbox": box.bbox,
            "area": box.area,
            "iscrowd": int(box.iscrowd),
        }
        for entry in truth.entries
        for box in entry.boxes
    ]
    document = {
        "images": [{"id": entry.image.id} for entry in truth.entries],
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
