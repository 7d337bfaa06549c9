from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nirgen.detect.coco_eval import Result
from nirgen.detect.config import BootstrapConfig
from nirgen.detect.data import read_split
from nirgen.detect.detector import load_detector
from nirgen.detect.evaluation import as_dict, detect, read_results, refuse_trained_on, score, write, write_results
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.data import Split


GOOD = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}


def test_results_come_back_as_written(make_split: Callable[..., Split], tmp_path: Path) -> None:
    results = [Result(1, 3, (0.1234567, 2.0, 30.0, 40.0), 0.123456789), Result(2, 1, (0.0, 0.0, 5.0, 5.0), 1.0)]
    write_results(tmp_path / "new" / "results.json", results)
    found, sha256 = read_results(tmp_path / "new" / "results.json", make_split([], []))
    assert found == [Result(1, 3, (0.123, 2.0, 30.0, 40.0), 0.12345679), Result(2, 1, (0.0, 0.0, 5.0, 5.0), 1.0)]
    assert len(sha256) == 64


def test_no_detection_at_all_is_a_list_too(make_split: Callable[..., Split], tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", [])
    assert json.loads((tmp_path / "results.json").read_text()) == []
    assert read_results(tmp_path / "results.json", make_split([]))[0] == []


def test_detections_on_images_that_are_left_out_are_left_out(make_split: Callable[..., Split], tmp_path: Path) -> None:
    truth = replace(make_split([]), left_out=frozenset([2]))
    assert _read([GOOD | {"image_id": 2}, GOOD], truth, tmp_path) == [Result(1, 3, (1.0, 2.0, 3.0, 4.0), 0.5)]


def test_other_keys_of_a_detection_are_left_aside(make_split: Callable[..., Split], tmp_path: Path) -> None:
    found = _read([GOOD | {"segmentation": [], "id": 7}], make_split([]), tmp_path)
    assert found == [Result(1, 3, (1.0, 2.0, 3.0, 4.0), 0.5)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"annotations": []}, "no list but has 'annotations', so it is a COCO file of labels"),
        ({"a": 1}, "no list but a dict"),
        ([GOOD, "x"], "detection 1 isn't one (x); it needs image_id, category_id, bbox and score"),
        ([{**GOOD, "bbox": [1, 2, 3]}], "detection 0 isn't one"),
        ([{key: GOOD[key] for key in ("image_id", "bbox", "score")}], "detection 0 isn't one"),
        ([GOOD | {"image_id": 9}], "detection 0 is on image 9, which the split 'test' doesn't have"),
        (
            [GOOD | {"category_id": 17}],
            "category 17, which the dataset doesn't have (it has 1 person, 2 bicycle, 3 car)",
        ),
        ([GOOD | {"score": float("nan")}], "detection 0 has the score nan"),
        ([GOOD | {"bbox": [0, 0, -1, 5]}], "detection 0 has the box [0.0, 0.0, -1.0, 5.0]"),
        ([GOOD | {"bbox": [0, 0, float("inf"), 5]}], "detection 0 has the box"),
        ([GOOD | {"image_id": 1.5}], "detection 0 isn't one"),
        ([GOOD | {"image_id": float("nan")}], "detection 0 isn't one"),
    ],
)
def test_what_can_not_be_judged_is_refused_in_one_line(
    make_split: Callable[..., Split], tmp_path: Path, value: Any, said: str
) -> None:
    with pytest.raises(NirgenError) as error:
        _read(value, make_split([]), tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "results.json"))


def test_a_file_that_is_no_json_or_not_there_is_refused(make_split: Callable[..., Split], tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="can't be read"):
        read_results(tmp_path / "none.json", make_split([]))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NirgenError, match="no JSON"):
        read_results(tmp_path / "binary.json", make_split([]))


def _read(value: Any, truth: Split, folder: Path) -> list[Result]:
    (folder / "results.json").write_text(json.dumps(value))
    return read_results(folder / "results.json", truth)[0]


CAR = (100, 100, 100, 50)
FEW = BootstrapConfig(resamples=200)


def test_numbers_hold_their_intervals_and_classes_that_are_not_there_none(
    scene: Callable[..., tuple[Split, list[Result]]],
) -> None:
    truth, results = scene(30)
    found = score(truth, results, FEW, {})
    for name in ("ap", "ap50", "ar100", "ap/person", "ap/car"):
        number = found.numbers[name]
        assert 0 < number.low < number.value < number.high < 1  # type: ignore[operator]
    cars_only = replace(
        truth,
        images=tuple(
            replace(image, boxes=tuple(box for box in image.boxes if box.category == "car")) for image in truth.images
        ),
    )
    without = score(cars_only, results, FEW, {})
    assert as_dict(without)["classes"]["person"] == {"objects": 0, "ap": {"value": None, "low": None, "high": None}}
    assert without.numbers["ap"] == without.numbers["ap/car"]
    assert "no person and no bicycle is on these images, so AP is over the other classes" in without.notes()


