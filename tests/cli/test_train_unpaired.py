"""`nirgen train` without pairs, on two folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import yaml
from PIL import Image

from nirgen.models.catalog import read_header
from nirgen.pairs import PairList
from nirgen.pairs.unpaired import list_unpaired
from nirgen.train.checkpoints import Checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folders(save: Callable[..., Path], tmp_path: Path) -> tuple[object, ...]:
    """Three photos and two NIR images of other sizes."""
    for seed in range(3):
        save(tmp_path / "photos" / f"deep/{seed}.png", 40, 50, 20 + seed)
    for seed in range(2):
        path = save(tmp_path / "nirs" / f"n{seed}.png", 70, 36, 30 + seed)
        with Image.open(path) as image:
            grey = image.convert("L")
        grey.save(path)
    return "--rgb", tmp_path / "photos", "--nir", tmp_path / "nirs"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    values = {
        "preset": "cyclegan",
        "generator": {"filters": 2, "blocks": 1},
        "discriminator": {"filters": 2},
        "stages": [{"size": 32, "batch": 1}],
        "compute": {"precision": "fp32"},
        "save": {"log_steps": 1, "validation_size": 32},
        "epochs": None,
        "steps": 3,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "run.yaml"


def test_two_folders_without_pairs_make_a_model(nirgen, folders, settings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, _, error = nirgen("train", settings, run, *folders, "--dry-run")
    assert (code, run.exists()) == (0, False)
    assert "# 3 photos and 2 NIR images to train on, drawn independently, 0 pairs for validation" in error
    code, out, error = nirgen("train", settings, run, *folders, "--device", "cpu")
    assert (code, "note: no pairs of the split 'val' judge the run" in error) == (0, True)
    assert "trained; no pairs of the split 'val' judge it" in out
    training = read_header(run / "model.safetensors")["training"]
    assert [pair["name"] for pair in training["pairs"]] == ["deep/0+n0", "deep/1+n1", "deep/2+n0"]
    assert not {"rgb", "nir"} & training["config"]["data"].keys()  # no folders of this machine
    assert nirgen("translate", tmp_path / "photos", tmp_path / "out", "--model", run, "--device", "cpu")[0] == 0
    assert len(list((tmp_path / "out").rglob("deep/*.png"))) == 3


@pytest.mark.parametrize(
    "changes",
    [{"losses": {"cycle": {"pool": 4}}}, {"preset": "munit", "discriminator": {"filters": 2, "scales": 1}}],
    ids=["cycle", "latent"],
)
def test_a_killed_run_goes_on_to_the_bit(
    nirgen, running, folders, settings: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    saved = {"save": {"log_steps": 1, "checkpoint_steps": 4}, "steps": 10}
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | changes | saved))
    words = ("train", settings, tmp_path / "killed", *folders, "--device", "cpu")
    process = running(sys.executable, "-m", "nirgen", *words)
    process.until(lambda: list(tmp_path.glob("killed/checkpoints/*.pt")))
    process.kill()
    process.wait(60)
    for run in ("killed", "straight"):
        assert nirgen("train", settings, tmp_path / run, *folders, "--device", "cpu")[0] == 0
    killed, straight = (Checkpoints(tmp_path / run / "checkpoints", 1).last().values for run in ("killed", "straight"))
    assert killed["step"] == straight["step"] == 10
    for part in ("generator", "reverse", "discriminator", "average"):
        assert [name for name, tensor in killed[part].items() if not torch.equal(tensor, straight[part][name])] == []
    for pool in ("nir_pool", "rgb_pool"):
        images = [torch.stack(part[pool]["images"] or [torch.zeros(1)]) for part in (killed, straight)]
        assert torch.equal(*images)
        assert len(images[0]) == (4 if "losses" in changes else 1)


def test_pairs_beside_the_folders_judge_alone(nirgen, pairs: PairList, folders, settings: Path, tmp_path: Path) -> None:
    pairs.write(tmp_path / "pairs.csv")
    run, listing = tmp_path / "run", ("--pairs", tmp_path / "pairs.csv", "--root", pairs.root)
    code, out, error = nirgen("train", settings, run, *folders, *listing, "--device", "cpu")
    assert (code, "note: no pairs" in error) == (0, False)
    assert "model is " in out
    assert len(read_header(run / "model.safetensors")["training"]["pairs"]) == 3
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert sum("validation" in line for line in lines) == 1

    copied = pairs.root / "val/rgb/e.png"
    (tmp_path / "photos/copy.png").write_bytes(copied.read_bytes())
    code, _, error = nirgen("train", settings, tmp_path / "other", *folders, *listing, "--device", "cpu")
    assert (code, error.splitlines()[-1].count("has the bytes of")) == (1, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cyclegan", "--rgb", "photos"), "data.rgb and data.nir are two folders; give both or none"),
        (("pix2pix", "--rgb", "photos", "--nir", "nirs"), "are for methods without pairs, as of cyclegan"),
        (("linear", "--rgb", "photos", "--nir", "nirs"), "data.rgb"),
        (("cyclegan", "--rgb", "photos", "--nir", "empty"), "empty: no images there; name a folder of them"),
        (
            ("cyclegan", "--rgb", "photos", "--nir", "photos"),
            "the folder of the photos and of the NIR images; name two",
        ),
        (("cyclegan",), "no pairs are named"),
    ],
    ids=["one", "paired", "baseline", "empty", "same", "none"],
)
def test_folders_that_cannot_be_trained_on_are_refused_in_one_line(
    nirgen, folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, _, error = nirgen("train", words[0], "run", *words[1:])
    assert code == 1
    assert said in error.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_list_without_partners_keeps_the_other_splits_of_another(pairs: PairList, folders, tmp_path: Path) -> None:
    listed = list_unpaired(tmp_path / "photos", tmp_path / "nirs", pairs)
    assert [pair.split for pair in listed.pairs] == ["train"] * 3 + ["val"] * 2
    assert [pair.name for pair in listed.split("val").pairs] == ["e", "f"]
    assert all((listed.root / getattr(pair, side)).is_file() for pair in listed.pairs for side in ("rgb", "nir"))
    assert {pair.category for pair in listed.split("train").pairs} == {"unpaired"}
    alone = list_unpaired(tmp_path / "photos", tmp_path / "nirs", PairList(Path("/dev"), pairs.split("train").pairs))
    assert alone.pairs == list_unpaired(tmp_path / "photos", tmp_path / "nirs").pairs
