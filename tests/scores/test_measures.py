from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from nirgen.dataset.read import Box
from nirgen.scores.measures import STATISTICS, basis_of, measure, measure_box, measure_image
from nirgen.scores.planes import Planes


def measured(nir: np.ndarray, rgb: np.ndarray | None):
    return measure_image(Planes.of(np.clip(nir, 0, 255).round().astype(np.uint8), rgb))


def test_a_sound_image_has_structure_and_is_as_sharp_as_rgb(scene, near_infrared) -> None:
    found = measured(near_infrared, scene)
    assert found.structure > 0.8
    assert found.sharpness == pytest.approx(1, abs=0.1)
    assert found.contrast == pytest.approx(0.75, abs=0.1)
    assert found.clipping < 0.01
    assert found.noise < 0.5
    assert found.banding < 0.5
    assert len(found.statistics) == len(STATISTICS)


def test_each_fault_is_in_its_score(scene, near_infrared) -> None:
    sound = measured(near_infrared, scene)
    nir, rng = near_infrared.astype(float), np.random.default_rng(0)
    assert measured(ndimage.gaussian_filter(nir, 2), scene).sharpness < 0.8 * sound.sharpness
    assert measured(nir.mean() + 0.3 * (nir - nir.mean()), scene).contrast < 0.5 * sound.contrast
    assert measured(np.roll(nir, 12, axis=1), scene).structure < sound.structure - 0.4
    assert measured(3 * (nir - nir.mean()) + nir.mean(), scene).clipping > 0.05
    assert measured(nir + rng.normal(0, 6, nir.shape), scene).noise == pytest.approx(sound.noise + 6, abs=2)
    rows = np.repeat(rng.normal(0, 5, 54), 8)[:426, None]
    assert measured(nir + rows, scene).banding > sound.banding + 0.4
    columns = np.repeat(rng.normal(0, 5, 80), 8)[None]
    assert measured(nir + columns, scene).banding > sound.banding + 0.25


def test_grey_levels_that_are_left_out_are_banding() -> None:
    ramp = np.linspace(0, 250, 512) + np.random.default_rng(0).uniform(0, 4, (128, 512))
    assert measured(ramp, None).banding == pytest.approx(0, abs=0.3)
    assert measured(ramp // 16 * 16, None).banding == pytest.approx(15, abs=1.5)


def test_black_and_white_are_clipped_only_where_rgb_is_neither() -> None:
    nir = np.full((64, 64), 120)
    nir[:32], nir[32:48] = 0, 255
    rgb = np.full((64, 64, 3), 120, np.uint8)
    assert measured(nir, rgb).clipping == pytest.approx(0.75)
    rgb[:32], rgb[32:48] = 10, 250
    assert measured(nir, rgb).clipping == 0
    assert measured(nir, None).clipping == pytest.approx(0.75)


def test_without_rgb_there_is_no_structure_and_an_ordinary_photograph_is_the_measure(near_infrared) -> None:
    found = measured(near_infrared, None)
    assert found.structure is None
    assert 0.6 < found.sharpness < 1.6
    assert measured(ndimage.gaussian_filter(near_infrared.astype(float), 2), None).sharpness < 0.8 * found.sharpness


def test_where_rgb_shows_nothing_nothing_is_said_of_structure(near_infrared) -> None:
    found = measured(near_infrared, np.full((426, 640, 3), 3, np.uint8))
    assert (found.structure, found.sharpness, found.contrast) == (None, None, None)


def test_noise_that_rgb_has_as_well_is_not_the_generator_s(scene, near_infrared) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, scene.shape[:2])
    rgb = np.clip(scene + noise[..., None], 0, 255).round().astype(np.uint8)
    assert measured(near_infrared + 0.7 * noise, rgb).noise < 1.5


def test_a_flat_image_has_no_gaps_and_no_error() -> None:
    found = measured(np.full((64, 64), 128), None)
    assert (found.banding, found.clipping, found.noise) == (0, 0, 0)


ROOF = (240.0, 200.0, 120.0, 80.0)


def box(bbox=ROOF, *, crowd: bool = False) -> Box:
    return Box("k", 1, "car", bbox, 1.0, crowd, "car", ())


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


def test_an_item_is_measured_with_its_boxes(make_item, scene, near_infrared) -> None:
    found = measure(make_item(near_infrared, scene, ROOF, (0.0, 0.0, 5.0, 5.0)))
    assert (found.key, found.note, found.beside_rgb) == ("bdd/a.jpg", "", True)
    assert found.image.structure > 0.8
    assert found.boxes[0].agreement > 0.75
    assert found.boxes[1] is None


def test_the_same_files_give_the_same_measures(make_item, scene, near_infrared) -> None:
    item = make_item(near_infrared, scene, ROOF)
    assert measure(item) == measure(item)


@pytest.mark.parametrize("of", ["path", "rgb"])
@pytest.mark.parametrize(("content", "what"), [(None, "missing"), (b"no image", "damaged")])
def test_a_file_that_is_gone_or_damaged_becomes_a_note(make_item, scene, near_infrared, of, content, what) -> None:
    item = make_item(near_infrared, scene, ROOF)
    path = getattr(item, of)
    path.unlink() if content is None else path.write_bytes(content)
    found = measure(item)
    assert found.note == f"{'NIR' if of == 'path' else 'RGB'} image {what}"
    assert found.boxes == (None,)
    assert (found.image is None) == (of == "path")


def test_an_rgb_image_that_changed_is_not_compared_with(make_item, scene, near_infrared) -> None:
    found = measure(replace(make_item(near_infrared, scene, ROOF), rgb_sha256="0" * 64))
    assert (found.note, found.beside_rgb, found.boxes) == ("RGB image changed", False, (None,))
    assert found.image.structure is None


def test_an_image_that_is_too_small_has_no_scores(make_item, scene, near_infrared) -> None:
    found = measure(make_item(near_infrared[:60], scene[:60], ROOF))
    assert (found.image, found.note, found.boxes) == (None, "", (None,))


def test_the_basis_changes_with_files_and_boxes_and_with_nothing_else(make_item, scene, near_infrared) -> None:
    item = make_item(near_infrared, scene, ROOF)
    basis = basis_of(item, with_rgb=True)
    moved = (replace(item.boxes[0], bbox=(241.0, 200.0, 120.0, 80.0)),)
    relabelled = (replace(item.boxes[0], category="person"),)
    changes = [{"sha256": "1" * 64}, {"rgb_sha256": "1" * 64}, {"boxes": ()}, {"boxes": moved}, {"boxes": relabelled}]
    others = {basis_of(replace(item, **change), with_rgb=True) for change in changes} | {basis_of(item, with_rgb=False)}
    assert len(others - {basis}) == 6
    elsewhere = replace(item, path=item.path / "x", rgb=None, split="val", attributes={"weather": "rainy"})
    assert basis_of(elsewhere, with_rgb=True) == basis
