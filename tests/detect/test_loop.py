"""A training from a dataset to a folder that transformers reads."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nirgen.dataset.build import build
from nirgen.detect.config import DetectConfig
from nirgen.detect.detector import load_detector
from nirgen.detect.folder import RunFolder
from nirgen.detect.loop import train as train_detector
from nirgen.detect.networks import read_network
from nirgen.detect.state import State
from nirgen.errors import ConfigError, ImageError, ModelError, OutputError
from nirgen.models.checkpoint import model_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.train.loop import Outcome, StepReport


CONFIG = DetectConfig(model="fresh-tiny", size=64, keep=1)
TRAINED_ON = {"sha256": "5" * 64, "keys_sha256": "6" * 64, "split": "train", "images": 1}


@pytest.fixture
def open_run(run_folder: Path, tmp_path: Path) -> Callable[[], RunFolder]:
    """Open the folder of a run that was trained on a dataset in `tmp_path`."""
    return lambda: RunFolder(run_folder, CONFIG, tmp_path, TRAINED_ON)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def state() -> State:
    return State(CONFIG, read_network("fresh-tiny", categories=("a", "b")), torch.device("cpu"))


def test_the_model_says_what_trained_it_and_holds_the_average(
    run_folder: Path, open_run: Callable[[], RunFolder], state: State
) -> None:
    folder = open_run()
    with torch.no_grad():
        state.average.module.model.enc_score_head.bias.fill_(7)
    state.step = 3
    folder.save(state)
    values = json.loads((run_folder / "model/nirgen.json").read_text())
    assert (values["schema"], values["steps"], values["of_steps"], values["seed"]) == (1, 3, 2000, 0)
    assert (values["names"], values["size"], values["ema"]) == (["a", "b"], 64, True)
    assert values["dataset"] == TRAINED_ON
    again = read_network(str(run_folder / "model"), categories=())
    assert again.model.state_dict()["model.enc_score_head.bias"].tolist() == [7, 7]
    assert values["id"] == model_id(again.model.state_dict(), {"kind": "rt_detr_v2"})


def test_saving_exchanges_model_and_checkpoint_and_leaves_nothing_else(
    run_folder: Path, open_run: Callable[[], RunFolder], state: State
) -> None:
    folder = open_run()
    for state.step in (1, 2):
        folder.save(state)
    assert sorted(path.name for path in run_folder.iterdir()) == ["checkpoints", "model"]
    assert [path.name for path in (run_folder / "checkpoints").iterdir()] == ["step_000002.pt"]
    assert folder.last().values["step"] == 2


def test_a_model_that_a_kill_left_between_two_names_comes_back(
    run_folder: Path, open_run: Callable[[], RunFolder], state: State
) -> None:
    folder = open_run()
    folder.begin(0).__exit__()
    folder.save(state)
    (run_folder / "model").rename(run_folder / ".model.nirgen-old")
    (run_folder / ".model.nirgen-building").mkdir()
    for folder in (run_folder, run_folder / "checkpoints"):
        (folder / ".nirgen-0123abcd.tmp").touch()
    open_run().begin(0).__exit__()
    assert (run_folder / "model/model.safetensors").is_file()
    assert sorted(path.name for path in run_folder.rglob(".*")) == []


def test_clocks_and_places_are_in_run_json_alone(
    run_folder: Path, open_run: Callable[[], RunFolder], state: State, tmp_path: Path
) -> None:
    folder = open_run()
    folder.begin(0).__exit__()
    folder.save(state)
    folder.write_run_json(state, ended=True)
    values = json.loads((run_folder / "run.json").read_text())
    assert (values["state"], values["dataset"], values["device"]) == ("ended", str(tmp_path), "cpu")
    for path in (run_folder / "config.yaml", *(run_folder / "model").glob("*.json")):
        assert str(tmp_path) not in path.read_text()


def test_a_folder_of_something_else_is_refused(run_folder: Path, open_run: Callable[[], RunFolder]) -> None:
    (run_folder / "holiday.jpg").touch()
    with pytest.raises(OutputError, match=r"run: holds no run, but 'holiday.jpg'; name a new folder"):
        open_run()
    (run_folder / "config.yaml").write_text("generator: compact\n")
    with pytest.raises(OutputError, match=r"run: holds a run of another kind \(config.yaml\); name a new folder"):
        open_run()


def test_a_checkpoint_of_something_else_is_refused(run_folder: Path, open_run: Callable[[], RunFolder]) -> None:
    folder = open_run()
    folder.checkpoints.write({"step": 1, "best_step": 1})
    with pytest.raises(ConfigError, match=r"step_000001.pt: not of a detector; name a new folder"):
        folder.last()


OURS = ("person", "bicycle", "car")


@pytest.fixture
def dataset(dataset_inputs: Callable[..., Any], plan_dataset: Callable[..., Any], tmp_path: Path) -> Path:
    """Three generated images and one real one in `train`: 30x20 pixels, a car on each."""
    build(plan_dataset(dataset_inputs()), tmp_path / "D")
    return tmp_path / "D"


@pytest.fixture
def train(dataset: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Train for four steps in a folder of `tmp_path`; keywords that aren't settings go to the function."""

    def run(name: str, **values: Any) -> Outcome:
        own = {key: values.pop(key) for key in ("images", "progress", "stopped", "say") if key in values}
        on = values.pop("dataset", dataset)
        settings = {
            "model": "fresh-tiny",
            "size": 64,
            "steps": 4,
            "batch": 2,
            "workers": 0,
            "validate_every": 0,
        } | values
        config = DetectConfig.read(settings, where="the test")
        return train_detector(on, tmp_path / name, config, device="cpu", **own)

    return run


