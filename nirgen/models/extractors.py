"""Feature extractors: InternImage, any backbone of timm, or none (Pix2Next, Section 3.1.1 and Table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

from nirgen.errors import ModelError, nearest
from nirgen.models.config import InternImageConfig, NoExtractorConfig, TimmConfig
from nirgen.models.internimage import InternImage

if TYPE_CHECKING:
    from nirgen.models.config import ExtractorConfig


class Extractor(Protocol):
    """What the generator needs of a backbone."""

    condition_channels: int
    stride: int

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W), H and W divisible by `stride` -> (N, condition_channels, h, w)."""
        ...


def build_extractor(config: ExtractorConfig) -> Extractor | None:
    """The extractor that a configuration describes; None for `none`."""
    if isinstance(config, InternImageConfig):
        return InternImage(config)
    return None
