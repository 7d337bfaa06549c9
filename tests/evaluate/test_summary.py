from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nirgen.errors import ConfigError
from nirgen.evaluate.cases import Case
from nirgen.evaluate.methods import Method
from nirgen.evaluate.scores import Scores
from nirgen.evaluate.summary import Settings, notes_on, summarise


def case(key: str, sequence: str = "s", category: str = "") -> Case:
    return Case(key, sequence, category, Path(f"{key}.png"), None, key, lambda: (None, np.zeros((32, 32), np.uint8)))


def scores_of(psnr: dict[str, list[float]], cases: list[Case] | None = None) -> Scores:
    floors = ("luma", "red")
    methods = [Method(name, "floor" if name in floors else "model", lambda frame: frame.nir) for name in psnr]
    count = len(next(iter(psnr.values())))
    return Scores(
        tuple(cases or [case(str(number)) for number in range(count)]),
        tuple(methods),
        ((32, 32),) * count,
        {name: {"psnr": np.array(values)} for name, values in psnr.items()},
        {},
    )


def test_the_mean_stands_inside_its_interval() -> None:
    (subset,) = summarise(scores_of({"model": [10, 20, 30, 40]}), Settings())
    (row,) = subset.rows
    estimate = row.estimates["psnr"]
    assert (subset.name, subset.images, subset.groups, row.method) == ("all", 4, 4, "model")
    assert estimate.value == 25
    assert estimate.low is not None
    assert estimate.high is not None
    assert 10 <= estimate.low < 25 < estimate.high <= 40


def test_a_model_that_adds_nothing_is_seen_to_add_nothing() -> None:
    psnr = {
        "model": [20.1, 15.2, 24.9, 19.8, 30.0, 12.1],
        "luma": [20.0, 15.0, 25.0, 20.0, 30.0, 12.0],
        "red": [9.0] * 6,
    }
    (subset,) = summarise(scores_of(psnr), Settings())
    (comparison,) = subset.comparisons
    assert (comparison.method, comparison.other, comparison.verdict) == ("model", "luma", "undecided")
    assert comparison.difference.value == pytest.approx(0.1 / 6)


def test_better_and_worse_are_told_from_paired_differences() -> None:
    floor = [20.0, 10.0, 30.0, 15.0]
    psnr = {"good": [21.0, 11.0, 31.5, 16.0], "bad": [18.0, 9.0, 29.0, 14.0], "luma": floor}
    (subset,) = summarise(scores_of(psnr), Settings())
    assert [(one.method, one.other, one.verdict) for one in subset.comparisons] == [
        ("good", "luma", "better"),
        ("bad", "luma", "worse"),
        ("bad", "good", "worse"),
    ]


def test_of_an_error_less_is_better() -> None:
    scores = scores_of({"model": [1, 2, 3, 4], "luma": [5, 6, 7, 8]})
    rmse = replace(scores, values={name: {"rmse": values["psnr"]} for name, values in scores.values.items()})
    (subset,) = summarise(rmse, Settings())
    assert subset.comparisons[0].difference.value == -4
    assert subset.comparisons[0].verdict == "better"


def test_the_best_floor_is_chosen_for_each_subset() -> None:
    cases = [case("a", category="street"), case("b", category="urban"), case("c", category="water"), case("d")]
    psnr = {"model": [20, 20, 20, 20], "luma": [10, 10, 18, 18], "red": [15, 15, 5, 5]}
    subsets = summarise(scores_of(psnr, cases), Settings(by="urban"))
    assert [(subset.name, subset.images, subset.comparisons[0].other) for subset in subsets] == [
        ("all", 4, "luma"),
        ("urban-like", 2, "red"),
        ("not urban-like", 2, "luma"),
    ]


def test_categories_have_tables_of_their_own() -> None:
    cases = [case("a", category="water"), case("b", category="field"), case("c")]
    subsets = summarise(scores_of({"model": [1, 2, 3]}, cases), Settings(by="category"))
    assert [(subset.name, subset.rows[0].estimates["psnr"].value) for subset in subsets] == [
        ("all", 2),
        ("no category", 3),
        ("field", 2),
        ("water", 1),
    ]


def test_one_image_has_numbers_and_no_interval() -> None:
    (subset,) = summarise(scores_of({"model": [20.0], "luma": [10.0]}), Settings())
    estimate = subset.rows[0].estimates["psnr"]
    assert (estimate.value, estimate.low, estimate.high) == (20, None, None)
    assert subset.comparisons[0].verdict == "undecided"
    assert notes_on(subset, Settings()) == ["no intervals: the bootstrap draws images, and there is only one"]


def test_few_sequences_are_noted() -> None:
    cases = [case("a", "1"), case("b", "1"), case("c", "2")]
    settings = Settings(bootstrap="sequences")
    (subset,) = summarise(scores_of({"model": [1, 2, 3]}, cases), settings)
    assert subset.groups == 2
    assert notes_on(subset, settings) == ["intervals of 2 sequences are rough, and rather too narrow"]


def test_fid_and_kid_are_of_all_images_together() -> None:
    random = np.random.default_rng(0)
    features = {"": random.normal(size=(4, 3)), "model": random.normal(size=(4, 3)) + 1}
    cases = [case("a", category="water"), case("b"), case("c"), case("d")]
    scores = replace(scores_of({"model": [1, 2, 3, 4]}, cases), features=features)
    whole, *rest = summarise(scores, Settings(by="category"))
    assert whole.rows[0].estimates["fid"].value > 1
    assert whole.rows[0].estimates["kid"].low is None
    assert [set(subset.rows[0].estimates) for subset in rest] == [{"psnr"}, {"psnr"}]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key 'resample'; did you mean 'resamples'"):
        Settings.read({"resample": 3}, where="here")