def about(outcome: Outcome) -> dict[str, Any]:
    assert outcome.model is not None
    values: dict[str, Any] = json.loads((outcome.model / "nirgen.json").read_text())
    return values


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def stop_after(steps: int) -> tuple[Callable[[StepReport], None], Callable[[], bool]]:
    """A reporter that counts steps, and whether there were that many."""
    seen: list[int] = []
    return (lambda progress: seen.append(progress.step)), (lambda: len(seen) + 1 >= steps)


def test_two_runs_of_a_seed_are_equal_bit_for_bit_and_another_seed_is_not(train: Callable[..., Outcome]) -> None:
    first, second, other = train("a"), train("b", workers=2), train("c", seed=1)
    assert first.finished
    assert first.steps == 4
    assert about(first)["id"] == about(second)["id"] != about(other)["id"]
    for name in ("model.safetensors", "config.json", "preprocessor_config.json", "nirgen.json"):
        assert (first.model / name).read_bytes() == (second.model / name).read_bytes()


def test_a_device_without_enough_memory_is_one_line(train: Callable[..., Outcome]) -> None:
    def fill(_progress: StepReport) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(ConfigError, match=r"step 2: cpu has not enough memory for 2 images of 64 .*; lower batch"):
        train("a", progress=fill)


def test_a_run_that_was_stopped_and_goes_on_equals_an_undisturbed_one(
    train: Callable[..., Outcome], tmp_path: Path
) -> None:
    progress, stopped = stop_after(2)
    part = train("part", progress=progress, stopped=stopped, log_steps=1)
    assert (part.finished, part.steps, about(part)["steps"]) == (False, 2, 2)
    seen: list[int] = []
    rest = train("part", progress=lambda now: seen.append(now.step), log_steps=1)
    whole = train("whole", log_steps=1)
    assert (rest.finished, seen) == (True, [3, 4])
    for name in ("model.safetensors", "config.json", "preprocessor_config.json", "nirgen.json"):
        assert (rest.model / name).read_bytes() == (whole.model / name).read_bytes()
    timeless = [[{**line, "minutes": 0} for line in lines(tmp_path / name)] for name in ("part", "whole")]
    assert timeless[0] == timeless[1]
    assert [line["step"] for line in timeless[0]] == [1, 2, 3, 4]


def test_a_run_at_its_end_stays_as_it_is(train: Callable[..., Outcome]) -> None:
    first = train("run", steps=1)
    before = (first.model / "model.safetensors").stat().st_mtime_ns
    seen: list[int] = []
    again = train("run", steps=1, progress=lambda now: seen.append(now.step))
    assert (again.finished, again.steps, seen) == (True, 1, [])
    assert (first.model / "model.safetensors").stat().st_mtime_ns == before


