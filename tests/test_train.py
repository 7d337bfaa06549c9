from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from nirgen.errors import ConfigError, ImageError, NirgenError, OutputError
from nirgen.model import load_model
from nirgen.models.checkpoint import build, load, read_header, save
from nirgen.models.config import TimmConfig
from nirgen.models.discriminator import DiscriminatorConfig
from nirgen.pairs import find_pairs
from nirgen.train import Photo, Sampler, Stage, TrainConfig, Trainer, read_photos, train

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


def sampler(photos: list[Photo], weights: list[float] | None = None, darkened: float = 0.0) -> Sampler:
    return Sampler(photos, weights or [1.0] * len(photos), smallest_crop=0.2, darkened=darkened, seed=0)


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


class TestSampler:
    @pytest.fixture
    def photos(self, pairs: PairList) -> list[Photo]:
        return read_photos(pairs)

    def test_crops_are_alike_in_both_spectra(self, photos: list[Photo], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Sampler, "_expose", lambda self, rgb: rgb)
        rgb, nir = sampler(photos).batch(16, 32)
        assert (rgb.shape, nir.shape) == ((16, 3, 32, 32), (16, 1, 32, 32))
        torch.testing.assert_close(nir[:, 0], rgb[:, 0])  # the photos' NIR is their red
        assert len({image.tobytes() for image in nir.numpy()}) == 16

    def test_exposure_changes_rgb_alone_and_mildly(self, photos: list[Photo]) -> None:
        rgb, nir = sampler(photos).batch(32, 32)
        difference = (rgb[:, :1] - nir).abs().mean(dim=(1, 2, 3))
        assert difference.min() > 0
        assert difference.mean() < 0.15
        assert rgb.abs().max() <= 1

    def test_night_takes_the_same_light_from_both(self, photos: list[Photo], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Sampler, "_expose", lambda self, rgb: rgb)
        rgb, nir = sampler(photos, darkened=1.0).batch(32, 32)
        assert (rgb[:, 0] - nir[:, 0]).abs().mean() < 0.03  # the sensor's noise
        brightest = (nir.amax(dim=(1, 2, 3)) + 1) / 2
        assert 0.04 < brightest.min() < 0.2
        assert brightest.max() < 0.8

    def test_pairs_are_drawn_by_their_weights(self) -> None:
        photos = [Photo(torch.full((3, 8, 8), level), torch.full((1, 8, 8), level)) for level in (0, 255)]
        photos = [Photo(photo.rgb.byte(), photo.nir.byte()) for photo in photos]
        _, nir = sampler(photos, [3.0, 1.0]).batch(400, 16)
        drawn = Counter(nir[:, 0, 0, 0].tolist())
        assert 260 < drawn[-1.0] < 340
        assert drawn[-1.0] + drawn[1.0] == 400
