from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import ConfigError, ImageError, NirgenError
from nirgen.evaluate import as_metrics, evaluate, methods
from nirgen.evaluate.measures import MEASURES, OF_SETS, PIXEL_MEASURES
from nirgen.evaluate.methods import Case, Method, from_folders
from nirgen.evaluate.summary import Scores, Settings, notes_on, score, summarise
from nirgen.evaluate.verdicts import sentences
from nirgen.metrics import PSNR_CEILING
from nirgen.pairs import PairList

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.evaluate.summary import Subset


def test_each_method_has_each_measure_of_each_image(folders) -> None:
    pred, gt, rgb = folders
    cases = from_folders(gt, rgb)
    judged = [methods.from_folder(pred, cases, None, "pred")[0], methods.red()]
    seen: list[tuple[int, int]] = []
    scores = score(cases, judged, size=None, progress=lambda done, total: seen.append((done, total)))
    assert scores.measures == PIXEL_MEASURES
    assert scores.measures == (
        "psnr",
        "ssim",
        "psnr_affine",
        "ssim_affine",
        "ssim_uniform7",
        "rmse",
        "std",
        "bias",
        "rmse_uint8_wrapped",
    )
    assert scores.sizes == ((40, 48),) * 4
    assert scores.values["pred"]["bias"].tolist() == [10] * 4
    assert scores.values["red"]["rmse"].tolist() == [0] * 4
    assert scores.features == {}
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_squashed_images_are_compared_at_one_size(folders) -> None:
    _, gt, rgb = folders
    scores = score(from_folders(gt, rgb), [methods.red()], size=64)
    assert scores.sizes == ((64, 64),) * 4
    # Pillow squashes three channels and one alike.
    assert scores.values["red"]["rmse"].tolist() == [0] * 4


def test_one_pair_is_enough(folders) -> None:
    _, gt, rgb = folders
    scores = score(from_folders(gt, rgb)[:1], [methods.red()], size=None)
    assert scores.values["red"]["psnr"].tolist() == [np.inf]


def test_no_image_is_left_out_in_silence(folders) -> None:
    _, gt, rgb = folders
    Image.new("RGB", (48, 40), "red").save(gt / "dusk/d.tif")
    with pytest.raises(ImageError, match=r"dusk/d\.tif: in colour"):
        score(from_folders(gt, rgb), [methods.red()], size=None)


def test_every_measure_has_a_formula_or_needs_a_network() -> None:
    assert set(MEASURES) - set(PIXEL_MEASURES) == {"lpips", "dists", "features_distance", *OF_SETS}
    assert [name for name, measure in MEASURES.items() if measure.name != name] == []


def case(key: str, sequence: str = "s", category: str = "") -> Case:
    return Case(key, sequence, category, Path(f"{key}.png"), None, key, lambda: (None, np.zeros((32, 32), np.uint8)))


def scores_of(psnr: dict[str, list[float]], cases: list[Case] | None = None) -> Scores:
    floors = ("grey", "red")
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
        "grey": [20.0, 15.0, 25.0, 20.0, 30.0, 12.0],
        "red": [9.0] * 6,
    }
    (subset,) = summarise(scores_of(psnr), Settings())
    (comparison,) = subset.comparisons
    assert (comparison.method, comparison.other, comparison.verdict) == ("model", "grey", "undecided")
    assert comparison.difference.value == pytest.approx(0.1 / 6)


def test_better_and_worse_are_told_from_paired_differences() -> None:
    floor = [20.0, 10.0, 30.0, 15.0]
    psnr = {"good": [21.0, 11.0, 31.5, 16.0], "bad": [18.0, 9.0, 29.0, 14.0], "grey": floor}
    (subset,) = summarise(scores_of(psnr), Settings())
    assert [(one.method, one.other, one.verdict) for one in subset.comparisons] == [
        ("good", "grey", "better"),
        ("bad", "grey", "worse"),
        ("bad", "good", "worse"),
    ]