def test_the_same_seed_gives_the_same_intervals(scene: Callable[..., tuple[Split, list[Result]]]) -> None:
    truth, results = scene(12)
    first, same, other = (
        as_dict(score(truth, results, BootstrapConfig(resamples=100, seed=seed), {})) for seed in (1, 1, 2)
    )
    assert first == same
    assert first["numbers"]["ap"]["value"] == other["numbers"]["ap"]["value"]
    assert first["numbers"]["ap"] != other["numbers"]["ap"]


def test_empty_images_count_against_what_is_found_on_them(make_split: Callable[..., Split]) -> None:
    right, ghost = Result(1, 3, CAR, 0.5), Result(2, 3, CAR, 0.9)
    alone = score(make_split([("car", CAR)]), [right], FEW, {})
    beside = score(make_split([("car", CAR)], []), [right, ghost], FEW, {})
    assert alone.numbers["ap"].value == pytest.approx(1.0)
    assert beside.numbers["ap"].value == pytest.approx(0.5)
    assert as_dict(beside)["images"] == {"count": 2, "generated": 0, "unlabelled": 0, "empty": 1}


def test_regions_to_ignore_are_neither_found_nor_missed(make_split: Callable[..., Split]) -> None:
    truth = make_split([("car", CAR), ("car", (250, 100, 100, 100), True)])
    inside = Result(1, 3, (260, 110, 40, 40), 0.9)
    found = score(truth, [inside, Result(1, 3, CAR, 0.5)], FEW, {})
    assert found.numbers["ap"].value == pytest.approx(1.0)
    assert found.objects["car"] == 1
    assert as_dict(found)["ignored_regions"] == 1


def test_an_image_alone_has_numbers_and_a_note_instead_of_intervals(make_split: Callable[..., Split]) -> None:
    found = score(make_split([("car", CAR)]), [], FEW, {})
    assert found.numbers["ap"].as_dict() == {"value": 0.0, "low": None, "high": None}
    assert "no intervals: there is one of the images that the bootstrap draws" in found.notes()


def test_images_that_nobody_has_labelled_and_generated_ones_are_noted(make_split: Callable[..., Split]) -> None:
    truth = replace(make_split([("car", CAR)], []), unlabelled=1)
    truth = replace(truth, images=(replace(truth.images[0], generated=True), truth.images[1]))
    notes = score(truth, [], FEW, {}).notes()
    assert notes[0].startswith("1 of 2 images are generated; ")
    assert notes[1].startswith("1 images of the split are left out, for nobody has labelled them")


def test_a_detector_is_not_judged_on_what_it_was_trained_on(make_split: Callable[..., Split]) -> None:
    truth = make_split([])
    trained = {"dataset": {"sha256": truth.sha256, "split": "test"}}
    with pytest.raises(NirgenError, match="RUN: was trained on the split 'test' of this dataset; judge it on another"):
        refuse_trained_on(truth, trained, "RUN")
    refuse_trained_on(truth, {"dataset": {"sha256": truth.sha256, "split": "train"}}, "RUN")
    refuse_trained_on(truth, None, "RUN")


def test_what_is_written_gives_pycocotools_the_same_numbers(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    truth = read_split(made_dataset(tmp_path / "D", real=1, generated=0, test=5), "test")
    detector = load_detector("fresh-tiny", categories=truth.names, device="cpu", size=64)
    results = detect(detector, truth)
    assert len(results) > 50 * 5
    # a network that knows nothing finds nothing: some of its boxes are put on what is there
    boxes = [(image.id, box) for image in truth.images for box in image.boxes]
    ids = {category.name: category.id for category in truth.categories}
    for place, (image_id, box) in enumerate(boxes):
        x, y, width, height = box.bbox
        results[50 * place] = Result(image_id, ids[box.category], (x + 0.5, y, width, height), 0.9 - 0.1 * place)
    write(score(truth, results, FEW, {"model": "fresh-tiny"}), tmp_path / "out")

    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "D" / "annotations" / "test.json"))
        judge = COCOeval(coco, coco.loadRes(str(tmp_path / "out" / "detections.json")), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    ours = [metrics["numbers"][name]["value"] for name in ("ap", "ap50", "ap75", "ap_small", "ar100")]
    assert ours == pytest.approx([*judge.stats[:4], judge.stats[8]], abs=1e-12)
    assert ours[0] > 0.3
    assert metrics["numbers"]["ap_large"]["value"] is None  # pycocotools says -1
    assert metrics["dataset_sha256"] == truth.sha256


def test_boxes_are_in_pixels_of_the_image_and_inside_of_it(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    truth = read_split(made_dataset(tmp_path / "D", real=1, generated=0, test=2), "test")
    told: list[tuple[int, int]] = []
    detector = load_detector("fresh-tiny", categories=truth.names, device="cpu", size=64)
    results = detect(detector, truth, lambda done, total: told.append((done, total)))
    assert told == [(2, 2)]
    assert {result.image_id for result in results} == set(truth.ids)
    for result in results:
        x, y, width, height = result.bbox
        assert min(x, y, width, height) >= 0
        assert x + width <= 30.001
        assert y + height <= 20.001
