from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.detect.results import Result, read_results, write_results
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.truth import Truth

GOOD = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}


def test_results_come_back_as_written(make_truth: Callable[..., Truth], tmp_path: Path) -> None:
    results = [Result(1, 3, (0.1234567, 2.0, 30.0, 40.0), 0.123456789), Result(2, 1, (0.0, 0.0, 5.0, 5.0), 1.0)]
    write_results(tmp_path / "new" / "results.json", results)
    found, sha256 = read_results(tmp_path / "new" / "results.json", make_truth([], []))
    assert found == [Result(1, 3, (0.123, 2.0, 30.0, 40.0), 0.12345679), Result(2, 1, (0.0, 0.0, 5.0, 5.0), 1.0)]
    assert len(sha256) == 64


def test_no_detection_at_all_is_a_list_too(make_truth: Callable[..., Truth], tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", [])
    assert json.loads((tmp_path / "results.json").read_text()) == []
    assert read_results(tmp_path / "results.json", make_truth([]))[0] == []


def test_detections_on_images_that_are_left_out_are_left_out(make_truth: Callable[..., Truth], tmp_path: Path) -> None:
    truth = replace(make_truth([]), left_out=frozenset([2]))
    assert _read([GOOD | {"image_id": 2}, GOOD], truth, tmp_path) == [Result(1, 3, (1.0, 2.0, 3.0, 4.0), 0.5)]


def test_other_keys_of_a_detection_are_left_aside(make_truth: Callable[..., Truth], tmp_path: Path) -> None:
    found = _read([GOOD | {"segmentation": [], "id": 7}], make_truth([]), tmp_path)
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
    make_truth: Callable[..., Truth], tmp_path: Path, value: Any, said: str
) -> None:
    with pytest.raises(NirgenError) as error:
        _read(value, make_truth([]), tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "results.json"))


def test_a_file_that_is_no_json_or_not_there_is_refused(make_truth: Callable[..., Truth], tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="can't be read"):
        read_results(tmp_path / "none.json", make_truth([]))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NirgenError, match="no JSON"):
        read_results(tmp_path / "binary.json", make_truth([]))


def _read(value: Any, truth: Truth, folder: Path) -> list[Result]:
    (folder / "results.json").write_text(json.dumps(value))
    return read_results(folder / "results.json", truth)[0]
