"""The Pix2Next generator (Jin et al., Technologies 13(4):154, 2025; arXiv 2409.16706), Section 3.1 and Table 1.

Reference implementation: github.com/Yonsei-STL/pix2next at c95c865. The paper and that code differ in places; both are
configurations of one network (`GeneratorConfig.paper`, `GeneratorConfig.released`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nirgen.models.blocks import AttentionBlock, Downsample, OutputBlock, ResidualBlock, Upsample
from nirgen.models.network import Generator

if TYPE_CHECKING:
    from nirgen.models.config import GeneratorConfig, Widths
    from nirgen.models.extractors import Extractor


class Stage(nn.ModuleList):
    """Residual blocks of one level in sequence, optionally with an attention block after the first."""

    checkpointing = False  # recompute each block in the backward pass, to use less memory

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """(N, C_in, H, W) and the condition -> (N, C_out, H, W)."""
        for block in self:
            inputs = (x, condition) if isinstance(block, AttentionBlock) else (x,)
            if self.checkpointing and self.training:
                x = checkpoint(block, *inputs, use_reentrant=False)
            else:
                x = block(*inputs)
        return x


class Pix2Next(Generator):
    """Generator of near-infrared images.

    Args:
        config: Sizes of all stages. It is not modified.
        extractor: Maps the RGB image or the stem's features to maps (N, D, h, w); the last, of any h and w, is the
            condition. None: no condition.
    """

    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig, extractor: Extractor | None) -> None:
        last = len(config.encoder) - 1
        super().__init__(config, max(2**last, extractor.stride if extractor is not None else 1), extractor)
        self.condition_channels = extractor.condition_channels if extractor is not None else None
        self.stem = nn.Conv2d(3, config.stem_channels, 1)
        channels = config.stem_channels

        self.encoder = nn.ModuleList()
        skips: list[int] = []
        for level, widths in enumerate(config.encoder):
            attention = level == last and "E" in config.attention
            features = self.pyramid.get(2**level, 0)
            if level and (widths or not features):
                self.encoder += [Downsample(channels)]
            self.encoder += [self._stage(channels, widths, attention=attention, joined=features)]
            channels = widths[-1] if widths else features or channels
            skips += [channels]

        self.bottleneck = nn.ModuleList()
        for position, widths in enumerate(config.bottleneck):
            self.bottleneck += [self._stage(channels, widths, attention=position == 1)]
            channels = (channels, *widths)[-1]

        self.decoder = nn.ModuleList()
        for level, widths in enumerate(config.decoder):
            attention = level == 0 and "D" in config.attention
            self.decoder += [self._stage(channels, widths, attention=attention, joined=skips.pop())]
            channels = (channels, *widths)[-1]
            if level < last:
                self.decoder += [Upsample(channels)]

        self.output_block = OutputBlock(channels + config.stem_channels, channels) if config.output_block else None
        self.output = nn.Conv2d(channels, config.output_channels, 3, padding=1)

    def checkpoint_gradients(self) -> None:
        """Compute each block twice in training, to use less memory."""
        for stage in self.modules():
            if isinstance(stage, Stage):
                stage.checkpointing = True

    def _stage(self, channels: int, widths: Widths, *, attention: bool, joined: int = 0) -> Stage:
        """Build the blocks of one group; the first residual block also takes the channels of a map joined to it."""
        config = self.config
        stage = Stage()
        for position, width in enumerate(widths):
            stage += [ResidualBlock(channels + (joined if position == 0 else 0), width, config.norm_groups)]
            channels = width
            if attention and position == 0:
                sizes = width, self.condition_channels, config.attention_heads, config.norm_groups
                stage += [AttentionBlock(*sizes, config.head_merge)]
        return stage

    def forward(self, rgb: Tensor) -> Tensor:
        """Translate a batch.

        Args:
            rgb: (N, 3, H, W) float, sRGB in [-1, 1]; H and W divisible by `self.stride`.

        Returns:
            (N, output_channels, H, W), same dtype: NIR intensity in [-1, 1]. The last layer is linear, so values may
            overshoot.

        Raises:
            ShapeError: H or W is not divisible; the message gives the next size up.
        """
        self.check(rgb)
        x = stem = self.stem(rgb)  # (N, stem_channels, H, W)
        condition, features = None, dict[int, Tensor]()
        if self.extractor is not None:
            maps = self.extractor(rgb if self.config.extractor_input == "image" else stem)
            condition = maps[-1]  # (N, D, h, w)
            features = dict(zip(self.pyramid, maps, strict=False))  # by stride, without the condition alone

        skips = list[Tensor]()
        for block in self.encoder:
            if isinstance(block, Stage):
                joined = features.get(2 ** len(skips))
                if joined is not None:
                    x = torch.cat((x, joined), dim=1) if len(block) else joined
                x = block(x, condition)
                skips.append(x)
            else:
                x = block(x)
        for block in self.bottleneck:
            x = block(x, condition)
        for block in self.decoder:
            if isinstance(block, Stage):
                skip = skips.pop()
                x = block(torch.cat((x, skip), dim=1), condition) if len(block) else x
            else:
                x = block(x)

        if self.output_block is not None:
            x = self.output_block(torch.cat((x, stem), dim=1))
        return self.output(x)  # type: ignore[no-any-return]
