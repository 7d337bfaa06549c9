from __future__ import annotations

import pytest
import torch
from torch import nn

from nirgen.models.config import DiscriminatorConfig
from nirgen.models.discriminator import MultiScaleDiscriminator


def test_three_discriminators_see_full_half_and_quarter_resolution() -> None:
    maps = MultiScaleDiscriminator(DiscriminatorConfig(filters=4))(torch.zeros(2, 4, 64, 96))
    assert [len(scale) for scale in maps] == [5, 5, 5]
    assert [tuple(scale[-1].shape) for scale in maps] == [(2, 1, 11, 15), (2, 1, 7, 9), (2, 1, 5, 6)]
    assert [layer.shape[1] for layer in maps[0]] == [4, 8, 16, 32, 1]


def test_widths_double_up_to_512() -> None:
    with torch.device("meta"):
        network = MultiScaleDiscriminator(DiscriminatorConfig(filters=256, layers=4, scales=1))
    widths = [module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert widths == [256, 512, 512, 512, 512, 1]


@pytest.mark.parametrize(("norm", "kind"), [("instance", nn.InstanceNorm2d), ("batch", nn.BatchNorm2d)])
def test_the_norm_is_the_papers_or_the_released_codes(norm: str, kind: type[nn.Module]) -> None:
    network = MultiScaleDiscriminator(DiscriminatorConfig(filters=4, norm=norm))
    norms = [module for module in network.modules() if isinstance(module, (nn.InstanceNorm2d, nn.BatchNorm2d))]
    assert len(norms) == 9
    assert {type(module) for module in norms} == {kind}


def test_the_half_resolution_is_an_average_that_does_not_darken_the_border() -> None:
    network = MultiScaleDiscriminator(DiscriminatorConfig(in_channels=1, filters=1, scales=2))
    seen = []
    network.scales[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(torch.ones(1, 1, 32, 32))
    assert seen[0].shape == (1, 1, 16, 16)
    torch.testing.assert_close(seen[0], torch.ones(1, 1, 16, 16))
