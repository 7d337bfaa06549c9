from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torchvision.models import vgg19

from nirgen.errors import ConfigError, ModelError
from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import DiscriminatorConfig, GeneratorConfig, InternImageConfig
from nirgen.train.config import LossConfig, OptimizerConfig, PerceptualConfig
from nirgen.train.state import PerceptualLoss, State, moving_average

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.train.config import TrainConfig


CPU = torch.device("cpu")


def values(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_the_same_seed_gives_the_same_weights(config: TrainConfig) -> None:
    first, again = State(config, CPU), State(config, CPU)
    other = State(config.model_copy(update={"seed": 1}), CPU)
    assert torch.equal(values(first.generator), values(again.generator))
    assert torch.equal(values(first.discriminator), values(again.discriminator))
    assert not torch.equal(values(first.generator), values(other.generator))


def test_the_average_is_quick_at_first_and_slow_later() -> None:
    average, current = [torch.tensor([0.0])], [torch.tensor([1.0])]
    moving_average(0.999)(average, current, 0)
    assert average[0].item() == pytest.approx(0.9)  # decay 1/10
    average = [torch.tensor([0.0])]
    moving_average(0.999)(average, current, 90)
    assert average[0].item() == pytest.approx(0.09)  # decay 91/100
    average = [torch.tensor([0.0])]
    moving_average(0.999)(average, current, 10**6)
    assert average[0].item() == pytest.approx(0.001, rel=1e-3)


def test_without_an_adversarial_term_there_are_no_discriminators(config: TrainConfig) -> None:
    losses = LossConfig(adversarial=0, feature_matching=0, pixel=1)
    state = State(config.model_copy(update={"losses": losses}), CPU)
    assert (state.discriminator, state.discriminator_optimizer) == (None, None)


def test_the_released_initialization_is_normal_with_deviation_0_02(config: TrainConfig) -> None:
    state = State(config.model_copy(update={"initialization": "normal"}), CPU)
    weights = torch.cat([m.weight.flatten() for m in state.generator.modules() if isinstance(m, torch.nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.03)


@pytest.fixture
def with_extractor(config: TrainConfig) -> TrainConfig:
    extractor = InternImageConfig(
        width=16, depths=(1, 1, 1, 1), groups=(2, 4, 8, 16), post_norm=False, layer_scale=None
    )
    generator = GeneratorConfig.read(config.generator.model_dump() | {"extractor": extractor}, where="test")
    return config.model_copy(update={"generator": generator})


def test_the_extractor_has_a_rate_of_its_own(with_extractor: TrainConfig) -> None:
    optimizer = OptimizerConfig(learning_rate=1e-3, extractor_learning_rate=1e-5)
    groups = State(with_extractor.model_copy(update={"optimizer": optimizer}), CPU).generator_optimizer.param_groups
    assert [group["base_lr"] for group in groups] == [1e-3, 1e-5]
    assert sum(len(group["params"]) for group in groups) == len(list(State(with_extractor, CPU).generator.parameters()))


def test_a_frozen_extractor_is_no_parameter_and_stays_in_evaluation(with_extractor: TrainConfig) -> None:
    optimizer = OptimizerConfig(freeze_extractor=True)
    state = State(with_extractor.model_copy(update={"optimizer": optimizer}), CPU)
    assert len(state.generator_optimizer.param_groups) == 1
    assert state.generator.training
    assert not state.generator.extractor.training
    assert not any(parameter.requires_grad for parameter in state.generator.extractor.parameters())


def test_a_run_can_start_from_a_model(config: TrainConfig, tmp_path: Path) -> None:
    save(tmp_path / "m.safetensors", build(config.generator).state_dict(), config.generator)
    state = State(config.model_copy(update={"start_from": str(tmp_path / "m.safetensors")}), CPU)
    assert torch.equal(values(state.generator), values(load(tmp_path / "m.safetensors")[0]))
    assert torch.equal(values(state.average.module), values(state.generator))
    assert state.generator.training


def test_a_start_of_another_architecture_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    wider = config.generator.model_copy(update={"stem_channels": 16})
    save(tmp_path / "m.safetensors", build(wider).state_dict(), wider)
    with pytest.raises(ConfigError, match=r"m\.safetensors: another architecture than 'generator' says"):
        State(config.model_copy(update={"start_from": str(tmp_path / "m.safetensors")}), CPU)


def test_networks_that_do_not_fit_the_crops_are_refused(config: TrainConfig) -> None:
    deep = config.model_copy(update={"discriminator": DiscriminatorConfig(filters=2, layers=3, scales=9)})
    with pytest.raises(ConfigError, match=r"the networks can't run as configured \(.*\); change 'generator'") as caught:
        State(deep, CPU)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG19 with random weights, as torchvision would save it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save(vgg19(weights=None).state_dict(), path)
    return path


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rgb, nir, generated = (torch.rand(1, c, 32, 32, generator=generator) * 2 - 1 for c in (3, 1, 1))
    return rgb, nir, generated.requires_grad_()


def test_it_is_the_weighted_difference_of_vgg19s_activations(weights: Path, batch) -> None:
    rgb, nir, generated = batch
    features = vgg19(weights=None).eval()
    features.load_state_dict(torch.load(weights, weights_only=True))
    x, y, expected = generated.expand(-1, 3, -1, -1), nir.expand(-1, 3, -1, -1), 0.0
    at = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1}  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
    for position, layer in enumerate(features.features):
        x, y = layer(x), layer(y)
        if position in at:
            expected += at[position] * (x - y).abs().mean().item()
    found = PerceptualLoss(PerceptualConfig(weights=str(weights)))(rgb, nir, generated)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert generated.grad.abs().sum() > 0


def test_the_released_one_compares_with_rgb_and_teaches_nothing(weights: Path, batch) -> None:
    rgb, nir, generated = batch
    released = PerceptualLoss(PerceptualConfig(weights=str(weights), target="rgb", teaches=False))
    found = released(rgb, nir, generated)
    assert not found.requires_grad
    assert released(rgb, -nir, generated).item() == found.item()
    assert PerceptualLoss(PerceptualConfig(weights=str(weights), target="rgb"))(rgb, nir, generated).requires_grad


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w\.pth: not the weights of torchvision's VGG19; name a file of them"):
        PerceptualLoss(PerceptualConfig(weights=str(tmp_path / "w.pth")))


def test_weights_that_can_not_be_had_are_one_line_with_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(ModelError, match=r"VGG19's weights .* \(no network\); name a file .* or switch the term off"):
        PerceptualLoss(PerceptualConfig())


def test_weights_are_taken_from_torchs_cache(weights: Path, tmp_path: Path, monkeypatch, batch) -> None:
    from torchvision.models import VGG19_Weights

    name = VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).write_bytes(weights.read_bytes())
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    cached, named = PerceptualLoss(PerceptualConfig()), PerceptualLoss(PerceptualConfig(weights=str(weights)))
    assert cached(*batch).item() == named(*batch).item()
