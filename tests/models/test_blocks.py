from __future__ import annotations

import pytest
import torch

from nirgen.models.blocks import Downsample, OutputBlock, ResidualBlock, StandardizedConv, Upsample


def test_down_sees_the_four_pixels_of_a_square_as_channels() -> None:
    layer = Downsample(1)
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.bias.zero_()
        layer.conv.weight[0, :, 1, 1] = torch.tensor([1.0, 10, 100, 1000])
    photo = torch.tensor([[1.0, 2, 5, 6], [3, 4, 7, 8]]).view(1, 1, 2, 4)
    assert layer(photo).tolist() == [[[[4321, 8765]]]]


def test_up_repeats_pixels_before_the_convolution() -> None:
    layer = Upsample(1)
    with torch.no_grad():
        torch.nn.init.dirac_(layer.conv.weight)
        layer.conv.bias.zero_()
    assert layer(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_filters_are_standardised_by_the_unbiased_deviation() -> None:
    layer = StandardizedConv(1, 1, (1, 3), padding=(0, 1), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([5.0, 7, 9]).view(1, 1, 1, 3))  # mean 7, deviation 2: -1, 0, 1
    found = layer(torch.tensor([[[[1.0, 2, 4]]]]))
    assert found.flatten().tolist() == pytest.approx([2, 3, -2], abs=1e-4)


def test_the_output_block_does_not_depend_on_the_scale_of_its_filters() -> None:
    torch.manual_seed(0)
    block, x = OutputBlock(4, 2), torch.randn(1, 4, 8, 8)
    before = block(x)
    with torch.no_grad():
        block.conv1.weight.mul_(1000)
        block.conv2.weight.add_(1)
    torch.testing.assert_close(block(x), before, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("channels_out", "kind"), [(8, torch.nn.Identity), (4, torch.nn.Conv2d)])
def test_a_shortcut_is_a_convolution_where_channels_change(channels_out: int, kind: type) -> None:
    block = ResidualBlock(8, channels_out, norm_groups=4)
    assert type(block.shortcut) is kind
    assert block(torch.zeros(1, 8, 4, 6)).shape == (1, channels_out, 4, 6)
