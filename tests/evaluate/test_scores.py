from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import ImageError
from nirgen.evaluate import methods
from nirgen.evaluate.cases import from_folders
from nirgen.evaluate.measures import MEASURES, OF_SETS
from nirgen.evaluate.scores import PIXEL_MEASURES, score


def test_each_method_has_each_measure_of_each_image(folders) -> None:
    pred, gt, rgb = folders
    cases = from_folders(gt, rgb)
    judged = [methods.from_folder(pred, cases, None, "pred")[0], methods.red()]
    seen: list[tuple[int, int]] = []
    scores = score(cases, judged, size=None, progress=lambda done, total: seen.append((done, total)))
    assert scores.measures == ("psnr", "ssim", "rmse", "std", "bias", "rmse_uint8_wrapped") == PIXEL_MEASURES
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
    assert set(MEASURES) - set(PIXEL_MEASURES) == {"lpips", "dists", *OF_SETS}
    assert [name for name, measure in MEASURES.items() if measure.name != name] == []
