from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.errors import ConfigError, ImageError
from nirgen.model import load_model
from nirgen.models.catalog import read_header
from nirgen.pairs import PairList
from nirgen.train import train
from nirgen.train.baseline import LinearFitConfig, TreesFitConfig, fit, load_settings
from nirgen.train.config import TrainConfig

if TYPE_CHECKING:
    from pathlib import Path

SMALL = TreesFitConfig(trees=3, pixels=500, size=32)


def test_a_repeated_fit_writes_the_same_files(pairs: PairList, tmp_path: Path) -> None:
    seen = []
    path = fit(pairs, SMALL, tmp_path / "run", report=lambda done, count: seen.append((done, count)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    files = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir() if file.name != "run.json"}
    assert sorted(files) == [".lock", "card.md", "config.yaml", "model.safetensors", "pairs.csv"]
    fit(pairs, SMALL, tmp_path / "run")
    fit(pairs, SMALL, tmp_path / "again" / "run")
    for name, content in files.items():
        assert (tmp_path / "run" / name).read_bytes() == content, name
        assert (tmp_path / "again" / "run" / name).read_bytes() == content, name
    assert len(read_header(path)["training"]["pairs"]) == 4


def test_the_linear_map_of_pairs_whose_nir_is_red_is_red(pairs: PairList, tmp_path: Path, photo) -> None:
    model = load_model(fit(pairs, LinearFitConfig(size=32), tmp_path / "run"))
    assert np.allclose(model.baseline.weights, [1, 0, 0], atol=0.01)
    rgb = photo(20, 30)
    assert np.abs(model(rgb).astype(int) - rgb[..., 0]).max() <= 2


def test_a_fit_of_other_settings_or_pairs_is_replaced_only_if_that_is_allowed(pairs: PairList, tmp_path: Path) -> None:
    path = fit(pairs, SMALL, tmp_path)
    before = path.read_bytes()
    other = SMALL.model_copy(update={"trees": 2})
    fewer = PairList(pairs.root, pairs.pairs[1:])
    for config, listed, difference in (
        (other, pairs, "trees: 3 -> 2"),
        (SMALL, fewer, "the pairs of the split 'train'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"holds a fit with other settings ({difference}); name a new")):
            fit(listed, config, tmp_path)
    assert path.read_bytes() == before
    fit(pairs, other, tmp_path, allow_changes=True)
    assert path.read_bytes() != before


def test_a_fit_and_a_training_do_not_replace_each_other(pairs: PairList, tmp_path: Path) -> None:
    fit(pairs, LinearFitConfig(), tmp_path / "fit")
    with pytest.raises(ConfigError, match="fit: holds the baseline 'linear'; name a new folder"):
        train(pairs, TrainConfig.compact(), tmp_path / "fit", device="cpu")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"a model")
    for kind in (LinearFitConfig(), SMALL):
        with pytest.raises(ConfigError, match="run: holds another run; name a new folder"):
            fit(pairs, kind, tmp_path / "run", allow_changes=True)
    with pytest.raises(ConfigError, match="fit: holds another run"):
        fit(pairs, SMALL, tmp_path / "fit", allow_changes=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == b"a model"


def test_a_pair_that_changed_ends_the_fit_before_anything_is_written(pairs: PairList, tmp_path: Path) -> None:
    (pairs.root / pairs.pairs[0].nir).write_bytes(b"")
    with pytest.raises(ImageError, match="changed since it was listed"):
        fit(pairs, SMALL, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_preset_of_either_sort_is_read(tmp_path: Path) -> None:
    assert load_settings("linear") == LinearFitConfig()
    assert load_settings("trees", ["trees=5"], {"seed": 2}) == TreesFitConfig(trees=5, seed=2)
    assert load_settings("compact") == TrainConfig.compact()
    (tmp_path / "a.yaml").write_text("preset: trees\nleaves: 4\n")
    assert load_settings(str(tmp_path / "a.yaml")) == TreesFitConfig(leaves=4)
