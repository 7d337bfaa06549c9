"""`nirgen adapt`, as a person runs it: to pairs, to NIR images alone, killed and resumed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import build, save

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig
    from nirgen.pairs import PairList

SMALL = [f"--set={name}" for name in ("size=32", "judged_size=32", "learning_rate=0.003", "curve=[1]", "checks=2")]


@pytest.fixture
def model(small_config: GeneratorConfig, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save(tmp_path / "old.safetensors", build(small_config).state_dict(), small_config)
    return tmp_path / "old.safetensors"


def test_from_pairs_to_a_model_and_its_curve(nirgen, model: Path, pairs: PairList, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("adapt", model, pairs.root, out, "--what", "all", "--steps", 8, *SMALL)
    code, text, _ = nirgen(*arguments)
    assert code == 0
    lines = text.splitlines()
    assert lines[0].split() == ["pairs", "method", "PSNR", "affine", "SSIM", "affine", "PSNR", "SSIM"]
    assert [line.split()[:2] for line in lines[1:9]] == [
        ["0", "grey"], ["0", "start"], ["1", "adapted"], ["1", "linear"], ["1", "trees"],
        ["4", "adapted"], ["4", "linear"], ["4", "trees"],
    ]  # fmt: skip
    assert lines[9].startswith("adapted (all, 8 steps); held-out pairs: ")
    assert lines[10].startswith("take the linear map (nirgen train linear) (mean of both PSNRs, dB: ")
    assert lines[11:] == [f"wrote: {out}/model.safetensors"]
    assert len(read_header(out / "model.safetensors")["training"]["pairs"]) == 6

    code, text, _ = nirgen(*arguments, "--json")
    assert json.loads(text)["outcome"] == "adapted"
    code, text, _ = nirgen("models", "info", out)
    assert code == 0

    code, _, errors = nirgen(*arguments, "--seed", 1)
    assert code == 1
    assert "holds an adaptation of another model" in errors


def test_a_killed_run_goes_on_to_the_same_bytes(nirgen, model: Path, pairs: PairList, tmp_path: Path) -> None:
    pairs.write(tmp_path / "pairs.csv")
    listed = ("--root", str(pairs.root), "--what", "last", "--steps", "6", *SMALL)
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    command = [sys.executable, "-m", "nirgen", "adapt", str(model), str(tmp_path / "pairs.csv"), str(cut), *listed]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (cut / "work" / "last-all-6-fold0.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (cut / "adapt.json").exists()

    assert nirgen("adapt", model, tmp_path / "pairs.csv", cut, *listed)[0] == 0
    assert nirgen("adapt", model, tmp_path / "pairs.csv", whole, *listed)[0] == 0
    names = ["adapt.json", "card.md", "curve.csv", "model.safetensors"]
    assert [(cut / name).read_bytes() == (whole / name).read_bytes() for name in names] == [True] * 4


def test_nir_images_alone_give_their_tones(nirgen, model: Path, pairs: PairList, tmp_path: Path) -> None:
    photos, nir, out = pairs.root / "train" / "rgb", tmp_path / "dark", tmp_path / "out"
    nir.mkdir()
    for path in (pairs.root / "train" / "nir").iterdir():
        with Image.open(path) as image:
            image.point(lambda level: level // 4).save(nir / path.name)
    code, text, _ = nirgen("adapt", model, nir, out, "--photos", photos, "--steps", 20, *SMALL)
    assert code == 0
    lines = text.splitlines()
    assert lines[0].startswith("adapted (tones alone, ")
    assert lines[1:] == [
        "no pair says whether the images are right: brightness and contrast were matched, not content",
        f"wrote: {out}/model.safetensors",
    ]
    assert "pairs" not in read_header(out / "model.safetensors")["training"]["adaptation"]

    code, _, errors = nirgen("adapt", model, photos, tmp_path / "swapped", "--photos", nir, *SMALL)
    assert code == 1
    assert "a.png: in colour, where a NIR image is expected" in errors


def test_wrong_usage_is_explained(nirgen, model: Path, save, tmp_path: Path) -> None:
    save(tmp_path / "nir" / "a.png")
    code, _, errors = nirgen("adapt", model, tmp_path / "nir", tmp_path / "out")
    assert code == 1
    assert errors.endswith("for NIR images without partners, give --photos DIR too\n")
    assert nirgen("adapt", model, tmp_path / "nir", tmp_path / "out", "--masks", tmp_path)[0] == 2
    assert not (tmp_path / "out").exists()
