"""Deformable sampling, held against an explicit sum and against torchvision's operator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from nirgen.models.dcnv3 import DCNv3, deformable_sample

N, HEIGHT, WIDTH, GROUPS, CHANNELS = 2, 4, 5, 2, 6


def random_case() -> tuple[Tensor, Tensor, Tensor]:
    """Offsets of up to a few pixels, so that many points lie outside."""
    random = torch.Generator().manual_seed(0)
    value = torch.randn(N, HEIGHT, WIDTH, CHANNELS, generator=random, dtype=torch.float64)
    offset = 2 * torch.randn(N, HEIGHT, WIDTH, GROUPS * 18, generator=random, dtype=torch.float64)
    mask = torch.rand(N, HEIGHT, WIDTH, GROUPS, 9, generator=random, dtype=torch.float64).softmax(-1).flatten(3)
    return value, offset, mask


def at(value: Tensor, image: int, y: float, x: float, channel: int) -> float:
    """Bilinear sample; zero outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < HEIGHT and 0 <= column < WIDTH:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * value[image, row, column, channel].item()
    return total


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_samples_are_the_explicit_sum(scale: float) -> None:
    value, offset, mask = random_case()
    expected = torch.zeros_like(value)
    for image in range(N):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                for channel in range(CHANNELS):
                    group = channel // (CHANNELS // GROUPS)
                    for ix in (0, 1, 2):
                        for iy in (0, 1, 2):
                            point = 9 * group + 3 * ix + iy
                            dx, dy = offset[image, y, x, 2 * point : 2 * point + 2].tolist()
                            where = (y + scale * (iy - 1 + dy), x + scale * (ix - 1 + dx))
                            weight = mask[image, y, x, point].item()
                            expected[image, y, x, channel] += weight * at(value, image, *where, channel)
    torch.testing.assert_close(deformable_sample(value, offset, mask, GROUPS, scale), expected)


def by_torchvision(value: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """The same by `deform_conv2d`: points row-major, offsets as (dy, dx), depthwise weights of one."""
    offset = offset.view(N, HEIGHT, WIDTH, GROUPS, 3, 3, 2).transpose(4, 5).flip(-1).flatten(3)
    mask = mask.view(N, HEIGHT, WIDTH, GROUPS, 3, 3).transpose(4, 5).flatten(3)
    first = (0, 3, 1, 2)
    ones = torch.ones(CHANNELS, 1, 3, 3, dtype=value.dtype)
    sampled = deform_conv2d(
        value.permute(first), offset.permute(first).contiguous(), ones, padding=1, mask=mask.permute(first).contiguous()
    )
    return sampled.permute(0, 2, 3, 1)


def test_the_samples_and_their_gradients_are_those_of_torchvision() -> None:
    inputs = [tensor.requires_grad_() for tensor in random_case()]
    ours, theirs = deformable_sample(*inputs, GROUPS, 1.0), by_torchvision(*inputs)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    for found, expected in zip(
        torch.autograd.grad(ours, inputs, direction), torch.autograd.grad(theirs, inputs, direction), strict=True
    ):
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(found, expected)


def test_a_fresh_layer_is_a_plain_average_of_the_neighbourhood() -> None:
    layer = DCNv3(4, groups=2)
    for projection in (layer.input_proj, layer.output_proj):
        torch.nn.init.eye_(projection.weight)
    found = layer(torch.ones(1, 4, 5, 4))
    rows, columns = torch.tensor([2, 3, 3, 2]) / 3, torch.tensor([2, 3, 3, 3, 2]) / 3  # of 3 inside at the borders
    torch.testing.assert_close(found[0, :, :, 0], rows[:, None] * columns)