def affine_scores(psnr: dict[str, list[float]], cases: list[Case] | None = None) -> Scores:
    scores = scores_of(psnr, cases)
    return replace(scores, values={name: {"psnr_affine": values["psnr"]} for name, values in scores.values.items()})


def test_a_verdict_is_against_grey_even_where_another_baseline_is_better() -> None:
    psnr = {
        "good": [21.0, 11.0, 31.5, 16.0],
        "bad": [18.0, 9.0, 29.0, 14.0],
        "same": [20.5, 9.5, 30.5, 14.5],
        "grey": [20.0, 10.0, 30.0, 15.0],
        "red": [40.0, 40.0, 40.0, 40.0],
    }
    (subset,) = summarise(affine_scores(psnr), Settings())
    assert [(one.method, one.other, one.verdict) for one in subset.verdicts] == [
        ("good", "grey", "better"),
        ("bad", "grey", "worse"),
        ("same", "grey", "undecided"),
    ]
    first, _, *others = sentences(subset)
    assert first == "good is the best of 3 on these images (PSNR affine 19.88 dB): better than bad, same"
    assert others == [
        "bad is worse than grey on these images (PSNR affine -1.25 dB [-1.75, -1.00])",
        "same is undecided against grey on these images (PSNR affine +0.00 dB [-0.50, +0.50])",
    ]


def test_a_verdict_draws_whole_sequences() -> None:
    cases = [case("a", "1"), case("b", "1"), case("c", "1"), case("d", "2")]
    psnr = {"model": [21.0, 21.0, 21.0, 19.9], "grey": [20.0] * 4}
    settings = Settings(bootstrap="sequences")
    (subset,) = summarise(affine_scores(psnr, cases), settings)
    difference = subset.verdicts[0].difference
    assert (difference.low, difference.high) == (pytest.approx(-0.1), pytest.approx(1))
    assert subset.verdicts[0].verdict == "undecided"


def test_one_image_gets_a_verdict_without_an_interval_and_no_photo_gets_none() -> None:
    (subset,) = summarise(affine_scores({"model": [21.0], "grey": [20.0]}), Settings())
    assert sentences(subset)[0].startswith(
        "model is undecided against grey on these images (PSNR affine +1.00 dB, no interval)"
    )
    (subset,) = summarise(affine_scores({"model": [21.0, 22.0]}), Settings())
    assert sentences(subset) == ["no verdict: the baseline grey needs the photos; name their folder with --rgb"]


def test_a_subset_has_a_verdict_of_its_own() -> None:
    cases = [case("a", category="street"), case("b", category="street"), case("c"), case("d")]
    psnr = {"model": [25.0, 25.0, 10.0, 10.0], "grey": [20.0] * 4}
    _, urban, other = summarise(affine_scores(psnr, cases), Settings(by="urban"))
    assert sentences(urban)[0].startswith("model is better than grey on the images 'urban-like' (PSNR affine +5.00 dB")
    assert sentences(other)[0].startswith(
        "model is worse than grey on the images 'not urban-like' (PSNR affine -10.00 dB"
    )


def test_equal_images_count_100_db_in_a_mean_and_in_a_difference() -> None:
    (subset,) = summarise(scores_of({"model": [20.0, np.inf], "grey": [20.0, 30.0]}), Settings())
    assert subset.rows[0].estimates["psnr"].value == 60
    assert subset.comparisons[0].difference.value == 35


def test_of_an_error_less_is_better() -> None:
    scores = scores_of({"model": [1, 2, 3, 4], "grey": [5, 6, 7, 8]})
    rmse = replace(scores, values={name: {"rmse": values["psnr"]} for name, values in scores.values.items()})
    (subset,) = summarise(rmse, Settings())
    assert subset.comparisons[0].difference.value == -4
    assert subset.comparisons[0].verdict == "better"


