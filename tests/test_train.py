from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from nirgen.crops import read_photos
from nirgen.errors import ConfigError, ImageError, NirgenError, OutputError
from nirgen.model import load_model
from nirgen.models.checkpoint import build, load, read_header, save
from nirgen.models.config import TimmConfig
from nirgen.models.discriminator import DiscriminatorConfig
from nirgen.pairs import find_pairs
from nirgen.train import Stage, TrainConfig, Trainer, train

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig
    from nirgen.pairs import PairList


@pytest.fixture
def config(small_config: GeneratorConfig) -> TrainConfig:
    """Three steps of one small crop; the discriminators take part in the last."""
    return TrainConfig(
        generator=small_config,
        discriminator=DiscriminatorConfig(filters=4, layers=1, scales=2),
        stages=(
            Stage(share=0.66, size=64, batch=1, adversarial=False),
            Stage(share=0.34, size=64, batch=1, adversarial=True),
        ),
        adversarial_crop=64,
        steps=3,
    )


def values(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_a_run_ends_with_a_model_that_says_what_it_was_trained_on(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    seen = []
    path = train(pairs, config, tmp_path / "run", report=lambda step, progress, terms: seen.append((step, progress)))
    assert path == tmp_path / "run/model.safetensors"
    assert seen == [(1, pytest.approx(1 / 3)), (2, pytest.approx(2 / 3)), (3, 1.0)]
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "pairs.csv",
    ]

    training = read_header(path)["training"]
    assert (training["steps"], training["ema"]) == (3, True)
    assert [pair["name"] for pair in training["pairs"]] == ["a", "b", "c", "d"]
    assert training["pairs"][0] == {
        "name": "a",
        "rgb_sha256": pairs.pairs[0].rgb_sha256,
        "nir_sha256": pairs.pairs[0].nir_sha256,
        "sequence": "train/a",
    }
    assert TrainConfig.read(json.loads((path.parent / "config.json").read_text()), where="config.json") == config
    assert [line.split(",")[0] for line in (path.parent / "pairs.csv").read_text().splitlines()] == ["name", *"abcd"]
    last = json.loads((path.parent / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 3
    assert {"pixel", "ssim", "adversarial", "feature_matching", "discriminator"} < last.keys()

    model = load_model(path.parent, device="cpu")
    assert model(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30)


def test_the_same_seed_gives_the_same_weights(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    def run(name: str, **changes: object) -> str:
        return read_header(train(pairs, config.model_copy(update=changes), tmp_path / name))["model_id"]

    first = run("first")
    assert run("second") == first
    assert run("other", seed=1) != first


def test_the_discriminators_learn_in_their_stage_alone(pairs: PairList, config: TrainConfig) -> None:
    photos = read_photos(pairs.split("train"))
    trainer = Trainer(config, photos, [1.0] * 4)
    fresh = values(trainer.discriminator)
    assert trainer.step(0.5).keys() == {"pixel", "ssim"}
    assert torch.equal(values(trainer.discriminator), fresh)
    generator = values(trainer.generator)
    assert trainer.step(0.9).keys() == {"pixel", "ssim", "adversarial", "feature_matching", "discriminator"}
    assert not torch.equal(values(trainer.discriminator), fresh)
    assert not torch.equal(values(trainer.generator), generator)


def test_a_stage_lasts_for_its_share(pairs: PairList, config: TrainConfig) -> None:
    trainer = Trainer(config, read_photos(pairs.split("train")), [1.0] * 4)
    assert [trainer.stage(progress).adversarial for progress in (0, 0.65, 0.67, 1.0)] == [False, False, True, True]


def test_the_average_follows_the_weights_slowly(pairs: PairList, config: TrainConfig) -> None:
    trainer = Trainer(config.model_copy(update={"ema_decay": 0.75}), read_photos(pairs.split("train")), [1.0] * 4)
    trainer.step(0.1)  # the average begins at the first weights that were learned
    first = values(trainer.generator)
    trainer.step(0.2)
    torch.testing.assert_close(values(trainer.average.module), 0.75 * first + 0.25 * values(trainer.generator))


def test_a_loss_that_is_not_finite_stops_the_run_in_one_line(
    pairs: PairList, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nirgen.train.losses.rmse_loss", lambda generated, real: generated.sum() * float("nan"))
    with pytest.raises(ConfigError, match=r"step 0: a loss is not finite \(.*'pixel': nan.*\); lower learning_rate$"):
        train(pairs, config, tmp_path / "run")
    assert not (tmp_path / "run/model.safetensors").exists()


def test_a_budget_of_time_ends_the_run(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    hurried = config.model_copy(update={"max_minutes": 1e-6, "steps": 10**6})
    assert read_header(train(pairs, hurried, tmp_path / "run"))["training"]["steps"] == 1


def test_three_channels_are_learned_from_one(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    changes = {
        "generator": config.generator.model_copy(update={"output_channels": 3}),
        "discriminator": config.discriminator.model_copy(update={"in_channels": 6}),
    }
    generator, _ = load(train(pairs, config.model_copy(update=changes), tmp_path / "run"))
    assert generator(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_a_discriminator_of_other_channels_is_refused(config: TrainConfig) -> None:
    settings = config.model_dump(mode="json")
    settings["generator"]["output_channels"] = 3
    with pytest.raises(
        ConfigError, match=r"discriminator\.in_channels is 4, but RGB and the generator's output have 6"
    ):
        TrainConfig.read(settings, where="run.yaml")


def test_counters_of_a_backbone_stay_whole_numbers(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    generator = config.generator.model_copy(update={"extractor": TimmConfig(name="resnet18")})
    batches_of_two = (Stage(share=1, size=64, batch=2, adversarial=False),)
    changed = config.model_copy(update={"generator": generator, "steps": 1, "stages": batches_of_two})
    with safe_open(train(pairs, changed, tmp_path / "run"), "pt") as file:
        assert file.get_tensor("extractor.backbone.backbone.bn1.num_batches_tracked").dtype == torch.int64
        assert file.get_tensor("extractor.backbone.backbone.bn1.running_var").dtype == torch.float16


def test_a_run_can_start_from_a_model(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    older = {"pairs": [{"name": "z", "nir_sha256": "0"}, {"name": "a", "nir_sha256": pairs.pairs[0].nir_sha256}]}
    state = build(config.generator).state_dict()
    header = save(tmp_path / "m.safetensors", state, config.generator, training=older)
    start = config.model_copy(update={"start_from": str(tmp_path / "m.safetensors")})
    trainer = Trainer(start, read_photos(pairs.split("train")), [1.0] * 4)
    assert torch.equal(values(trainer.generator), values(load(tmp_path / "m.safetensors")[0]))
    assert trainer.generator.training
    written = train(pairs, start, tmp_path / "run")
    training = read_header(written)["training"]
    assert training["start_model_id"] == header["model_id"]
    assert [pair["name"] for pair in training["pairs"]] == ["z", "a", "b", "c", "d"]  # what it has seen in both runs
    assert str(tmp_path).encode() not in written.read_bytes()


def test_a_start_of_another_architecture_is_refused(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    wider = config.generator.model_copy(update={"stem_channels": 16})
    save(tmp_path / "m.safetensors", build(wider).state_dict(), wider)
    start = config.model_copy(update={"start_from": str(tmp_path / "m.safetensors")})
    with pytest.raises(ConfigError, match=r"m\.safetensors: another architecture than 'generator' says"):
        Trainer(start, [], [])


def test_a_folder_that_holds_a_run_is_refused(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("{}")
    with pytest.raises(OutputError, match="run: holds a training run already; name a new folder"):
        train(pairs, config, tmp_path / "run")


def test_shares_must_add_up_to_the_whole(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    short = config.model_copy(update={"stages": config.stages[:1]})
    with pytest.raises(ConfigError, match=r"the stages' shares add up to 0\.66; they must add up to 1"):
        train(pairs, short, tmp_path / "run")


def test_a_list_without_training_pairs_is_refused(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no pairs in split 'train'; the list has: val"):
        train(pairs.split("val"), config, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"), [("smaller", "b.png: 30x20, but its RGB partner is 64x48"), ("empty", "b.png.*empty")]
)
def test_a_pair_that_can_not_be_used_is_named_and_nothing_written(
    pairs: PairList, config: TrainConfig, tmp_path: Path, change: str, message: str
) -> None:
    path = pairs.root / "train/nir/b.png"
    Image.new("L", (30, 20)).save(path) if change == "smaller" else path.write_bytes(b"")
    with pytest.raises(ImageError, match=message):
        train(find_pairs(pairs.root), config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stages": [{"share": 1, "size": 100}], "generator": {}},
            "stages.0.size is 100, but the generator takes multiples of 32",
        ),
        ({"discriminator": {"filters": 0}}, "'discriminator.filters': Input should be greater than or equal to 1"),
        ({"category_weights": {"urban": -1}}, "'category_weights.urban': Input should be greater than or equal to 0"),
    ],
)
def test_settings_that_no_run_could_follow_are_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.read(changes, where="run.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_that_do_not_fit_the_crops_are_refused_before_anything_is_written(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    deep = config.model_copy(update={"discriminator": DiscriminatorConfig(filters=2, layers=3, scales=9)})
    with pytest.raises(ConfigError, match=r"the networks can't run as configured \(.*\); change 'generator'") as caught:
        train(pairs, deep, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_weights_that_leave_no_pair_are_refused(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="category_weights of 0 leave no pair"):
        train(pairs, config.model_copy(update={"category_weights": {"": 0.0}}), tmp_path / "run")


def test_a_run_that_failed_before_it_had_a_model_can_be_tried_again_in_its_folder(
    pairs: PairList, config: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").touch()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(pairs, config, tmp_path / "run", report=fail)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
    assert train(pairs, config, tmp_path / "run").exists()


def test_an_interrupted_run_keeps_the_model_so_far(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    def interrupt(step: int, *_: object) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pairs, config, tmp_path / "run", report=interrupt)
    generator, header = load(tmp_path / "run/model.safetensors")
    assert header["training"]["steps"] == 2
    assert generator(torch.zeros(1, 3, 8, 8)).isfinite().all()


def test_a_run_that_is_interrupted_before_its_first_step_leaves_nothing(
    pairs: PairList, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(pairs, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_networks_and_batches_are_on_the_device_that_is_named(pairs: PairList, config: TrainConfig) -> None:
    photos, device = read_photos(pairs.split("train")), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(config, photos, [1.0] * 4, device)
    assert trainer.step(0.9)["adversarial"] > 0
    for network in (trainer.generator, trainer.discriminator, trainer.average):
        assert {parameter.device.type for parameter in network.parameters()} == {device.type}


@pytest.mark.parametrize("device", ["meta", "cuad", "cuda:99"])
def test_a_device_that_can_not_compute_is_refused(
    pairs: PairList, config: TrainConfig, tmp_path: Path, device: str
) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}' can't be used .*; 'nirgen doctor' shows what there is"):
        train(pairs, config, tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()
