from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nirgen.models import fast
from nirgen.models.blocks import OutputBlock, ResidualBlock, Upsample
from nirgen.models.catalog import embedded_models
from nirgen.models.checkpoint import build, load
from nirgen.models.config import GeneratorConfig, NoExtractorConfig
from nirgen.models.fast import FastOutputBlock, FastResidualBlock, FoldedUpsample, WinogradConv, layout_of, speed_up

if TYPE_CHECKING:
    from nirgen.models.generator import Pix2Next


SIZES = [(1, 1), (2, 7), (4, 4), (5, 3), (12, 20), (33, 50)]


@pytest.fixture
def wide() -> Pix2Next:
    """Two levels, some of whose convolutions are wide enough for Winograd's filtering."""
    torch.manual_seed(0)
    config = GeneratorConfig(
        stem_channels=8,
        encoder=((8,), (128, 256)),
        bottleneck=((256,), (256,), (8,)),
        decoder=((16,), (8,)),
        attention_heads=2,
        norm_groups=4,
        output_block=True,
        extractor=NoExtractorConfig(),
    )
    return build(config).eval()


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 2])
@torch.inference_mode()
def test_winograds_filtering_is_the_convolution_at_every_size(size: tuple[int, int], batch: int) -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(24, 40, 3, padding=1)
    x = torch.randn(batch, 24, *size)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        assert relative(WinogradConv(conv)(given), conv(x)) < 1e-5


@torch.inference_mode()
def test_a_backbones_norms_become_part_of_its_convolutions() -> None:
    torch.manual_seed(0)
    generator = build(GeneratorConfig.compact())
    for norm in generator.extractor.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    generator.eval()
    double = fast.speed_up(generator)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in double.modules())
    rgb = torch.rand(1, 3, 64, 96) * 2 - 1
    for found, expected in zip(double.extractor(rgb), generator.extractor(rgb), strict=True):
        assert relative(found, expected) < 1e-5


@torch.inference_mode()
def test_winograds_filtering_needs_no_bias() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    x = torch.randn(1, 4, 9, 9)
    assert relative(WinogradConv(conv)(x), conv(x)) < 1e-5


@torch.inference_mode()
def test_strips_of_any_height_give_the_same_filtering(monkeypatch: pytest.MonkeyPatch) -> None:
    conv, x = nn.Conv2d(4, 4, 3, padding=1), torch.randn(1, 4, 30, 22)
    for tiles in (1, 13, 10_000):
        monkeypatch.setattr(fast, "_TILES_AT_ONCE", tiles)
        assert relative(WinogradConv(conv)(x), conv(x)) < 1e-5


@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_the_folded_upsampling_is_the_layer(size: tuple[int, int]) -> None:
    upsample, x = Upsample(6), torch.randn(2, 6, *size)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        assert relative(FoldedUpsample(upsample)(given), upsample(x)) < 1e-6


@torch.inference_mode()
def test_the_blocks_doubles_are_the_blocks_and_leave_their_input_alone() -> None:
    x = torch.randn(2, 8, 12, 10)
    before = x.clone()
    residual, equal, output = ResidualBlock(8, 12, 4), ResidualBlock(8, 8, 4), OutputBlock(8, 4)
    assert relative(FastResidualBlock(residual)(x), residual(x)) < 1e-6
    assert relative(FastResidualBlock(equal)(x), equal(x)) < 1e-6
    assert relative(FastOutputBlock(output)(x), output(x)) < 1e-5
    assert torch.equal(x, before)


@pytest.mark.parametrize("size", [(2, 2), (34, 50), (66, 38)])
@torch.inference_mode()
def test_a_wide_generator_and_its_double_agree_to_1e_4(wide: Pix2Next, size: tuple[int, int]) -> None:
    double = speed_up(wide)
    assert sum(isinstance(layer, WinogradConv) for layer in double.modules()) == 8
    assert layout_of(double) is torch.channels_last
    rgb = torch.rand(1, 3, *size) * 2 - 1
    assert relative(double(rgb.contiguous(memory_format=torch.channels_last)), wide(rgb)) < 1e-4


@pytest.mark.parametrize("size", [(32, 32), (96, 160)])
@torch.inference_mode()
def test_the_embedded_model_and_its_double_agree_to_1e_4(size: tuple[int, int]) -> None:
    generator, _ = load(embedded_models()["compact"])
    double = speed_up(generator)
    torch.manual_seed(2)
    rgb = F.interpolate(torch.rand(1, 3, 8, 8), size, mode="bicubic").clamp(0, 1) * 2 - 1
    assert relative(double(rgb), generator(rgb)) < 1e-4


def test_only_plain_wide_3x3_convolutions_are_exchanged() -> None:
    exchanged = [nn.Conv2d(128, 256, 3, padding=1), nn.Conv2d(512, 128, 3, padding=1, bias=False)]
    left = [
        nn.Conv2d(128, 128, 3, padding=1),
        nn.Conv2d(112, 512, 3, padding=1),
        nn.Conv2d(256, 256, 1),
        nn.Conv2d(256, 256, 3),
        nn.Conv2d(256, 256, 3, padding=1, stride=2),
        nn.Conv2d(256, 256, 3, padding=1, groups=256),
    ]
    double = speed_up(nn.ModuleList(exchanged + left))
    kinds = [type(layer) for layer in double]
    assert kinds == [WinogradConv] * 2 + [nn.Conv2d] * 6


def test_the_generator_is_left_as_it_was_and_shares_its_parameters(wide: Pix2Next) -> None:
    names, tensors = list(wide.state_dict()), {name: tensor.clone() for name, tensor in wide.state_dict().items()}
    double = speed_up(wide)
    assert list(wide.state_dict()) == names
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in wide.state_dict().items())
    assert double.stem.weight is wide.stem.weight
