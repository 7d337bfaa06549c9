"""`nirgen detect train`, as a person runs it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nirgen.dataset.build import build
from nirgen.detect.config import DetectConfig
from nirgen.detect.loop import train as train_detector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


TINY = (
    *("--model", "fresh-tiny", "--size", 64, "--batch", 2, "--set", "workers=0", "--device", "cpu"),
    *("--validate-every", 0),
)
COUNTS = "4 images of 'train' (1 real, 3 generated, 0 without boxes); boxes: 0 person, 1 bicycle, 4 car; 0 to ignore"


@pytest.fixture
def dataset(dataset_inputs: Callable[..., Any], plan_dataset: Callable[..., Any], tmp_path: Path) -> Path:
    """Three generated images and one real one in `train`: 30x20 pixels, a car on each."""
    build(plan_dataset(dataset_inputs()), tmp_path / "D")
    return tmp_path / "D"


def test_a_dataset_becomes_a_model_and_the_same_command_finds_it_done(nirgen, dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "R"
    code, out, error = nirgen("detect", "train", dataset, run, *TINY, "--steps", 3, "--seed", 7)
    assert code == 0, error
    assert out.splitlines() == [
        "trained for 3 steps, without validation: evaluate it before you use it",
        f"wrote: {run}/model, {run}/curves.png",
    ]
    first = error.splitlines()
    assert first[:4] == [
        f"training on {COUNTS}",
        "from fresh-tiny: 3 steps of 2 images at 64x64 pixels (1.5 epochs), learning rate 0.0001",
        "no validation, for validate_every is 0; the last weights are kept",
        f"all settings: {run}/config.yaml",
    ]
    assert "train: 1/3, " in error
    assert "train: 3/3, " in error
    assert ": loss " in error
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert (settings["steps"], settings["seed"], settings["batch"]) == (3, 7, 2)
    about = json.loads((run / "model/nirgen.json").read_text())
    assert (about["steps"], about["seed"], about["names"]) == (3, 7, ["person", "bicycle", "car"])
    assert {path.name for path in run.iterdir()} >= {
        "config.yaml",
        "log.jsonl",
        "curves.png",
        "run.json",
        "checkpoints",
    }

    code, again, error = nirgen("detect", "train", dataset, run, *TINY, "--steps", 3, "--seed", 7)
    assert (code, again, "train: " in error) == (0, out, False)
    code, _, error = nirgen("detect", "train", dataset, run, *TINY, "--steps", 4, "--seed", 7)
    assert (code, error.splitlines()[-1]) == (
        1,
        f"error: {run}: holds a run of other settings (steps: 3 -> 4); name a new folder",
    )


def test_a_run_with_images_to_validate_on_ends_with_its_ap_and_pictures(
    nirgen, made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    data, run = made_dataset(tmp_path / "V", real=2, generated=1, test=1, val=2), tmp_path / "R"
    code, out, error = nirgen(
        "detect", "train", data, run, *TINY, "--steps", 4, "--validate-every", 2, "--balance-classes", 0.8
    )
    assert code == 0, error
    assert "images of rare classes are repeated: person 1.55 x" in error.splitlines()
    assert "validating on 2 real images of 'val' every 2 steps; the best weights are kept" in error.splitlines()
    reached, wrote = out.splitlines()
    step = json.loads((run / "model/nirgen.json").read_text())["steps"]
    assert re.match(rf"AP 0\.\d{{4}} on 2 real images of 'val', at step {step} of 4", reached)
    assert wrote == f"wrote: {run}/model, {run}/curves.png, {run}/validation"
    assert {path.name for path in (run / "validation").iterdir()} == {
        "confusion_matrix.png",
        "detections.json",
        "metrics.json",
        "precision_recall.png",
        "predictions.png",
    }


def test_a_dry_run_prints_settings_and_counts_and_writes_nothing(nirgen, dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("steps: 50\naugment: {crop: 0.2, flip: 0}\n")
    arguments = ("--config", file, "--set", "augment.crop=1", "--learning-rate", 0.01, "--dry-run")
    code, out, error = nirgen("detect", "train", dataset, tmp_path / "R", *arguments)
    assert code == 0, error
    values = yaml.safe_load(out)
    assert (values["steps"], values["learning_rate"], values["batch"]) == (50, 0.01, 8)
    assert values["augment"] == {"crop": 1.0, "flip": 0.0, "smallest_crop": 0.6, "smallest_visible": 0.3}
    assert error.splitlines()[0] == f"# training on {COUNTS}"
    assert not (tmp_path / "R").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "stpes=3"), "the command line with --set: unknown key 'stpes'; did you mean 'steps'?"),
        (("--set", "augment.flop=3"), "the command line with --set: unknown key 'augment.flop'; did you mean 'flip'?"),
        (("--set", "steps"), "--set steps: no value; write it as --set NAME=VALUE"),
        (("--set", "steps=["), "--set steps=[: '[' is no YAML value"),
        (("--set", "seed=1", "--set", "seed.x=1"), "--set seed.x: 'seed' is a value and has no 'x'"),
        (
            ("--set", "batch=0"),
            "the command line with --set: 'batch': Input should be greater than or equal to 1 (it is 0)",
        ),
        (("--size", "100"), "the command line: 'size': 100 is no multiple of 32; the next one is 128"),
        (("--config", "missing.yaml"), "missing.yaml: can't be read as YAML ("),
        (("--config", "list.yaml"), "list.yaml: holds a list; write settings as 'name: value'"),
        (("--model", "D"), "D: no model (no config.json); name a run folder, or one that transformers wrote"),
        (("--model", "fresh-tiny", "--device", "gpu"), "device 'gpu' can't be used ("),
        (("--model", "fresh-tiny", "--set", "split=train", "--set", "augment.crop=x"), "'augment.crop': "),
    ],
)
def test_what_can_not_be_done_is_one_line(
    nirgen, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("- 1\n")
    code, _, error = nirgen("detect", "train", "D", "R", *arguments)
    last = error.splitlines()[-1]
    assert code == 1
    assert last.startswith("error: ")
    assert message in last
    assert not (tmp_path / "R").exists()


def test_what_is_no_dataset_is_one_line_before_anything_is_printed(nirgen, tmp_path: Path) -> None:
    code, out, error = nirgen("detect", "train", tmp_path, tmp_path / "R", *TINY)
    assert (code, out) == (1, "")
    assert error == (
        f"error: {tmp_path}: no dataset of nirgen's (dataset.json: No such file or directory); name a folder that "
        "'nirgen build-dataset' wrote\n"
    )


def test_without_transformers_the_extra_is_named(
    nirgen, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, _, error = nirgen("detect", "train", dataset, tmp_path / "R", *TINY)
    assert (code, error.splitlines()[-1]) == (
        1,
        "error: detection needs transformers, which isn't installed; pip install 'nirgen[detect]'",
    )


def test_a_training_that_is_asked_to_stop_saves_and_says_how_to_go_on(running, dataset: Path, tmp_path: Path) -> None:
    arguments = [dataset, tmp_path / "R", *TINY, "--steps", 100000, "--set", "checkpoint_steps=2"]
    with running(sys.executable, "-m", "nirgen", "detect", "train", *arguments) as process:
        process.until(lambda: list(tmp_path.glob("R/checkpoints/*.pt")))
        process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    assert process.returncode == 130, error
    assert out.splitlines()[-1] == f"{tmp_path}/R/model"
    assert "stopping: finishing what is in flight; press Ctrl-C again to stop at once" in error
    last = max(int(path.stem.removeprefix("step_")) for path in tmp_path.glob("R/checkpoints/*.pt"))
    assert f"stopped after step {last}; the same command goes on from there" in error
    assert json.loads((tmp_path / "R/model/nirgen.json").read_text())["steps"] == last


def test_a_killed_training_ends_with_the_best_weights_of_an_undisturbed_one(
    nirgen, running, made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    data = made_dataset(tmp_path / "V", real=2, generated=0, test=0, val=1)
    settings = (*TINY, "--steps", 14, "--validate-every", 4, "--learning-rate", 0.002, "--set", "checkpoint_steps=3")
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    with running(sys.executable, "-m", "nirgen", "detect", "train", data, killed, *settings) as process:
        process.until(lambda: list(killed.glob("checkpoints/*.pt")))
        process.kill()
    printed = [nirgen("detect", "train", data, run, *settings)[1].splitlines()[0] for run in (killed, straight)]
    assert printed[0] == printed[1]
    names = ("model/model.safetensors", "model/nirgen.json", "validation/detections.json", "validation/metrics.json")
    for name in names:
        assert (killed / name).read_bytes() == (straight / name).read_bytes()


def test_a_run_folder_that_goes_away_in_mid_run_is_no_success_and_the_same_command_mends_it(
    nirgen, running, dataset: Path, tmp_path: Path
) -> None:
    arguments = [dataset, tmp_path / "R", *TINY, "--steps", 20, "--set", "checkpoint_steps=2"]
    with running(sys.executable, "-m", "nirgen", "detect", "train", *arguments) as process:
        process.until(lambda: list(tmp_path.glob("R/checkpoints/*.pt")))
        process.send_signal(signal.SIGSTOP)
        shutil.rmtree(tmp_path / "R")
        process.send_signal(signal.SIGCONT)
        error = process.communicate(timeout=600)[1]
    last = error.splitlines()[-1]
    assert process.returncode == 1, error
    assert last.startswith(f"error: {tmp_path}/R: was removed or replaced while the run was at work, and what it held")
    assert last.endswith("run the same command again to go on from it")
    assert nirgen("detect", "train", *arguments)[0] == 0
    assert json.loads((tmp_path / "R/model/nirgen.json").read_text())["steps"] == 20


def test_a_detector_learns_from_real_photographs_turned_to_nir(nirgen, shared_data: Path, tmp_path: Path) -> None:
    photos = sorted((shared_data / "coco/train2017").glob("*.jpg"))[:10]
    (tmp_path / "list.txt").write_text("".join(f"{path.name}\n" for path in photos))
    nir, labels, dataset, run = (tmp_path / name for name in ("nir", "labels.json", "D", "R"))
    source = (shared_data / "coco/train2017", nir, "--list", tmp_path / "list.txt")
    for command in (
        ("translate", *source, "--model", "compact", "--device", "cpu", "--size", "96x128"),
        ("labels", shared_data / "coco/instances_train2017.json", "-o", labels),
        ("build-dataset", f"coco={nir}", labels, dataset, "--yes"),
        ("detect", "train", dataset, run, *TINY, "--steps", 24, "--set", "log_steps=1", "--learning-rate", 0.002),
    ):
        code, _, error = nirgen(*command)
        assert code == 0, error
    about = json.loads((run / "model/nirgen.json").read_text())["dataset"]
    assert (about["images"], about["generated"], about["real"]) == (10, 10, 0)
    assert about["boxes"]["person"] > 0
    losses = [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 24
    assert sum(losses[-6:]) < 0.7 * sum(losses[:6])


def test_a_full_disk_keeps_the_last_checkpoint_and_says_so_in_one_line(
    nirgen, on_a_small_disk, made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    data = made_dataset(tmp_path / "V", real=2, generated=0, test=0, val=1)
    words = [*TINY, "--validate-every", 2, "--set", "checkpoint_steps=1", "--set", "keep=1000", "--steps"]
    train = shlex.join(map(str, [sys.executable, "-m", "nirgen", "detect", "train", data, "R", *words, 1000]))
    done = on_a_small_disk(f"{{ {train}; code=$?; cp -r R {tmp_path}/copy; exit $code; }}")
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: R: can't be written any more (")
    newest = max((tmp_path / "copy/checkpoints").glob("*.pt"))
    assert f"the last good checkpoint is R/checkpoints/{newest.name}: make room and run the same command again" in last
    assert not list((tmp_path / "copy").rglob("*.tmp"))
    steps: list[int] = []
    outcome = train_detector(
        data,
        tmp_path / "copy",
        DetectConfig.load(tmp_path / "copy/config.yaml"),
        device="cpu",
        progress=lambda at: steps.append(at.step),
        stopped=lambda: True,
    )
    taken_up = int(newest.stem.removeprefix("step_")) + 1
    assert (steps, outcome.steps) == ([taken_up], taken_up)
