from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.errors import ConfigError
from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import DiscriminatorConfig, GeneratorConfig, InternImageConfig, TimmConfig
from nirgen.train.config import LossConfig, OptimizerConfig
from nirgen.train.networks import build_networks
from nirgen.train.state import State, moving_average

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.train.config import TrainConfig


CPU = torch.device("cpu")


def values(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def started(config: TrainConfig) -> State:
    return State(config, build_networks(config), CPU)


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
    state = started(config.model_copy(update={"losses": losses}))
    assert (state.discriminator, state.discriminator_optimizer) == (None, None)


@pytest.fixture
def with_extractor(config: TrainConfig) -> TrainConfig:
    extractor = InternImageConfig(
        width=16, depths=(1, 1, 1, 1), groups=(2, 4, 8, 16), post_norm=False, layer_scale=None
    )
    generator = GeneratorConfig.read(config.generator.model_dump() | {"extractor": extractor}, where="test")
    return config.model_copy(update={"generator": generator})


def test_the_extractor_has_a_rate_of_its_own(with_extractor: TrainConfig) -> None:
    optimizer = OptimizerConfig(learning_rate=1e-3, extractor_learning_rate=1e-5)
    groups = started(with_extractor.model_copy(update={"optimizer": optimizer})).generator_optimizer.param_groups
    assert [group["base_lr"] for group in groups] == [1e-3, 1e-5]
    assert sum(len(group["params"]) for group in groups) == len(list(started(with_extractor).generator.parameters()))


def test_a_frozen_extractor_is_no_parameter_and_stays_in_evaluation(with_extractor: TrainConfig) -> None:
    optimizer = OptimizerConfig(freeze_extractor=True)
    state = started(with_extractor.model_copy(update={"optimizer": optimizer}))
    assert len(state.generator_optimizer.param_groups) == 1
    assert state.generator.training
    assert not state.generator.extractor.training
    assert not any(parameter.requires_grad for parameter in state.generator.extractor.parameters())


def test_frozen_norms_keep_their_statistics_while_their_extractor_learns(config: TrainConfig) -> None:
    extractor = TimmConfig(name="tf_efficientnet_lite0", features="pyramid")
    generator = GeneratorConfig.read(config.generator.model_dump() | {"extractor": extractor}, where="test")
    optimizer = OptimizerConfig(freeze_extractor_norm=True)
    state = started(config.model_copy(update={"generator": generator, "optimizer": optimizer}))
    norms = [module for module in state.generator.extractor.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    before = norms[0].running_mean.clone()
    state.generator(torch.rand(1, 3, 64, 64))
    assert torch.equal(norms[0].running_mean, before)
    assert state.generator.extractor.training
    assert all(parameter.requires_grad for parameter in state.generator.extractor.parameters())


def test_a_run_can_start_from_a_model(config: TrainConfig, tmp_path: Path) -> None:
    save(tmp_path / "m.safetensors", build(config.generator).state_dict(), config.generator)
    state = started(config.model_copy(update={"start_from": str(tmp_path / "m.safetensors")}))
    assert torch.equal(values(state.generator), values(load(tmp_path / "m.safetensors")[0]))
    assert torch.equal(values(state.average.module), values(state.generator))
    assert state.generator.training


def test_networks_that_do_not_fit_the_crops_are_refused(config: TrainConfig) -> None:
    deep = config.model_copy(update={"discriminator": DiscriminatorConfig(filters=2, layers=3, scales=9)})
    with pytest.raises(ConfigError, match=r"the networks can't run as configured \(.*\); change 'generator'") as caught:
        started(deep)
    assert "\n" not in str(caught.value)
