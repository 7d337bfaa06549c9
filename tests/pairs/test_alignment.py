from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats
from sklearn.datasets import load_sample_images

from nirgen import images
from nirgen.pairs import PairList, find_pairs, read_pair
from nirgen.pairs.alignment import correlate, edge_field, find_partners, measure_alignment

SHARED_PAIRS = Path(__file__).parents[3] / "shared" / "data" / "rgb_nir"
PLANTED = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (0, -5), (-7, 2), (0.5, 0), (2.5, -1.5)])
def test_the_shift_of_nir_is_found_to_a_fraction_of_a_pixel(scene, right: float, down: float) -> None:
    found = measure_alignment(*scene(right=right, down=down))
    assert found is not None
    assert found.shift_x == pytest.approx(right, abs=0.35)
    assert found.shift_y == pytest.approx(down, abs=0.35)
    assert found.shows_one_scene


def test_planted_shifts_are_ranked(scene) -> None:
    random = np.random.default_rng(0)
    planted, measured = [], []
    for seed in range(6):
        for distance in PLANTED:
            angle = random.uniform(0, 2 * np.pi)
            right, down = distance * np.cos(angle), distance * np.sin(angle)
            found = measure_alignment(*scene(seed=seed, right=right, down=down))
            assert found is not None
            planted.append(distance)
            measured.append(found.shift)
    assert stats.spearmanr(planted, measured).statistic >= 0.95


def test_inverted_contrast_changes_nothing(scene) -> None:
    rgb, nir = scene(right=2)
    found, inverted = measure_alignment(rgb, nir), measure_alignment(rgb, 255 - nir)
    assert found is not None
    assert inverted is not None
    assert inverted.shift_x == pytest.approx(found.shift_x, abs=1e-3)
    assert inverted.correlation == pytest.approx(found.correlation, abs=1e-3)


def test_another_scenes_nir_is_told_from_ones_own(scene) -> None:
    scenes = [scene(seed=seed) for seed in range(8)]
    own = [measure_alignment(rgb, nir) for rgb, nir in scenes]
    others = [measure_alignment(rgb, scenes[(number + 1) % 8][1]) for number, (rgb, _) in enumerate(scenes)]
    assert [each.shows_one_scene for each in own if each] == [True] * 8
    assert [each.shows_one_scene for each in others if each] == [False] * 8


def test_a_large_image_is_measured_in_its_own_pixels(scene) -> None:
    rgb, nir = (images.resize(image, (960, 1280)) for image in scene(right=2, down=-1))
    found = measure_alignment(rgb, nir)
    assert found is not None
    assert (found.shift_x, found.shift_y) == (pytest.approx(20, abs=2), pytest.approx(-10, abs=2))


def warped(nir: np.ndarray, degrees: float, stretch: float = 1.0) -> np.ndarray:
    """Rotate and stretch an image around its centre, as a second camera beside the first would show it."""
    angle, centre = np.deg2rad(degrees), np.array(nir.shape) / 2
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / stretch
    moved = ndimage.affine_transform(nir.astype(float), matrix, centre - matrix @ centre, order=1, mode="nearest")
    return np.rint(moved).astype(np.uint8)


@pytest.mark.parametrize(("degrees", "stretch"), [(4, 1.0), (-3, 1.0), (0, 1.08), (2, 1.05)])
def test_a_pair_that_no_shift_aligns_is_one_scene_by_its_parts(degrees: float, stretch: float) -> None:
    china, flower = load_sample_images().images
    nir = china[..., 0] // 2 + 60
    found = measure_alignment(china, warped(nir, degrees, stretch))
    assert found is not None
    assert (found.parts or 0) >= 4
    assert found.shows_one_scene
    assert 3 < found.shift < 20
    other = measure_alignment(china, warped(flower[..., 0], degrees, stretch))
    assert other is not None
    assert (other.parts or 0) < 4
    assert not other.shows_one_scene


def test_a_pair_that_one_shift_aligns_has_no_parts(scene) -> None:
    found = measure_alignment(*scene(right=3))
    assert found is not None
    assert found.parts is None


@pytest.mark.parametrize(("height", "width", "level"), [(64, 64, 0), (64, 64, 200), (15, 64, 0), (1, 1, 7)])
def test_of_images_without_edges_and_of_tiny_ones_nothing_is_said(height: int, width: int, level: int) -> None:
    rgb = np.full((height, width, 3), level, np.uint8)
    assert measure_alignment(rgb, rgb[..., 0]) is None


def test_an_edge_of_colour_alone_is_an_edge() -> None:
    rgb = np.full((32, 32, 3), 100, np.uint8)
    rgb[:, 16:] = (147, 76, 100)  # of the same luma
    assert np.abs(edge_field(rgb))[16, 15:17].min() > 1


