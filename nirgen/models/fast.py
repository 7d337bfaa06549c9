"""A faster generator for translation on a CPU in float32: same weights, same result to 1e-4.

Large generators spend their time in convolutions, small ones in passes over memory. So 3x3 convolutions of many
channels are computed by Winograd's minimal filtering (Lavin and Gray, CVPR 2016, arXiv 1509.09308, F(4x4, 3x3)), with a
quarter of the multiplications; the convolution after an upsampling reads the small map; a backbone's BatchNorm becomes
part of the convolution before it; and intermediates are changed in place. The algorithm depends on the layers alone and
the order of summation on the image's size, so that the same image gives the same bytes in every batch. Only
`nirgen.model` uses this module.
"""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nirgen.models.blocks import OutputBlock, ResidualBlock, StandardizedConv, Upsample
from nirgen.models.extractors import Normalized

if TYPE_CHECKING:
    from nirgen.models.network import Generator


# Below, the transforms cost what the products save; measured on AVX-512, see docs/performance.md.
_LEAST_CHANNELS = 128
_LEAST_PRODUCT = 128 * 256
# Tiles that are transformed together: enough rows for a matrix product, few enough for the cache.
_TILES_AT_ONCE = 128

# The transforms of F(4x4, 3x3): input (6x6), filter (6x3), output (4x6).
_INPUT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
_FILTER = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
_OUTPUT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
# A constant at this place of a transformed 6x6 tile becomes the same constant everywhere in the 4x4 output.
_CONSTANT = 7


def speed_up(generator: Generator) -> nn.Module:
    """Return a faster module for inference on a CPU in float32, to be called under `torch.inference_mode`.

    It shares the generator's parameters and holds filters derived from them: after a training step, make it anew.

    Args:
        generator: In evaluation mode. It is not modified.
    """
    shared = {id(tensor): tensor for tensor in (*generator.parameters(), *generator.buffers())}
    double: Generator = copy.deepcopy(generator, memo=shared)
    _fold_norms(double)
    _exchange(double)
    double = double.to(memory_format=layout_of(double)).eval()
    for name, child in list(double.named_children()):
        if isinstance(child, Normalized):
            setattr(double, name, ChannelsLast(child))
    return double


class ChannelsLast(nn.Module):
    """A backbone computed with channels last, where depthwise convolutions take half of the time."""

    def __init__(self, backbone: Normalized) -> None:
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.channels_last)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> the backbone's maps, in the memory format of the input."""
        layout = torch.contiguous_format if rgb.is_contiguous() else torch.channels_last
        maps: list[Tensor] = self.backbone(rgb.contiguous(memory_format=torch.channels_last))
        return [features.contiguous(memory_format=layout) for features in maps]


