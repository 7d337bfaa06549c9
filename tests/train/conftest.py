"""A run that is over in a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.models.config import DiscriminatorConfig
from nirgen.train.config import ComputeConfig, CropConfig, LossConfig, OptimizerConfig, SaveConfig, Stage, TrainConfig

if TYPE_CHECKING:
    from nirgen.models.config import GeneratorConfig


@pytest.fixture
def config(small_config: GeneratorConfig) -> TrainConfig:
    """Four steps of two small crops; the discriminators take part in the last two."""
    return TrainConfig(
        generator=small_config,
        discriminator=DiscriminatorConfig(filters=4, layers=1, scales=2),
        losses=LossConfig(gan="lsgan", pixel=4.0),
        crops=CropConfig(kind="resized", smallest=0.3, gamma=0.1, gain=0.1, white_balance=0.02, night=0.2),
        stages=(Stage(share=0.5, size=32, batch=2, adversarial=False), Stage(share=0.5, size=64, batch=2)),
        optimizer=OptimizerConfig(kind="adamw", learning_rate=1e-3),
        compute=ComputeConfig(precision="fp32"),
        save=SaveConfig(log_steps=1, validation_size=32),
        steps=4,
    )
