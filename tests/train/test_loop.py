from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open

from nirgen.errors import ConfigError, ImageError, NirgenError, OutputError
from nirgen.model import load_model
from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import TimmConfig
from nirgen.pairs import PairList, find_pairs
from nirgen.train import train
from nirgen.train.checkpoints import Checkpoints
from nirgen.train.config import Stage, TrainConfig
from nirgen.train.loop import StepReport, learning_rate_factor

if TYPE_CHECKING:
    from pathlib import Path


def changed(config: TrainConfig, **groups: object) -> TrainConfig:
    """The configuration with changes; those of a group as a mapping."""
    return config.model_copy(
        update={
            name: getattr(config, name).model_copy(update=value) if isinstance(value, dict) else value
            for name, value in groups.items()
        }
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    """Everything that is learned, out of a run's last checkpoint."""
    values = Checkpoints(run / "checkpoints", 1).read(Checkpoints(run / "checkpoints", 1).newest())
    return {
        f"{part}.{name}": tensor
        for part in ("generator", "average", "discriminator")
        for name, tensor in values[part].items()
    }


class After:
    """Asks to stop once so many steps are done."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_run_folder_explains_itself(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    seen: list[StepReport] = []
    outcome = train(pairs, config, tmp_path / "run", report=seen.append)
    assert (outcome.model, outcome.steps, outcome.finished) == (tmp_path / "run/model.safetensors", 4, True)
    assert [(one.step, one.progress) for one in seen] == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        ".lock",
        "best.safetensors",
        "card.md",
        "checkpoints",
        "config.yaml",
        "curves.png",
        "linear.json",
        "log.jsonl",
        "model.safetensors",
        "pairs.csv",
        "run.json",
        "samples",
        "tensorboard",
    ]
    settings = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert TrainConfig.read(settings, where="config.yaml") == config
    listed = [line.split(",")[0] for line in (tmp_path / "run/pairs.csv").read_text().splitlines()]
    assert listed == ["name", "a", "b", "c", "d"]
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert (about["state"], about["steps"], about["device"], about["torch"]) == ("ended", 4, "cpu", torch.__version__)
    assert about["threads"] == torch.get_num_threads()
    assert [path.name for path in (tmp_path / "run/samples").iterdir()] == ["step_000004.png"]
    with Image.open(tmp_path / "run/samples/step_000004.png") as picture:
        assert picture.size == (996, 730)  # RGB, generated, real of 320 pixels; two validation pairs, with their names
    assert next((tmp_path / "run/tensorboard").iterdir()).name.startswith("events.out.tfevents")

    training = read_header(outcome.model)["training"]
    assert (training["steps"], training["ema"], training["start_model_id"]) == (4, True, None)
    assert [pair["name"] for pair in training["pairs"]] == ["a", "b", "c", "d"]
    assert load_model(tmp_path / "run", device="cpu")(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30)
    assert str(tmp_path).encode() not in outcome.model.read_bytes()


def test_resuming_gives_the_weights_of_a_run_that_never_stopped(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    train(pairs, config, tmp_path / "straight")
    for done, steps in ((1, 1), (3, 2), (4, 9)):
        outcome = train(pairs, config, tmp_path / "resumed", stopped=After(steps))
        assert (outcome.steps, outcome.finished) == (done, done == 4)
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "resumed")
    assert len(straight) > 50
    assert [name for name, tensor in straight.items() if not torch.equal(tensor, resumed[name])] == []
    ids = [read_header(tmp_path / run / "model.safetensors")["model_id"] for run in ("straight", "resumed")]
    assert ids[0] == ids[1]

    def terms(run: str) -> list[dict[str, float]]:
        lines = [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if k != "minutes"} for line in lines if "progress" in line]

    assert terms("straight") == terms("resumed")
    assert [line["step"] for line in terms("resumed")] == [1, 2, 3, 4]


def test_what_a_killed_run_logged_after_its_checkpoint_is_dropped(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    train(pairs, config, tmp_path / "run", stopped=After(2))
    with (tmp_path / "run/log.jsonl").open("a") as log:
        log.write('{"step": 3, "progress": 0.75, "learning_rate": 0.1, "pixel": 9.0}\n{"step": 4, "pro')
    train(pairs, config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "progress" in line] == [1, 2, 3, 4]
    assert 9.0 not in [line.get("pixel") for line in lines]


def test_a_finished_run_is_left_as_it_is(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    model = train(pairs, config, tmp_path / "run").model
    before = model.read_bytes()
    outcome = train(pairs, config, tmp_path / "run")
    assert (outcome.steps, outcome.finished) == (4, True)
    assert model.read_bytes() == before


def test_a_resume_with_other_settings_lists_them_and_is_refused(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    train(pairs, config, tmp_path / "run", stopped=After(1))
    other = changed(config, losses={"ssim": 3.0}, seed=1)
    with pytest.raises(
        ConfigError, match=r"run: holds a run with other settings \(losses.ssim: 10.0 -> 3.0; seed: 0 -> 1\)"
    ) as caught:
        train(pairs, other, tmp_path / "run")
    assert "--allow-changes" in str(caught.value)
    assert train(pairs, other, tmp_path / "run", allow_changes=True).steps == 4


def test_a_resume_with_other_pairs_is_refused(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    train(pairs, config, tmp_path / "run", stopped=After(1))
    fewer = PairList(pairs.root, tuple(pair for pair in pairs.pairs if pair.name != "a"))
    with pytest.raises(ConfigError, match=r"other settings \(the pairs of the split 'train'\)"):
        train(fewer, config, tmp_path / "run")
    other_val = PairList(pairs.root, pairs.pairs[:-1])
    with pytest.raises(ConfigError, match=r"other settings \(the pairs of the split 'val'\)"):
        train(other_val, config, tmp_path / "run")


def test_a_rate_that_was_changed_takes_effect(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    train(pairs, config, tmp_path / "run", stopped=After(1))
    slow = changed(config, optimizer={"learning_rate": 1e-12, "weight_decay": 0.0})
    before = weights(tmp_path / "run")
    train(pairs, slow, tmp_path / "run", allow_changes=True)
    after = weights(tmp_path / "run")
    names = [name for name in before if name.startswith("generator.")]
    assert max((before[name] - after[name]).abs().max() for name in names) < 1e-6


def test_a_resume_with_other_networks_is_refused_even_if_changes_are_allowed(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    train(pairs, config, tmp_path / "run", stopped=After(1))
    wider = changed(config, discriminator={"filters": 8})
    with pytest.raises(ConfigError, match=r"of other networks than configured .*; name a new folder"):
        train(pairs, wider, tmp_path / "run", allow_changes=True)


def test_data_may_move_between_two_sittings(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    train(pairs, config, tmp_path / "run", stopped=After(1))
    pairs.root.rename(tmp_path / "moved")
    moved = changed(config, data={"root": str(tmp_path / "moved")})
    assert train(find_pairs(tmp_path / "moved"), moved, tmp_path / "run").finished


def test_a_loss_that_is_not_finite_names_step_term_and_last_checkpoint(
    pairs: PairList, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmse_loss, calls = __import__("nirgen.losses").losses.rmse_loss, []

    def poisoned(generated: torch.Tensor, nir: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return rmse_loss(generated, nir) * (float("inf") if len(calls) == 3 else 1)

    monkeypatch.setattr("nirgen.losses.rmse_loss", poisoned)
    every_step = changed(config, save={"checkpoint_steps": 1})
    with pytest.raises(ConfigError) as caught:
        train(pairs, every_step, tmp_path / "run")
    assert f"step 3: 'pixel' is inf; the last good checkpoint is {tmp_path}/run/checkpoints/step_000002.pt" in str(
        caught.value
    )
    assert train(pairs, every_step, tmp_path / "run").finished  # it goes on from there


def test_a_damaged_image_ends_the_run_or_is_logged(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    path = pairs.root / "train/nir/b.png"
    path.write_bytes(path.read_bytes()[:200])
    damaged = find_pairs(pairs.root)
    with pytest.raises(ImageError, match=r"b\.png' is damaged"):
        train(damaged, config, tmp_path / "stopped")
    train(damaged, changed(config, data={"bad_images": "skip"}), tmp_path / "skipped")
    lines = (tmp_path / "skipped/log.jsonl").read_text().splitlines()
    assert [line for line in lines if "b.png' is damaged" in line and "skipped" in line]


def test_a_damaged_validation_image_ends_the_run_saved_or_is_logged(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    path = pairs.root / "val/nir/e.png"
    path.write_bytes(path.read_bytes()[:200])
    damaged = find_pairs(pairs.root)
    with pytest.raises(ImageError, match=r"e\.png' is damaged"):
        train(damaged, config, tmp_path / "stopped")
    assert read_header(tmp_path / "stopped/model.safetensors")["training"]["steps"] == 4
    train(damaged, changed(config, data={"bad_images": "skip"}), tmp_path / "skipped")
    lines = [json.loads(line) for line in (tmp_path / "skipped/log.jsonl").read_text().splitlines()]
    assert ["e.png" in line["skipped"] for line in lines if "skipped" in line] == [True]
    assert [line["step"] for line in lines if "validation" in line] == [4]


def test_what_a_killed_run_was_writing_is_removed(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    train(pairs, config, tmp_path / "run", stopped=After(1))
    (tmp_path / "run/checkpoints/.nirgen-0123abcd.tmp").touch()
    train(pairs, config, tmp_path / "run")
    assert not (tmp_path / "run/checkpoints/.nirgen-0123abcd.tmp").exists()


def test_one_pair_is_enough(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    assert train(PairList(pairs.root, pairs.pairs[:1]), config, tmp_path / "run").finished


def test_a_budget_of_time_ends_the_run(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    hurried = config.model_copy(update={"max_minutes": 1e-6, "steps": 10**6})
    assert train(pairs, hurried, tmp_path / "run").steps == 1


def test_the_best_validation_is_kept_beside_the_last_checkpoints(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    often = changed(config, save={"validation_steps": 1, "checkpoint_steps": 1, "keep": 1})
    train(pairs, often, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["validation"]["psnr"] for line in lines if "validation" in line}
    assert len(scores) == 4
    best = max(scores, key=lambda step: scores[step])
    kept = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert kept == {f"step_{best:06d}.pt", "step_000004.pt"}
    assert read_header(tmp_path / "run/best.safetensors")["training"]["steps"] == best


def test_three_channels_are_learned_from_one(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    three = changed(config, generator={"output_channels": 3}, discriminator={"in_channels": 6})
    generator, _ = load(train(pairs, three, tmp_path / "run").model)
    assert generator(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_counters_of_a_backbone_stay_whole_numbers(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    stages = (Stage(size=64, batch=2, adversarial=False),)
    backbone = changed(config, generator={"extractor": TimmConfig(name="resnet18")}, steps=1, stages=stages)
    with safe_open(train(pairs, backbone, tmp_path / "run").model, "pt") as file:
        assert file.get_tensor("extractor.backbone.backbone.bn1.num_batches_tracked").dtype == torch.int64
        assert file.get_tensor("extractor.backbone.backbone.bn1.running_var").dtype == torch.float16


def test_a_model_knows_what_it_has_seen_in_earlier_runs(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    older = {"pairs": [{"name": "z", "nir_sha256": "0"}], "steps": 5, "before": [{"steps": 3}]}
    state = build(config.generator).state_dict()
    header = save(tmp_path / "m.safetensors", state, config.generator, training=older)
    start = config.model_copy(update={"start_from": str(tmp_path / "m.safetensors")})
    training = read_header(train(pairs, start, tmp_path / "run").model)["training"]
    assert training["start_model_id"] == header["model_id"]
    assert [pair["name"] for pair in training["pairs"]] == ["z", "a", "b", "c", "d"]
    assert training["before"] == [{"steps": 5}, {"steps": 3}]  # the latest first


def test_a_second_process_is_kept_out(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    def again(_: StepReport) -> None:
        train(pairs, config, tmp_path / "run")

    with pytest.raises(OutputError, match="run: another process trains here; wait for it, or name another folder"):
        train(pairs, config, tmp_path / "run", report=again)


def test_a_list_without_training_pairs_is_refused(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no pairs in split 'train'; the list has: val"):
        train(pairs.split("val"), config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["meta", "cuad", "cuda:99"])
def test_a_device_that_can_not_compute_is_refused(
    pairs: PairList, config: TrainConfig, tmp_path: Path, device: str
) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}' can't be used .*; 'nirgen doctor' lists the devices"):
        train(pairs, config, tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_a_stage_lasts_for_its_share(config: TrainConfig) -> None:
    found = [config.stage_at(progress).adversarial for progress in (0, 0.49, 0.51, 1.0)]
    assert found == [False, False, True, True]


def test_epochs_are_counted_in_pairs_over_all_processes(config: TrainConfig) -> None:
    epochs = config.model_copy(update={"steps": None, "epochs": 10})  # batches of 2
    assert (epochs.total_steps(100), epochs.total_steps(100, processes=2)) == (500, 250)
    assert config.model_copy(update={"steps": None}).total_steps(100) == 50_000  # 1000 epochs
    assert config.total_steps(100) == 4


def test_the_released_schedule_climbs_for_1000_epochs_from_0() -> None:
    released = TrainConfig.released()
    found = [learning_rate_factor(released, step, step / 3000, 3000) for step in (0, 2, 3, 1500, 2999)]
    assert found == pytest.approx([0, 0, 0.001, 0.5, 0.999])


def test_the_cosine_schedule_follows_the_steps() -> None:
    found = [learning_rate_factor(TrainConfig.paper(), 0, progress, 1) for progress in (0.005, 0.01, 0.505, 1.0)]
    assert found == pytest.approx([0.5, 1.0, 0.5, 0.0])
