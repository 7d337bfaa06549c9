from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from nirgen.errors import ModelError, ShapeError
from nirgen.model import BaselineModel, load_model
from nirgen.models.baselines import (
    Linear,
    LinearConfig,
    Trees,
    TreesConfig,
    TreesFit,
    TreesSettings,
    features_of,
    fit_linear,
    fit_trees,
    trees_of,
)
from nirgen.models.catalog import architecture_of, verify
from nirgen.models.checkpoint import build, load, load_baseline, save, save_baseline

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig


SMALL = {"trees": 8, "pixels": 2000}


def scene(seed: int, height: int = 40, width: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """A photo of blocks and noise, and NIR that depends on green and on the row."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (height // 10, width // 10, 3)).repeat(10, 0).repeat(10, 1)
    rgb = (0.8 * blocks + random.integers(0, 52, blocks.shape)).astype(np.uint8)
    return rgb, (0.6 * rgb[..., 1] + 100 * np.arange(height)[:, None] / height).astype(np.uint8)


@pytest.fixture(scope="module")
def pairs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    photos, targets = zip(*map(scene, range(3)), strict=True)
    return list(photos), list(targets)


@pytest.fixture(scope="module")
def trees(pairs) -> Trees:
    return fit_trees(*pairs, **SMALL)


def test_a_linear_map_is_found_from_four_pixels() -> None:
    rgb = np.array([[[0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0, 100]]], np.uint8)
    found = fit_linear([rgb], [np.array([[10, 60, 110, 0]], np.uint8)])
    assert np.allclose(found.weights, [0.5, 1.0, -0.1])
    assert found.offset == pytest.approx(10)
    # 0.5 * 20 + 40 - 0.1 * 50 + 10 = 55; 0 and 255 are the ends of the scale
    given = np.array([[[20, 40, 50], [0, 0, 255], [255, 255, 0]]], np.uint8)
    assert found.predict(given).tolist() == [[55, 0, 255]]


def test_the_best_map_of_what_is_not_linear_minimises_the_squares_over_the_pixels_of_all_pairs() -> None:
    dark, light = np.full((1, 1, 3), 0, np.uint8), np.full((1, 3, 3), 200, np.uint8)
    found = fit_linear([dark, light], [np.array([[30]], np.uint8), np.array([[100, 110, 150]], np.uint8)])
    assert found.predict(dark).tolist() == [[30]]
    assert found.predict(light).tolist() == [[120, 120, 120]]  # the mean of the three


def test_trees_predict_what_scikit_learn_does_bit_for_bit(pairs) -> None:
    fit = TreesFit(3, TreesSettings(trees=20, pixels=3000))
    for pair in zip(*pairs, strict=True):
        fit.add(*pair)
    model = fit.regressor().fit(np.concatenate(fit._features), np.concatenate(fit._targets))
    found = trees_of(model, TreesConfig())
    for seed, size in ((7, (40, 50)), (8, (10, 20)), (9, (400, 70))):
        rgb, _ = scene(seed, *size)
        expected = model.predict(features_of(rgb, 15)).reshape(size)
        assert np.array_equal(found.intensities(rgb), expected)
        assert np.array_equal(found.predict(rgb), np.rint(expected).clip(0, 255))
    assert np.array_equal(fit.solve().nodes["value"], found.nodes["value"])


def test_a_feature_is_the_pixel_its_neighbourhood_or_its_row() -> None:
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    found = features_of(rgb, 3)
    assert found.shape == (6, 7)
    # Around the first pixel with repeated edges: itself 4 times, its right and lower neighbours twice, one diagonal.
    red = (4 * 0 + 2 * 3 + 2 * 9 + 12) / 9
    assert found[0].tolist() == pytest.approx([0, 1, 2, red, red + 1, red + 2, 0.25])
    assert found[5].tolist()[:3] == [15, 16, 17]
    assert found[5, 6] == 0.75


def test_trees_learn_what_no_linear_map_of_colours_can(pairs, trees: Trees) -> None:
    rgb, nir = scene(5)
    errors = [
        np.abs(found.predict(rgb).astype(float) - nir).mean() for found in (fit_linear(*pairs), fit_trees(*pairs))
    ]
    assert errors[1] < errors[0] / 3
    assert trees.predict(rgb).dtype == np.uint8


def test_the_fit_depends_on_the_seed_and_on_nothing_else(pairs, trees: Trees) -> None:
    for threads in (1, 2):
        with threadpool_limits(threads):
            again = fit_trees(*pairs, **SMALL)
        for name, values in again.arrays().items():
            assert values.tobytes() == trees.arrays()[name].tobytes(), name
    other = fit_trees(*pairs, seed=1, **SMALL)
    assert not np.array_equal(other.nodes["threshold"], trees.nodes["threshold"])


def test_one_flat_pair_is_enough() -> None:
    grey, flat = np.full((5, 6, 3), 90, np.uint8), np.full((5, 6), 40, np.uint8)
    for found in (fit_linear([grey], [flat]), fit_trees([grey], [flat])):
        assert (found.predict(grey) == 40).all()
        assert found.predict(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1)


def test_plain_arrays_hold_all_that_predicts(pairs, trees: Trees) -> None:
    rgb, _ = scene(5)
    for found in (fit_linear(*pairs), trees):
        arrays = found.arrays()
        assert {values.dtype for values in arrays.values()} <= {np.dtype("float64"), np.dtype("int16")}
        assert np.array_equal(type(found).from_arrays(found.config, arrays).predict(rgb), found.predict(rgb))


@pytest.mark.parametrize(
    ("name", "position", "value", "problem"),
    [
        ("left", (0, 0), 0, "node 0 is missing, or reached twice"),
        ("right", (2, 0), 99, "node 99 is missing"),
        ("feature", (1, 0), 7, "feature 7 doesn't exist"),
        ("threshold", (0, 0), np.nan, "'threshold' isn't finite"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(trees: Trees, name: str, position, value, problem: str) -> None:
    arrays = {key: values.copy() for key, values in trees.arrays().items()}
    arrays[name][position] = value
    with pytest.raises(ValueError, match=problem):
        Trees.from_arrays(trees.config, arrays)


def test_arrays_of_other_names_shapes_or_types_are_refused(trees: Trees) -> None:
    arrays = trees.arrays()
    with pytest.raises(ValueError, match="'value' is missing"):
        Trees.from_arrays(trees.config, {name: values for name, values in arrays.items() if name != "value"})
    with pytest.raises(ValueError, match=r"'feature' has shape \(8, 64\), not .* of 63 nodes at most"):
        Trees.from_arrays(trees.config, arrays | {"feature": np.zeros((8, 64), np.int16)})
    with pytest.raises(ValueError, match=r"'weights' has shape \(4,\), type float64, not \(3,\), float64"):
        Linear.from_arrays(Linear.config, {"weights": np.zeros(4), "offset": np.array(0.0)})
    with pytest.raises(ValueError, match="'scale' is unknown"):
        Linear.from_arrays(Linear.config, {"weights": np.zeros(3), "offset": np.array(0.0), "scale": np.zeros(3)})


def test_a_tree_has_as_many_leaves_as_a_mask_has_bits() -> None:
    def chain(leaves: int) -> dict[str, np.ndarray]:
        """A tree that splits off one leaf after the other: nodes 0, 2, 4... are inner ones, others leaves."""
        nodes, inner = 2 * leaves - 1, np.arange(0, 2 * leaves - 2, 2)
        left, right, threshold = np.full(nodes, -1, np.int16), np.full(nodes, -1, np.int16), np.zeros(nodes)
        left[inner], right[inner], threshold[inner] = inner + 1, inner + 2, inner
        value = np.where(left == -1, np.arange(nodes), 0).astype(float)
        arrays = {"feature": np.zeros(nodes, np.int16), "threshold": threshold, "left": left, "right": right}
        return {name: values[None] for name, values in (arrays | {"value": value}).items()}

    found = Trees(TreesConfig(), 1.0, chain(32))
    rgb = np.array([[[0, 0, 0], [1, 0, 0], [2, 0, 0], [61, 0, 0], [255, 0, 0]]], np.uint8)
    assert found.predict(rgb).tolist() == [[2, 4, 4, 63, 63]]  # leaves 1, 3, 5... of values 1, 3, 5..., plus 1
    with pytest.raises(ValueError, match="more than 32 leaves"):
        Trees(TreesConfig(), 1.0, chain(33))


@pytest.mark.parametrize("fit", [fit_linear, fit_trees])
def test_a_pair_of_two_sizes_or_of_floats_is_refused(fit) -> None:
    with pytest.raises(ShapeError, match=r"a pair of shapes \(4, 5, 3\) and \(4, 6\)"):
        fit([np.zeros((4, 5, 3), np.uint8)], [np.zeros((4, 6), np.uint8)])
    with pytest.raises(ShapeError, match="types float64 and uint8"):
        fit([np.zeros((4, 5, 3))], [np.zeros((4, 5), np.uint8)])


@pytest.fixture(params=["linear", "trees"])
def saved(pairs, trees: Trees, tmp_path: Path, request) -> tuple[Linear | Trees, Path]:
    baseline = trees if request.param == "trees" else fit_linear(*pairs)
    save_baseline(tmp_path / "m.safetensors", baseline, training={"pairs": []}, licence="MIT")
    return baseline, tmp_path / "m.safetensors"


def test_a_model_file_holds_a_baseline_and_is_the_same_each_time(saved, tmp_path: Path) -> None:
    baseline, path = saved
    found, header = load_baseline(path)
    rgb, _ = scene(5)
    assert np.array_equal(found.intensities(rgb), baseline.intensities(rgb))
    assert (header["architecture"], header["licence"]) == (baseline.config.model_dump(), "MIT")
    assert verify(path)[0]["model_id"] == header["model_id"]
    save_baseline(tmp_path / "again.safetensors", found, training={"pairs": []}, licence="MIT")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_loaded_baseline_is_a_translator_that_knows_the_padding(saved) -> None:
    baseline, path = saved
    model = load_model(path, device="cpu")
    assert isinstance(model, BaselineModel)
    assert (model.stride, model.precision, str(model.device)) == (1, None, "cpu")
    assert model.whole_only is isinstance(baseline, Trees)
    (large, _), (small, _) = scene(5), scene(6, 30, 40)
    assert np.array_equal(model(large), baseline.predict(large))
    padded = np.pad(small, ((0, 10), (0, 10), (0, 0)))
    batch = torch.from_numpy(np.stack((large, padded))).permute(0, 3, 1, 2)
    nir = model.translate(batch, [(40, 50), (30, 40)])
    assert (nir.shape, nir.dtype) == ((2, 1, 40, 50), torch.float32)
    assert 0 <= nir.min() <= nir.max() <= 1
    for found, rgb in zip(nir, (large, small), strict=True):
        height, width = rgb.shape[:2]
        assert np.array_equal((found[0, :height, :width].double() * 255).round().numpy(), baseline.predict(rgb))


def test_a_generator_and_a_baseline_are_not_taken_for_each_other(
    saved, tmp_path: Path, small_config: GeneratorConfig
) -> None:
    baseline, path = saved
    with pytest.raises(ModelError, match=f"m.safetensors: the baseline '{baseline.config.kind}', which has no network"):
        load(path)
    save(tmp_path / "g.safetensors", build(small_config).state_dict(), small_config)
    with pytest.raises(ModelError, match=r"g.safetensors: a generator, not a baseline"):
        load_baseline(tmp_path / "g.safetensors")


def test_tensors_that_are_none_of_the_baseline_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(path, {"weights": torch.zeros(3), "offset": torch.tensor(0.0)}, LinearConfig())
    with pytest.raises(ModelError, match=r"m.safetensors: no 'linear' \('offset' has shape \(\), type float32, not"):
        load_baseline(path)
    save(path, {"weights": torch.zeros(3).bfloat16()}, LinearConfig())
    with pytest.raises(ModelError, match=r"m.safetensors: no 'linear' \(.*BFloat16"):
        load_model(path)


def test_the_kind_of_an_architecture_is_a_generators_where_none_is_named(
    tmp_path: Path, small_config: GeneratorConfig
) -> None:
    values = small_config.model_dump(mode="json")
    assert "kind" not in values  # ids of older files stay valid
    for given in (values, values | {"kind": "pix2next"}):
        assert architecture_of({"architecture": given}, tmp_path) == small_config
    assert architecture_of({"architecture": {"kind": "trees", "window": 5}}, tmp_path) == TreesConfig(window=5)
    kinds = "there are pix2next, irformer, unet, resnet, unet-vit, unit, munit, bbdm, linear, trees"
    with pytest.raises(ModelError, match=rf"an architecture of the kind 'forest' \({kinds}\)"):
        architecture_of({"architecture": {"kind": "forest"}}, tmp_path)
