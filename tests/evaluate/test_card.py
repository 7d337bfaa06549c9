from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import NirgenError
from nirgen.evaluate import Score, evaluate
from nirgen.pairs import PairList

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Red:
    """Takes red for NIR, which is right for the pairs of these tests."""

    def __init__(self, *trained_on: str) -> None:
        self.training_pairs = [{"nir_sha256": sha256} for sha256 in trained_on]

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert (rgb.shape, rgb.dtype) == ((32, 32, 3), np.uint8)
        return rgb[..., 0]


def by_method(scores: list[Score], subset: str = "all") -> dict[str, Score]:
    return {score.method: score for score in scores if score.subset == subset}


def test_a_perfect_model_is_above_the_floors(pairs: PairList) -> None:
    scores = by_method(evaluate(Red(), pairs, size=32))
    assert list(scores) == ["model", "luma", "red", "linear"]
    assert scores["model"] == Score("model", "all", 2, float("inf"), pytest.approx(1))
    assert scores["luma"].psnr < 25
    assert scores["luma"].ssim < 0.9
    assert scores["red"].psnr == scores["linear"].psnr == float("inf")  # the map found is R


def test_the_luma_floor_is_pillows(pairs: PairList) -> None:
    errors = []
    for name in ("e", "f"):
        with Image.open(pairs.root / f"val/rgb/{name}.png") as image:
            rgb = image.resize((32, 32), Image.Resampling.BILINEAR)
        difference = np.asarray(rgb.convert("L"), np.float64) - np.asarray(rgb.getchannel("R"))
        errors.append(20 * np.log10(255 / np.sqrt(np.mean(difference**2))))
    assert by_method(evaluate(Red(), pairs, size=32))["luma"].psnr == pytest.approx(np.mean(errors), abs=0.02)


def test_without_training_pairs_there_is_no_linear_floor(pairs: PairList) -> None:
    assert list(by_method(evaluate(Red(), pairs.split("val"), size=32))) == ["model", "luma", "red"]


def test_urban_scenes_are_scored_by_themselves(pairs: PairList) -> None:
    changed = [replace(pair, category="street") if pair.name == "e" else pair for pair in pairs.pairs]
    scores = evaluate(Red(), PairList(pairs.root, tuple(changed)), size=32)
    assert [(score.subset, score.images) for score in scores if score.method == "luma"] == [
        ("all", 2),
        ("urban-like", 1),
        ("not urban-like", 1),
    ]
    parts = [score.psnr for score in scores if score.method == "luma"]
    assert parts[0] == pytest.approx((parts[1] + parts[2]) / 2)


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
