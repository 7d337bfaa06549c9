"""The folder of a detector's training."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nirgen.detect.config import DetectConfig
from nirgen.detect.examples import Example, Examples
from nirgen.detect.folder import RunFolder
from nirgen.detect.networks import read_network
from nirgen.detect.state import State
from nirgen.errors import ConfigError, OutputError
from nirgen.models.checkpoint import model_id

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = DetectConfig(model="fresh-tiny", size=64, keep=1)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "a.png")
    box = np.array([[6.0, 4, 30, 20]])
    example = Example("r/a.png", "r", False, tmp_path / "a.png", (40, 60), box, np.array([1]), box[:0])
    return Examples(tmp_path, "train", ("a", "b"), (example,), "d" * 64, "5" * 64)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def state() -> State:
    return State(CONFIG, read_network("fresh-tiny", categories=("a", "b")), torch.device("cpu"))


def test_the_model_says_what_trained_it_and_holds_the_average(run: Path, examples: Examples, state: State) -> None:
    folder = RunFolder(run, CONFIG, examples)
    with torch.no_grad():
        state.average.module.model.enc_score_head.bias.fill_(7)
    state.step = 3
    folder.save(state)
    values = json.loads((run / "model/nirgen.json").read_text())
    assert (values["schema"], values["steps"], values["of_steps"], values["seed"]) == (1, 3, 2000, 0)
    assert (values["names"], values["size"], values["ema"]) == (["a", "b"], 64, True)
    assert values["dataset"] == {
        "digest": "d" * 64,
        "sha256": "5" * 64,
        "keys_sha256": examples.keys_sha256,
        "split": "train",
        "images": 1,
        "generated": 0,
        "real": 1,
        "empty": 0,
        "origins": {"r": 1},
        "boxes": {"a": 0, "b": 1},
        "ignored": 0,
    }
    again = read_network(str(run / "model"), categories=())
    assert again.model.state_dict()["model.enc_score_head.bias"].tolist() == [7, 7]
    assert values["id"] == model_id(again.model.state_dict(), {"kind": "rt_detr_v2"})


def test_saving_exchanges_model_and_checkpoint_and_leaves_nothing_else(
    run: Path, examples: Examples, state: State
) -> None:
    folder = RunFolder(run, CONFIG, examples)
    for state.step in (1, 2):
        folder.save(state)
    assert sorted(path.name for path in run.iterdir()) == ["checkpoints", "model"]
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step_000002.pt"]
    assert folder.last()["step"] == 2


def test_a_model_that_a_kill_left_between_two_names_comes_back(run: Path, examples: Examples, state: State) -> None:
    folder = RunFolder(run, CONFIG, examples)
    folder.begin(0).__exit__()
    folder.save(state)
    (run / "model").rename(run / ".model.nirgen-old")
    (run / ".model.nirgen-building").mkdir()
    for folder in (run, run / "checkpoints"):
        (folder / ".nirgen-0123abcd.tmp").touch()
    RunFolder(run, CONFIG, examples).begin(0).__exit__()
    assert (run / "model/model.safetensors").is_file()
    assert sorted(path.name for path in run.rglob(".*")) == []


def test_clocks_and_places_are_in_run_json_alone(run: Path, examples: Examples, state: State, tmp_path: Path) -> None:
    folder = RunFolder(run, CONFIG, examples)
    folder.begin(0).__exit__()
    folder.save(state)
    folder.write_run_json(state, ended=True)
    values = json.loads((run / "run.json").read_text())
    assert (values["state"], values["dataset"], values["device"]) == ("ended", str(tmp_path), "cpu")
    for path in (run / "config.yaml", *(run / "model").glob("*.json")):
        assert str(tmp_path) not in path.read_text()


def test_a_folder_of_something_else_is_refused(run: Path, examples: Examples) -> None:
    (run / "holiday.jpg").touch()
    with pytest.raises(OutputError, match=r"run: holds no run, but 'holiday.jpg'; name a new folder"):
        RunFolder(run, CONFIG, examples)
    (run / "config.yaml").write_text("generator: compact\n")
    with pytest.raises(OutputError, match=r"run: holds a run of another kind \(config.yaml\); name a new folder"):
        RunFolder(run, CONFIG, examples)


def test_a_checkpoint_of_something_else_is_refused(run: Path, examples: Examples) -> None:
    folder = RunFolder(run, CONFIG, examples)
    folder.checkpoints.write({"step": 1, "best_step": 1})
    with pytest.raises(ConfigError, match=r"step_000001.pt: not of a detector; name a new folder"):
        folder.last()