def test_what_was_trained_is_loaded_by_the_name_of_its_run_and_trained_further(
    train: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = train("run", steps=1)
    detector = load_detector(tmp_path / "run", categories=("car", "person"), device="cpu")
    assert (detector.id, detector.size) == (about(outcome)["id"], 64)
    assert (detector.names, detector.sources) == (("car", "person"), ((2,), (0,)))
    further = train("further", model=str(tmp_path / "run"), steps=1)
    assert about(further)["start"] == {
        "model": "run",
        "kind": "rt_detr_v2",
        "id": about(outcome)["id"],
        "rows": {name: name for name in OURS},
    }


def test_the_images_can_be_chosen(train: Callable[..., Outcome]) -> None:
    real = train("real", images=["ranus/01/x.png"], steps=1)
    assert {key: about(real)["dataset"][key] for key in ("images", "generated", "real", "origins")} == {
        "images": 1,
        "generated": 0,
        "real": 1,
        "origins": {"ranus": 1},
    }


def test_the_random_numbers_of_the_caller_are_left_alone(train: Callable[..., Outcome]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train("run", steps=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_diverges_is_one_line_with_what_is_left(train: Callable[..., Outcome], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train("run", steps=50, learning_rate=1e30, warmup=0, checkpoint_steps=1)
    text = str(caught.value)
    assert text.startswith("step 2: the boxes are nan; ")
    assert f"the last good checkpoint is {tmp_path}/run/checkpoints/step_000001.pt; lower learning_rate" in text


def test_an_image_that_is_damaged_is_named(train: Callable[..., Outcome], dataset: Path) -> None:
    path = dataset / "images/bdd/b.png"
    path.unlink()
    path.write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"b\.png"):
        train("run", batch=4)


def test_a_folder_with_a_run_of_other_options_or_on_other_images_is_refused(
    train: Callable[..., Outcome], dataset: Path, tmp_path: Path
) -> None:
    def refusal(**values: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            train("run", **{"steps": 1} | values)
        return str(caught.value).removeprefix(f"{tmp_path}/run: holds a run of other settings ")

    train("run", steps=1)
    assert refusal(steps=5) == "(steps: 1 -> 5); name a new folder"
    assert refusal(augment={"crop": 0}, seed=2) == "(augment.crop: 0.5 -> 0.0; seed: 0 -> 2); name a new folder"
    assert refusal(images=["bdd/a.jpg"]) == "(other images of the dataset); name a new folder"
    path = dataset / "dataset.json"
    path.write_text(path.read_text() + "\n")
    assert refusal() == "(another dataset); name a new folder"


def test_an_altered_model_is_refused_and_the_same_run_writes_it_anew(
    train: Callable[..., Outcome], tmp_path: Path
) -> None:
    model, said = train("run").model, list[str]()
    whole = {path.name: path.read_bytes() for path in model.iterdir()}
    config = model / "config.json"
    config.write_bytes(whole["config.json"].replace(b'"dropout": 0.0', b'"dropout": 0.1'))
    assert config.read_bytes() != whole["config.json"]
    problem = f"{config}: damaged or altered since it was written"
    with pytest.raises(ModelError, match=re.escape(f"{problem}; run the same 'nirgen detect train' again")):
        load_detector(tmp_path / "run", categories=OURS, device="cpu")
    train("run", say=said.append)
    assert said == [problem]
    assert {path.name: path.read_bytes() for path in model.iterdir()} == whole


VALIDATED = {"steps": 6, "validate_every": 2, "log_steps": 1, "learning_rate": 0.002}


@pytest.fixture
def validated(made_dataset: Callable[..., Path], tmp_path: Path) -> Path:
    """Two images to train on and two to validate on."""
    return made_dataset(tmp_path / "V", real=2, generated=0, test=0, val=2)


def test_a_validated_run_that_was_stopped_and_goes_on_equals_an_undisturbed_one(
    train: Callable[..., Outcome], validated: Path, tmp_path: Path
) -> None:
    progress, stopped = stop_after(4)  # at a validation, which then waits for the next sitting
    part = train("part", dataset=validated, progress=progress, stopped=stopped, **VALIDATED)
    assert (part.finished, part.steps, about(part)["steps"]) == (False, 4, 2)
    rest, whole = (train(name, dataset=validated, **VALIDATED) for name in ("part", "whole"))
    for name in (
        "model/model.safetensors",
        "model/nirgen.json",
        "validation/detections.json",
        "validation/metrics.json",
    ):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    timeless = [[{**line, "minutes": 0} for line in lines(tmp_path / name)] for name in ("part", "whole")]
    assert timeless[0] == timeless[1]
    assert [line["step"] for line in timeless[0] if "validation" in line] == [2, 4, 6]
    assert (rest.ap, rest.model_step) == (whole.ap, whole.model_step)


def test_the_model_holds_the_weights_of_the_highest_ap(
    train: Callable[..., Outcome], validated: Path, tmp_path: Path
) -> None:
    outcome = train("run", dataset=validated, **VALIDATED)
    scores = [(line["validation"]["ap"], line["step"]) for line in lines(tmp_path / "run") if "validation" in line]
    best, step = max(scores)
    assert (about(outcome)["steps"], about(outcome)["validation"]) == (
        step,
        {"split": "val", "images": 2, "real": True, "ap": best},
    )
    metrics = json.loads((tmp_path / "run/validation/metrics.json").read_text())
    assert metrics["judged"]["model_id"] == about(outcome)["id"]
    assert metrics["numbers"]["ap"]["value"] == pytest.approx(best, abs=1e-6)


def test_a_run_ends_after_validations_without_a_higher_ap(
    train: Callable[..., Outcome], validated: Path, tmp_path: Path
) -> None:
    settings = VALIDATED | {"steps": 50, "validate_every": 1, "patience": 2, "learning_rate": 1e-9}
    outcome = train("run", dataset=validated, **settings)
    assert (outcome.finished, outcome.steps < 50) == (True, True)
    seen: list[int] = []
    again = train("run", dataset=validated, progress=lambda now: seen.append(now.step), **settings)
    assert (again.finished, again.steps, seen) == (True, outcome.steps, [])
