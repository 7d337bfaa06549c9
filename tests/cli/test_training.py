"""`nirgen pairs`, `train`, `evaluate` and `models info`, one after the other, as a person runs them."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from nirgen.cli import main
from nirgen.models.checkpoint import build, read_header, save
from nirgen.train import TrainConfig, Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig
    from nirgen.pairs import PairList


@pytest.fixture
def nirgen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command; its exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nirgen", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def settings(tmp_path: Path, small_config: GeneratorConfig) -> Path:
    values = {
        "generator": small_config.model_dump(mode="json"),
        "stages": [{"share": 1, "size": 64, "batch": 1, "adversarial": False}],
        "steps": 2,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "run.yaml"


def test_from_two_folders_to_numbers(nirgen, pairs: PairList, settings: Path, tmp_path: Path) -> None:
    listing, run = tmp_path / "pairs.csv", tmp_path / "run"
    assert nirgen("pairs", pairs.root, "--out", listing) == (0, f"{listing}: 4 train, 2 val\n", "")

    options = ("--root", pairs.root, "--config", settings, "--seed", 7)
    code, out, _ = nirgen("train", listing, run, *options, "--licence", "MIT")
    assert (code, out.splitlines()[-1]) == (0, f"{run}/model.safetensors")
    judged = [line for line in out.splitlines() if line.startswith("model")]
    header = read_header(run / "model.safetensors")
    assert [(metric["name"], metric["on"]) for metric in header["metrics"]] == [
        (name, f"val, {subset}: 2 images at 256x256")
        for subset in ("all", "not urban-like")
        for name in ("PSNR dB", "SSIM")
    ]
    assert f"{header['metrics'][0]['value']:.2f}" in judged[0]
    assert header["licence"] == "MIT"
    assert json.loads((run / "config.json").read_text())["seed"] == 7

    code, out, _ = nirgen("evaluate", listing, "--root", pairs.root, "--model", run, "--size", 32, "--device", "cpu")
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines() if " all " in line] == [
        ["model", "all", "2"],
        ["luma", "all", "2"],
        ["red", "all", "2"],
        ["linear", "all", "2"],
    ]

    code, out, _ = nirgen("models", "info", run)
    assert code == 0
    assert "4 pairs, 2 steps" in out


def test_numbers_come_as_json(nirgen, pairs: PairList, settings: Path, tmp_path: Path) -> None:
    pairs.write(tmp_path / "pairs.csv")
    nirgen("train", tmp_path / "pairs.csv", tmp_path / "run", "--root", pairs.root, "--config", settings)
    arguments = ("--root", pairs.root, "--model", tmp_path / "run", "--size", 32, "--device", "cpu", "--json")
    code, out, _ = nirgen("evaluate", tmp_path / "pairs.csv", *arguments)
    assert code == 0
    first = json.loads(out)[0]
    assert (first["method"], first["subset"], first["images"]) == ("model", "all", 2)
    assert 0 < first["psnr"] < 40


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_says_in_one_line_what_is_kept(
    nirgen, pairs: PairList, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: signal.Signals
) -> None:
    pairs.write(tmp_path / "pairs.csv")
    step = Trainer.step

    def interrupted(self: Trainer, progress: float) -> dict[str, float]:
        if progress > 0:
            signal.raise_signal(by)
        return step(self, progress)

    monkeypatch.setattr(Trainer, "step", interrupted)
    arguments = (tmp_path / "pairs.csv", tmp_path / "run", "--root", pairs.root, "--config", settings)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        code, out, error = nirgen("train", *arguments, "--device", "cpu")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, out, error.count("\n")) == (130, "", 1)
    assert f"interrupted: the model so far is {tmp_path}/run/model.safetensors" in error
    assert read_header(tmp_path / "run/model.safetensors")["training"]["steps"] == 1


@pytest.mark.parametrize("command", ["pairs", "train", "import", "export"])
def test_what_lies_where_a_file_should_go_is_one_line(
    nirgen, pairs: PairList, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "file").touch()
    pairs.write(tmp_path / "pairs.csv")
    monkeypatch.setattr("nirgen.models.importing.GeneratorConfig.released", lambda: small)
    small = TrainConfig.read(yaml.safe_load(settings.read_text()), where="").generator
    monkeypatch.setattr("nirgen.models.importing.released.ours", str)
    state = build(small).state_dict()
    monkeypatch.setattr("nirgen.models.importing.read_foreign", lambda path: state)
    model, inside = tmp_path / "m.safetensors", tmp_path / "file/m"
    save(model, state, small)
    arguments = {
        "pairs": ("pairs", pairs.root, "--out", inside),
        "train": ("train", tmp_path / "pairs.csv", inside, "--root", pairs.root, "--config", settings),
        "import": ("models", "import", model, inside.with_suffix(".safetensors")),
        "export": ("models", "export", model, inside),
    }[command]
    code, _, error = nirgen(*arguments)
    assert (code, error.count("\n")) == (1, 1)
    assert "file" in error
    assert "can't be made a folder" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stpes: 3", "run.yaml: unknown key 'stpes'; did you mean 'steps'?"),
        ("steps: 0", "run.yaml: 'steps': Input should be greater than or equal to 1 (it is 0)"),
        ("- 1", "run.yaml: holds a list; write settings as 'name: value'"),
        ("a: [", "run.yaml: can't be read as YAML"),
        (None, "run.yaml: can't be read as YAML"),
        (
            "generator: {output_channels: 3}",
            "run.yaml: discriminator.in_channels is 4, but RGB and the generator's output have 6\n",
        ),
        ("generator: {extractor: {kind: internimg}}", "run.yaml: 'generator.extractor': "),
        (
            "generator: {extractor: {kind: timm, name: resnet81}}",
            "extractor 'resnet81': timm has no such backbone; did you mean 'resnet",
        ),
    ],
)
def test_settings_that_can_not_be_used_are_one_line(
    nirgen, pairs: PairList, tmp_path: Path, text: str | None, message: str
) -> None:
    pairs.write(tmp_path / "pairs.csv")
    if text is not None:
        (tmp_path / "run.yaml").write_text(text)
    arguments = ("--root", pairs.root, "--config", tmp_path / "run.yaml")
    code, out, error = nirgen("train", tmp_path / "pairs.csv", tmp_path / "run", *arguments)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error
    assert not (tmp_path / "run").exists()
