"""The model that comes with the package: what its card says must hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nirgen.errors import ModelError
from nirgen.evaluate import as_metrics, evaluate
from nirgen.model import load_model
from nirgen.models.catalog import embedded_models, find_model, read_header, verify
from nirgen.models.checkpoint import build, load_state, save
from nirgen.models.config import GeneratorConfig
from nirgen.pairs import PairList, find_pairs


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config) -> Path:
    folder = tmp_path / "embedded"
    for name in ("compact", "alpine"):
        save(folder / f"{name}.safetensors", build(small_config).state_dict(), small_config, licence="MIT")
        (folder / f"{name}.md").touch()
    monkeypatch.setattr("nirgen.models.catalog.EMBEDDED", folder)
    return folder


def test_embedded_models_are_listed_by_name(embedded: Path, nirgen) -> None:
    assert list(embedded_models()) == ["alpine", "compact"]
    code, out, _ = nirgen("models", "list")
    assert code == 0
    assert [line.split()[::2] for line in out.splitlines()[:2]] == [["alpine", "MIT"], ["compact", "MIT"]]


def test_a_model_is_named_by_embedded_name_file_or_run_folder(embedded: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.safetensors").touch()
    (tmp_path / "own.safetensors").touch()
    assert find_model("compact") == embedded / "compact.safetensors"
    assert find_model(tmp_path / "own.safetensors") == tmp_path / "own.safetensors"
    assert find_model(str(tmp_path / "run")) == tmp_path / "run/model.safetensors"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("compct", r"no model 'compct'; did you mean 'compact'\? \(embedded: alpine, compact; else"),
        ("zzz", r"no model 'zzz' \(embedded: alpine, compact; else"),
        ("runs/7", "runs/7: no such model file; 'nirgen models list' shows the embedded ones"),
        ("m.safetensors", r"m\.safetensors: no such model file"),
    ],
)
def test_what_names_no_model_is_refused(embedded: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_model(name)


def test_a_file_is_verified_as_by_torch() -> None:
    path = embedded_models()["compact"]
    state, header = load_state(path)
    assert verify(path) == (header, sum(tensor.numel() for tensor in state.values()))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"])
def test_tensors_of_each_type_are_verified(tmp_path: Path, small_config, dtype: str) -> None:
    state = {"b": torch.ones(2, 3, dtype=getattr(torch, dtype)), "a": torch.tensor(1, dtype=getattr(torch, dtype))}
    header = save(tmp_path / "m.safetensors", state, small_config)
    assert verify(tmp_path / "m.safetensors") == (header, 7)


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"\x7f", lambda data: data[:-1]])
def test_a_changed_or_cut_file_fails_verification(embedded: Path, change) -> None:
    path = embedded / "compact.safetensors"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError, match=r"compact\.safetensors: (tensors and architecture hash to|damaged \()"):
        verify(path)


def test_a_model_is_verified_without_torch() -> None:
    code = (
        "import sys; from nirgen.models.catalog import find_model, verify; print(verify(find_model('compact'))[1]); "
        "print(sorted({'torch', 'timm', 'torchvision', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    values, modules = found.stdout.splitlines()
    assert int(values) > 1_000_000
    assert modules == "[]"


SHARED_PAIRS = Path(__file__).parents[3] / "shared" / "data" / "rgb_nir"


def test_compact_is_embedded_and_of_its_configuration() -> None:
    header = read_header(embedded_models()["compact"])
    assert GeneratorConfig.read(header["architecture"], where="compact") == GeneratorConfig.compact()


def test_the_file_is_at_most_16_megabytes() -> None:
    assert embedded_models()["compact"].stat().st_size <= 16_000_000


def test_the_header_lists_every_training_pair_and_names_no_folder() -> None:
    header = read_header(embedded_models()["compact"])
    assert len(header["training"]["pairs"]) == 503
    assert all(len(pair["rgb_sha256"]) == len(pair["nir_sha256"]) == 64 for pair in header["training"]["pairs"])
    assert "/tmp" not in str(header)


def test_the_card_states_each_number_of_the_header() -> None:
    path = embedded_models()["compact"]
    card, metrics = path.with_suffix(".md").read_text(encoding="utf-8"), read_header(path)["metrics"]
    assert len(metrics) == 6
    stated = [f"{metric['value']:.{2 if metric['name'] == 'PSNR dB' else 4}f}" for metric in metrics]
    assert [number for number in stated if f"| {number} |" not in card] == []
    assert "nirgen evaluate --pairs pairs.csv --root DATA --model compact" in card


def test_grass_comes_out_brighter_and_a_clear_sky_darker_than_their_luma() -> None:
    photo = np.zeros((256, 256, 3), np.uint8)
    photo[:128], photo[128:] = (70, 130, 215), (60, 115, 35)  # sky above grass
    noise = np.random.default_rng(0).integers(-25, 26, (128, 256, 1))
    photo[128:] = np.clip(photo[128:] + noise, 0, 255)
    nir = load_model("compact", device="cpu")(photo)
    luma = photo @ np.array([0.299, 0.587, 0.114])
    assert nir[160:224].mean() > luma[160:224].mean() + 20
    assert nir[32:96].mean() < luma[32:96].mean() - 20


@pytest.mark.skipif(not SHARED_PAIRS.is_dir(), reason="the validation pairs may not be redistributed, and are not here")
def test_the_cards_numbers_come_out_and_beat_what_needs_no_model() -> None:
    pairs = find_pairs(SHARED_PAIRS, SHARED_PAIRS / "index.csv").split("val")
    subsets = evaluate(load_model("compact", device="cpu"), PairList(pairs.root, pairs.pairs))
    stated = [metric["value"] for metric in read_header(embedded_models()["compact"])["metrics"]]
    assert [each["value"] for each in as_metrics(subsets, "val")] == pytest.approx(stated, abs=0.02)
    scores = {(row.method, each.name): row.estimates for each in subsets for row in each.rows}
    for subset in ("all", "urban-like"):
        for floor in ("grey", "red"):
            assert scores["model", subset]["psnr"].value > scores[floor, subset]["psnr"].value + 1
            assert scores["model", subset]["ssim"].value > scores[floor, subset]["ssim"].value