def test_the_best_floor_is_chosen_for_each_subset() -> None:
    cases = [case("a", category="street"), case("b", category="urban"), case("c", category="water"), case("d")]
    psnr = {"model": [20, 20, 20, 20], "grey": [10, 10, 18, 18], "red": [15, 15, 5, 5]}
    subsets = summarise(scores_of(psnr, cases), Settings(by="urban"))
    assert [(subset.name, subset.images, subset.comparisons[0].other) for subset in subsets] == [
        ("all", 4, "grey"),
        ("urban-like", 2, "red"),
        ("not urban-like", 2, "grey"),
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
    (subset,) = summarise(scores_of({"model": [20.0], "grey": [10.0]}), Settings())
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


class Red:
    """Takes red for NIR, which is right for the pairs of these tests."""

    header: ClassVar = {}

    def __init__(self, *trained_on: str) -> None:
        self.training_pairs = [{"nir_sha256": sha256} for sha256 in trained_on]

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert (rgb.shape, rgb.dtype) == ((32, 32, 3), np.uint8)
        return rgb[..., 0]


def by_method(subsets: tuple[Subset, ...], measure: str = "psnr", number: int = 0) -> dict[str, float | None]:
    return {row.method: row.estimates[measure].value for row in subsets[number].rows}


def test_a_perfect_model_is_above_the_floors(pairs: PairList) -> None:
    subsets = evaluate(Red(), pairs, size=32)
    psnr = by_method(subsets)
    assert list(psnr) == ["model", "grey", "red", "linear"]
    assert psnr["model"] == psnr["red"] == psnr["linear"] == PSNR_CEILING  # the map found is R
    assert psnr["grey"] < 25
    assert by_method(subsets, "ssim")["model"] == pytest.approx(1)
    assert by_method(subsets, "ssim")["grey"] < 0.9
    assert (subsets[0].name, subsets[0].images) == ("all", 2)


def test_the_grey_floor_is_pillows(pairs: PairList) -> None:
    errors = []
    for name in ("e", "f"):
        with Image.open(pairs.root / f"val/rgb/{name}.png") as image:
            rgb = image.resize((32, 32), Image.Resampling.BILINEAR)
        difference = np.asarray(rgb.convert("L"), np.float64) - np.asarray(rgb.getchannel("R"))
        errors.append(20 * np.log10(255 / np.sqrt(np.mean(difference**2))))
    assert by_method(evaluate(Red(), pairs, size=32))["grey"] == pytest.approx(np.mean(errors), abs=0.02)


def test_without_training_pairs_there_is_no_linear_floor(pairs: PairList) -> None:
    assert list(by_method(evaluate(Red(), pairs.split("val"), size=32))) == ["model", "grey", "red"]


def test_urban_scenes_are_scored_by_themselves(pairs: PairList) -> None:
    changed = [replace(pair, category="street") if pair.name == "e" else pair for pair in pairs.pairs]
    subsets = evaluate(Red(), PairList(pairs.root, tuple(changed)), size=32)
    assert [(each.name, each.images) for each in subsets] == [("all", 2), ("urban-like", 1), ("not urban-like", 1)]
    parts = [by_method(subsets, number=number)["grey"] for number in range(3)]
    assert parts[0] == pytest.approx((parts[1] + parts[2]) / 2)


def test_the_header_of_a_model_gets_its_own_means(pairs: PairList) -> None:
    subsets = evaluate(Red(), pairs, size=32)
    on = "val, all: 2 images at 32x32"
    assert as_metrics(subsets, "val", 32)[:2] == [
        {"name": "PSNR dB", "value": PSNR_CEILING, "on": on},
        {"name": "SSIM", "value": 1.0, "on": on},
    ]


def test_pairs_that_the_model_was_trained_on_are_refused(pairs: PairList) -> None:
    with pytest.raises(NirgenError, match=r"val/nir/f\.png: the model was trained on it"):
        evaluate(Red(pairs.pairs[-1].nir_sha256), pairs, size=32)


def test_an_empty_split_is_refused(pairs: PairList) -> None:
    with pytest.raises(NirgenError, match="no pairs in split 'test'; the list has: train, val"):
        evaluate(Red(), pairs, "test", size=32)


def test_progress_is_told(pairs: PairList) -> None:
    seen = []
    evaluate(Red(), pairs, size=32, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