def _fold_norms(module: nn.Module) -> None:
    """Make the BatchNorm of EfficientNet-like blocks of timm a part of the convolution before it."""
    if type(module).__name__ in _FOLDED:
        from timm.layers.norm_act import BatchNormAct2d

        children = list(module.named_children())
        for (before, conv), (name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                setattr(module, before, fuse_conv_bn_eval(conv, norm))
                setattr(module, name, nn.Sequential(norm.drop, norm.act))
    for child in module.children():
        _fold_norms(child)


def layout_of(double: nn.Module) -> torch.memory_format:
    """Return the memory format of the module's input.

    Winograd's products need channels last. Without them, rows last are as fast, and there torch's GroupNorm, which
    errs by up to 1e-3 on channels last, is exact.
    """
    wide = any(isinstance(layer, WinogradConv) for layer in double.modules())
    return torch.channels_last if wide else torch.contiguous_format


def _exchange(module: nn.Module) -> None:
    """Replace each layer that has a faster counterpart."""
    for name, child in list(module.named_children()):
        double = _DOUBLES[type(child)](child) if type(child) in _DOUBLES else child
        if isinstance(child, nn.Conv2d) and _gains(child):
            double = WinogradConv(child)
        setattr(module, name, double)
        _exchange(double)


def _gains(conv: nn.Conv2d) -> bool:
    """Return True if Winograd's filtering can compute a convolution, and is faster."""
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    if shape != ((3, 3), (1, 1), (1, 1), (1, 1), 1) or type(conv) is not nn.Conv2d:
        return False
    channels = (conv.in_channels, conv.out_channels)
    return min(channels) >= _LEAST_CHANNELS and channels[0] * channels[1] >= _LEAST_PRODUCT


class WinogradConv(nn.Module):
    """A 3x3 convolution of stride 1 and padding 1, by F(4x4, 3x3)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        transform = torch.tensor(_FILTER, dtype=torch.float64)
        filters = torch.einsum("ia,jb,ocab->ijco", transform, transform, conv.weight.detach().double())
        self.filters = filters.reshape(36, conv.in_channels, conv.out_channels).float().contiguous()
        self.bias = conv.bias
        self.to_tiles = _square(_INPUT)  # (36, 36)
        self.from_tiles = _square(_OUTPUT)  # (16, 36)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W), channels last in memory."""
        n, _, height, width = x.shape
        down, across = -(-height // 4), -(-width // 4)
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 4 * across + 1 - width, 1, 4 * down + 1 - height))
        result = x.new_empty(n, 4 * down, 4 * across, self.filters.shape[2])
        rows = max(1, _TILES_AT_ONCE // across)
        for image, out in zip(padded, result, strict=True):
            for top in range(0, down, rows):
                end = min(top + rows, down)
                self._strip(image[4 * top : 4 * end + 2], out[4 * top : 4 * end])
        return result[:, :height, :width].permute(0, 3, 1, 2)

    def _strip(self, image: Tensor, out: Tensor) -> None:
        """Filter some rows of tiles: (4 k + 2, 4 l + 2, channels_in) into (4 k, 4 l, channels_out)."""
        tiles = image.unfold(0, 6, 4).unfold(1, 6, 4).permute(3, 4, 0, 1, 2)  # (6, 6, k, l, channels_in)
        _, _, down, across, channels = tiles.shape
        spectrum = (self.to_tiles @ tiles.reshape(36, -1)).view(36, -1, channels)
        filtered = torch.bmm(spectrum, self.filters)  # (36, k l, channels_out)
        if self.bias is not None:
            filtered[_CONSTANT] += self.bias
        values = (self.from_tiles @ filtered.view(36, -1)).view(4, 4, down, across, -1)
        out.view(down, 4, across, 4, -1).copy_(values.permute(2, 0, 3, 1, 4))


def _square(matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return the transform of both sides from that of one side."""
    side = torch.tensor(matrix)
    return torch.kron(side, side).contiguous()


class FoldedUpsample(nn.Module):
    """Nearest neighbour by two and a 3x3 convolution, as one 2x2 convolution of the small map to four phases.

    Of the nine taps on an enlarged map, those that read the same small pixel are summed in advance.
    """

    def __init__(self, upsample: Upsample) -> None:
        super().__init__()
        weight = upsample.conv.weight.detach().double()
        fold = torch.tensor(
            [[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]], dtype=torch.float64
        )  # (phase, small pixel, tap)
        phases = torch.einsum("pia,qjb,ocab->pqocij", fold, fold, weight)
        assert upsample.conv.bias is not None
        self.weight = nn.Parameter(phases.flatten(0, 2).float(), requires_grad=False)
        self.bias = nn.Parameter(upsample.conv.bias.detach().repeat(4), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2 H, 2 W), in the convolution's memory format."""
        n, channels, height, width = x.shape
        phases = F.conv2d(x, self.weight, self.bias, padding=1)  # (N, 4 C, H + 1, W + 1)
        channels_last = phases.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        result = torch.empty(n, channels, 2 * height, 2 * width, memory_format=layout)
        for phase, part in enumerate(phases.chunk(4, dim=1)):
            down, across = divmod(phase, 2)
            result[:, :, down::2, across::2] = part[:, :, down : height + down, across : width + across]
        return result


class FastResidualBlock(nn.Module):
    """A residual block that changes its intermediates in place."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.norm1, self.conv1 = block.norm1, block.conv1
        self.norm2, self.conv2 = block.norm2, block.conv2
        self.shortcut = block.shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        return h.add_(self.shortcut(x))  # type: ignore[no-any-return]


class FastOutputBlock(nn.Module):
    """The output block with filters standardised once, and InstanceNorm as GroupNorm, which is faster."""

    def __init__(self, block: OutputBlock) -> None:
        super().__init__()
        self.conv1, self.conv2 = _standardised(block.conv1), _standardised(block.conv2)
        self.shortcut = block.shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H, W)."""
        h = F.silu(_instance_norm(self.conv1(x)), inplace=True)
        h = F.silu(_instance_norm(self.conv2(h)), inplace=True)
        return h.add_(self.shortcut(x))


def _instance_norm(x: Tensor) -> Tensor:
    return F.group_norm(x.contiguous(), x.shape[1])


def _standardised(conv: StandardizedConv) -> nn.Conv2d:
    """Return a plain convolution with the standardised filters."""
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1)
    plain.weight = nn.Parameter(conv.standardised().detach(), requires_grad=False)
    plain.bias = conv.bias
    return plain


# Classes of timm whose convolutions each feed the norm that is their next child, and nothing else.
_FOLDED = {"EfficientNetFeatures", "ConvBnAct", "DepthwiseSeparableConv", "InvertedResidual", "EdgeResidual"}
_DOUBLES = {Upsample: FoldedUpsample, ResidualBlock: FastResidualBlock, OutputBlock: FastOutputBlock}
