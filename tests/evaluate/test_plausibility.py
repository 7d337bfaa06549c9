from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.evaluate.methods import Case, Frame
from nirgen.evaluate.plausibility import View, linear, tabulate
from nirgen.evaluate.regions import REGIONS

if TYPE_CHECKING:
    from nirgen.evaluate.supplement import Supplement

SIDE = 20
ROWS = {"vegetation": slice(0, 5), "sky": slice(5, 10), "road": slice(10, 15), "vehicle": slice(15, 20)}
MASKS = {name: np.zeros((SIDE, SIDE), bool) for name in ROWS}
for name, rows in ROWS.items():
    MASKS[name][rows] = True


def level(intensity: float) -> int:
    """The level whose linear intensity is nearest."""
    return int(np.abs(linear(np.arange(256).astype(np.uint8)) - intensity).argmin())


def painted(**intensities: float) -> np.ndarray:
    """An image of (20, 20) with the linear intensities in the regions."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    for name, intensity in intensities.items():
        image[ROWS[name]] = level(intensity)
    return image


def frame(nir: np.ndarray, photo: np.ndarray | None = None) -> Frame:
    case = Case("a", "", "", Path("a.png"), None, "", lambda: (None, nir))
    return Frame(case, None if photo is None else np.repeat(photo[..., np.newaxis], 3, axis=2), nir)


NIR = painted(vegetation=0.6, sky=0.3, road=0.1, vehicle=0.2)
PHOTO = painted(vegetation=0.1, sky=0.9, road=0.1, vehicle=0.2)


def table(*images: np.ndarray, real: np.ndarray = NIR, photo: np.ndarray | None = PHOTO) -> Supplement:
    view = View(frame(real, photo), MASKS)
    tones = {"": np.stack([view.tones(real)])} | {str(i): np.stack([view.tones(each)]) for i, each in enumerate(images)}
    kinds = dict.fromkeys(map(str, range(len(images))), "model")
    return tabulate(tones, np.stack([view.visible]), kinds, ["a"], about="masks of 1 of 1 images", resamples=100)


def values(supplement: Supplement) -> dict[str, dict[str, float]]:
    return {row.method: {key: each.value for key, each in row.estimates.items()} for row in supplement.rows}


def test_srgb_is_decoded() -> None:
    # 0.5 of 1 is encoded as 188 (735 of 1000), and one level, 1 / 255, lies on the linear part: 1 / 255 / 12.92
    assert linear(np.array([188], np.uint8))[0] == pytest.approx(0.5, abs=0.003)
    assert linear(np.array([1], np.uint8))[0] == pytest.approx(0.000304, abs=1e-6)


def test_the_contrast_of_vegetation_and_road_is_their_nir_over_their_visible_intensity() -> None:
    found = values(table(painted(vegetation=0.2, sky=0.3, road=0.1, vehicle=0.2)))
    # (0.6 / 0.1) / (0.1 / 0.1) = 6 is within 2.75 to 11; (0.2 / 0.1) / (0.1 / 0.1) = 2 is 2 / 2.75 of the lower end
    assert found["real NIR"]["contrast"] == pytest.approx(6, rel=0.02)
    assert found["real NIR"]["plausibility"] == 1
    assert found["0"]["contrast"] == pytest.approx(2, rel=0.02)
    assert found["0"]["plausibility"] == pytest.approx(2 / 2.75, rel=0.02)
    assert found["spectra"] == {"contrast": 5.89}


def test_gain_and_exposure_of_neither_camera_change_the_contrast() -> None:
    dark = painted(vegetation=0.3, sky=0.15, road=0.05, vehicle=0.1)
    dim = painted(vegetation=0.05, sky=0.45, road=0.05, vehicle=0.1)
    found = values(table(dark, photo=dim))
    assert found["0"]["contrast"] == pytest.approx(6, rel=0.03)
    assert found["0"]["off_real"] == pytest.approx(0, abs=0.03)


def test_the_ratios_are_of_nir_and_their_error_is_in_stops() -> None:
    found = values(table(painted(vegetation=0.6, sky=0.6, road=0.1, vehicle=0.2)))
    assert found["real NIR"]["sky / road"] == pytest.approx(3, rel=0.02)
    assert found["0"]["sky / road"] == pytest.approx(6, rel=0.02)
    assert found["real NIR"]["road / vehicle"] == pytest.approx(0.5, rel=0.02)
    # sky is a stop too bright: three of the six ratios are off by 1
    assert found["0"]["off_real"] == pytest.approx(0.5, abs=0.02)
    assert "off_real" not in found["real NIR"]


def test_without_photos_there_are_ratios_and_no_plausibility() -> None:
    found = table(NIR, photo=None)
    names = [column.name for column in found.columns]
    assert names[:2] == ["off_real", "vegetation / sky"]
    assert [row.method for row in found.rows] == ["real NIR", "0"]


def test_a_region_of_few_pixels_or_of_clipped_ones_is_left_out() -> None:
    assert SIDE * 5 >= 50
    few = {**MASKS, "vehicle": np.zeros((SIDE, SIDE), bool)}
    few["vehicle"][0, :] = True
    assert np.isnan(View(frame(NIR), few).tones(NIR)[0, REGIONS.index("vehicle")])
    bright = painted(vegetation=0.6, sky=1.0, road=0.1, vehicle=0.2)
    assert np.isnan(View(frame(bright), MASKS).tones(bright)[0]).tolist() == [False, True, False, False, True]


def test_a_sky_clipped_in_the_photo_still_has_its_nir_tone() -> None:
    clipped = painted(vegetation=0.1, sky=1.0, road=0.1, vehicle=0.2)
    tones = View(frame(NIR, clipped), MASKS).tones(NIR)[:, REGIONS.index("sky")]
    assert tones[0] == pytest.approx(0.3, abs=0.01)
    assert np.isnan(tones[1])


def test_a_black_region_has_a_ratio() -> None:
    found = values(table(painted(vegetation=0.6, sky=0.3, road=0, vehicle=0.2)))
    assert np.isfinite(found["0"]["vegetation / road"])
    assert 0 < found["0"]["plausibility"] < 0.1


def test_an_image_without_a_pair_of_regions_counts_in_the_other_columns_alone() -> None:
    road = {"road": MASKS["road"]}
    views = [View(frame(NIR, PHOTO), masks) for masks in (MASKS, road, {})]
    tones = {"": np.stack([view.tones(NIR) for view in views]), "m": np.stack([view.tones(NIR) for view in views])}
    visible = np.stack([view.visible for view in views])
    found = tabulate(tones, visible, {"m": "model"}, ["a", "b", "c"], about="", resamples=100)
    assert [column.heading for column in found.columns][:2] == [
        "plausibility ↑ (1)",
        "vegetation / road, NIR / visible (1)",
    ]
    assert values(found)["m"]["off_real"] == 0