def test_the_correlation_is_that_of_the_parts_that_overlap() -> None:
    random = np.random.default_rng(0)
    first, second = (
        (random.normal(size=(20, 30)) + 1j * random.normal(size=(20, 30))).astype(np.complex64) for _ in range(2)
    )
    surface = correlate(first, second, 3)
    a, b = first[:-2, 3:], second[2:, :-3]  # the second shifted by two rows down and three columns left
    expected = (a.conj() * b).sum().real / np.sqrt((abs(a) ** 2).sum() * (abs(b) ** 2).sum())
    assert surface[3 + 2, 3 - 3] == pytest.approx(expected, abs=1e-4)


@pytest.fixture(scope="module")
def real() -> PairList:
    """Every fourteenth of the real pairs."""
    if not SHARED_PAIRS.is_dir():
        pytest.skip("the real pairs lie beside the repository only")
    found = find_pairs(SHARED_PAIRS, SHARED_PAIRS / "index.csv")
    return PairList(found.root, found.pairs[::14])


def test_planted_shifts_of_real_pairs_are_ranked(real: PairList) -> None:
    random = np.random.default_rng(0)
    planted, measured, margin = [], [], 14
    for number, pair in enumerate(real.pairs):
        rgb, nir = read_pair(real, pair)
        for distance in (PLANTED[1 + number % 6], PLANTED[1 + (number + 3) % 6]):
            angle = random.uniform(0, 2 * np.pi)
            shift = (distance * np.sin(angle), distance * np.cos(angle))
            moved = np.rint(ndimage.shift(nir.astype(float), shift, order=1, mode="nearest")).astype(np.uint8)
            found = measure_alignment(rgb[margin:-margin, margin:-margin], moved[margin:-margin, margin:-margin])
            assert found is not None
            planted.append(distance)
            measured.append(found.shift)
    assert len(planted) == 80
    assert stats.spearmanr(planted, measured).statistic >= 0.95


def test_real_pairs_of_one_scene_that_no_shift_aligns_are_told_from_swapped_ones(real: PairList) -> None:
    names = {"murf_multi-_1000", "webapp_landscape", "vcip_train_field_0014"}
    names |= {f"nirscene_yc_country_00{number}" for number in (15, 17, 18)}
    everything = find_pairs(SHARED_PAIRS, SHARED_PAIRS / "index.csv")
    pairs = [pair for pair in everything.pairs if pair.name in names]
    found = [measure_alignment(*read_pair(everything, pair)) for pair in pairs]
    assert [each.shows_one_scene for each in found if each] == [True] * 6
    assert min(each.shift for each in found if each) > 3
    large = [
        (rgb[:400, :400], nir[:400, :400])
        for rgb, nir in (read_pair(real, pair) for pair in real.pairs)
        if min(nir.shape) >= 400
    ]
    swapped = [measure_alignment(rgb, large[number - 1][1]) for number, (rgb, _) in enumerate(large)]
    assert len(swapped) >= 12
    assert [each for each in swapped if each and each.shows_one_scene] == []


def test_swapped_partners_of_real_pairs_are_told(real: PairList) -> None:
    square = [read_pair(real, pair) for pair in real.pairs]
    square = [(rgb[:256, :256], nir[:256, :256]) for rgb, nir in square if min(nir.shape) >= 256]
    swapped = [measure_alignment(rgb, square[number - 1][1]) for number, (rgb, _) in enumerate(square)]
    assert len(swapped) >= 30
    assert [each for each in swapped if each and each.shows_one_scene] == []


@pytest.fixture
def rotated(tmp_path: Path, scene) -> PairList:
    """Four pairs, of which the first three have each other's NIR images: a has b's, b has c's, c has a's."""
    for seed, name in enumerate("abcd"):
        for kind, pixels in zip(("rgb", "nir"), scene(seed=seed), strict=True):
            (tmp_path / "train" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "train" / kind / f"{name}.png")
    a, b, c, d = find_pairs(tmp_path).pairs
    moved = ((a, b), (b, c), (c, a))
    pairs = [replace(pair, nir=other.nir, nir_sha256=other.nir_sha256) for pair, other in moved]
    return PairList(tmp_path, (*pairs, d))


def test_each_pair_is_told_who_has_its_nir(rotated: PairList) -> None:
    assert find_partners(rotated, [0, 1, 2]) == {0: 2, 1: 0, 2: 1}


def test_a_nir_of_no_scene_in_the_list_is_nobodys(rotated: PairList) -> None:
    assert find_partners(rotated, [0, 1]) == {1: 0}
    assert find_partners(rotated, [0]) == {}
