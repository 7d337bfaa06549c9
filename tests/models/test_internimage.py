"""Deformable sampling, held against an explicit sum and against torchvision's operator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from nirgen.errors import ConfigError
from nirgen.models.config import NAMED_INTERNIMAGES, InternImageConfig
from nirgen.models.internimage import DCNv3, InternImage, deformable_sample

OFFICIAL_VALUES = {"tiny": 29_910_000, "small": 50_090_000, "base": 97_470_000, "large": 223_000_000}


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("pre_norm", {"post_norm": False, "layer_scale": None}),
        ("pre_norm_scaled", {"post_norm": False, "layer_scale": 1.0}),
        ("post_norm_offset_2", {"post_norm": True, "layer_scale": 1e-5, "offset_scale": 2.0}),
    ],
)
def test_the_last_map_is_that_of_the_official_code(
    key, changes, small_internimage, golden, golden_weight, golden_input
) -> None:
    network = InternImage(small_internimage.model_copy(update=changes)).eval()
    network.load_state_dict({name: golden_weight(name, tensor) for name, tensor in network.state_dict().items()})
    with torch.inference_mode():
        found = network(golden_input)[-1].numpy()
    expected = golden("internimage_64x96.npz")[key]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", OFFICIAL_VALUES)
def test_a_published_size_has_the_published_number_of_values(name) -> None:
    config = NAMED_INTERNIMAGES[name]().model_copy(update={"classes": 1000})
    with torch.device("meta"):
        values = sum(parameter.numel() for parameter in InternImage(config).parameters())
    assert values == pytest.approx(OFFICIAL_VALUES[name], rel=0.01)


def test_the_map_is_at_one_thirtysecond_rounded_up(small_internimage) -> None:
    maps = InternImage(small_internimage)(torch.zeros(2, 3, 33, 64))
    assert [tuple(features.shape) for features in maps] == [(2, 128, 2, 2)]


def test_a_fresh_network_begins_as_the_official_code_does(small_internimage) -> None:
    torch.manual_seed(0)
    network = InternImage(small_internimage)
    layer = network.levels[3].blocks[0]
    assert layer.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not layer.mlp.fc1.bias.any()
    for still in (layer.dcn.offset, layer.dcn.mask):
        assert not still.weight.any()
        assert not still.bias.any()
    limit = (6 / 256) ** 0.5  # Xavier's, for 128 channels in and out
    assert 0.95 * limit < layer.dcn.input_proj.weight.abs().max().item() <= limit


def test_paths_are_dropped_in_training_alone_and_more_often_the_deeper(small_internimage) -> None:
    network = InternImage(small_internimage.model_copy(update={"drop_path": 0.4}))
    rates = [block.drop_path for level in network.levels for block in level.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    block, x = network.levels[3].blocks[0], torch.randn(32, 1, 1, 128)
    torch.manual_seed(0)
    kept = (block.train()(x) != x).flatten(1).any(dim=1).float().mean().item()
    assert 0.5 < kept < 1  # either of two branches changes an image: 1 - 0.4 * 0.4
    assert torch.equal(block.eval()(x), block(x))


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ConfigError, match="level 1 has 32 channels, not divisible by 5 groups"):
        InternImageConfig(width=16, groups=(2, 5, 8, 16))


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
