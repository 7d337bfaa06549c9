from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nirgen.collection import ItemBox
from nirgen.scores.box_measures import measure_box
from nirgen.scores.planes import Planes

ROOF = (240.0, 200.0, 120.0, 80.0)


def box(bbox=ROOF, *, crowd: bool = False) -> ItemBox:
    return ItemBox("k", 1, "car", bbox, 1.0, crowd, "car", ())


def test_a_box_that_is_as_in_rgb_has_the_best_measures(scene) -> None:
    grey = Planes.of(np.zeros((426, 640), np.uint8), scene).rgb.levels
    measures = measure_box(Planes.of(grey, scene), box())
    assert measures.agreement == pytest.approx(1, abs=0.01)
    assert measures.polarity == pytest.approx(1, abs=0.01)
    assert (measures.energy, measures.detail, measures.contrast) == pytest.approx((0, 0, 0), abs=0.01)


def test_a_negative_agrees_in_its_edges_but_not_in_their_polarity(scene) -> None:
    grey = Planes.of(np.zeros((426, 640), np.uint8), scene).rgb.levels
    measures = measure_box(Planes.of(255 - grey, scene), box())
    assert measures.agreement > 0.95
    assert measures.polarity < -0.9


def test_each_fault_lowers_its_measure(scene, near_infrared) -> None:
    sound = measure_box(Planes.of(near_infrared, scene), box())

    def with_fault(change) -> object:
        changed = near_infrared.astype(float)
        rows, columns = slice(200, 280), slice(240, 360)
        changed[rows, columns] = change(changed[rows, columns])
        return measure_box(Planes.of(changed.round().astype(np.uint8), scene), box())

    blurred = with_fault(lambda patch: ndimage.gaussian_filter(patch, 3))
    assert blurred.detail < sound.detail - 0.3
    faded = with_fault(lambda patch: patch.mean() + 0.3 * (patch - patch.mean()))
    assert faded.contrast < sound.contrast - 0.4
    assert faded.energy < sound.energy - 0.8
    erased = with_fault(np.mean)
    assert erased.agreement < sound.agreement - 0.3
    assert erased.energy < sound.energy - 1


def test_a_box_in_which_rgb_shows_nothing_is_ordinary(scene, near_infrared) -> None:
    dark, nir = scene.copy(), near_infrared.copy()
    dark[200:280, 240:360], nir[200:280, 240:360] = 12, 70
    planes = Planes.of(nir, dark)
    measures = measure_box(planes, box((246, 206, 108, 68)))
    assert measures.agreement == pytest.approx(1)
    assert measures.energy == pytest.approx(np.log(planes.gain))
    assert measures.detail == pytest.approx(0)


def test_what_can_not_be_judged_has_no_measures(scene, near_infrared) -> None:
    planes = Planes.of(near_infrared, scene)
    assert measure_box(planes, box((300, 200, 11, 90))) is None
    assert measure_box(planes, box((300, 200, 12, 90))) is not None
    assert measure_box(planes, box((634, 200, 60, 60))) is None  # 6 pixels of it are in the image
    assert measure_box(planes, box((700, 200, 60, 60))) is None
    assert measure_box(planes, box(crowd=True)) is None
    assert measure_box(Planes.of(near_infrared, None), box()) is None
