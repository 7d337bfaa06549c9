"""Distances of images by the features of the embedded model's backbone, which need no further file.

They have names of their own, because they can't be compared with published LPIPS and KID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

from nirgen.errors import ModelError
from nirgen.models.catalog import EMBEDDED
from nirgen.models.checkpoint import load, model_id
from nirgen.models.extractors import Normalized, TimmExtractor
from nirgen.stats import Estimate, draw_images, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor


MEASURING = EMBEDDED / "compact.safetensors"
MOST = 2000  # images whose features KID compares; of more, as many at equal distances


class Features(NamedTuple):
    """Features of an image."""

    maps: list[Tensor]  # (C, h, w) at each stride, finest first
    pooled: NDArray[np.float64]  # (D,), means of the deepest map

    def distance(self, other: Features) -> float:
        """Return `features_distance` of two images."""
        return features_distance(self, other)


class Backbone:
    """The pretrained backbone in a model file: one network that measures all methods alike.

    Attributes:
        id: Sha256 of its name and tensors.
        about: One line on the network and its origin.
    """

    def __init__(self, extractor: TimmExtractor, normalized: Normalized, name: str, origin: str) -> None:
        self._network, self._channels_last = extractor.backbone.eval(), extractor.channels_last
        self._mean, self._std = normalized.mean, normalized.std
        self.id = model_id(self._network.state_dict(), {"backbone": name})
        self.about = f"{name} of {origin}, sha256 {self.id[:12]}"

    @classmethod
    def read(cls, path: Path = MEASURING, device: torch.device | str = "cpu") -> Self:
        """Return the backbone of a model file, by default the embedded one's; a ModelError if it has none of timm's."""
        generator, header = load(path)
        normalized = generator.extractor
        if not isinstance(normalized, Normalized) or not isinstance(normalized.backbone, TimmExtractor):
            raise ModelError(f"{path}: no backbone of timm to measure with; install nirgen again")
        name = header["architecture"]["extractor"]["name"]
        return cls(normalized.backbone, normalized.to(device), name, path.stem)

    def features(self, image: NDArray[np.uint8]) -> Features:
        """Return the features of an (H, W) uint8 image, which is repeated to three channels."""
        maps = [each[0] for each in self._maps(image[None])]
        return Features(maps, maps[-1].mean(dim=(1, 2)).double().cpu().numpy())

    def pooled(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the means of the deepest map of (N, H, W) uint8 images as (N, D)."""
        means: NDArray[np.float32] = self._maps(images)[-1].mean(dim=(2, 3)).float().cpu().numpy()
        return means

    @torch.inference_mode()
    def _maps(self, images: NDArray[np.uint8]) -> list[Tensor]:
        """(N, H, W) -> (N, C, h, w) at each stride, finest first."""
        grey = torch.tensor(images, device=self._mean.device)[:, None]
        batch = (grey.float().div(255).expand(-1, 3, -1, -1) - self._mean) / self._std
        return [each.permute(0, 3, 1, 2) if self._channels_last else each for each in self._network(batch)]


def features_distance(generated: Features, real: Features) -> float:
    """Return the distance of two images of one size, in [0, 4].

    At each position the features are scaled to the length 1; their squared distance is averaged over the positions of
    a map, and then over the maps. That is LPIPS (Zhang et al., CVPR 2018, Eq. 1) of another network, and without
    weights of the channels.
    """
    distances = [
        (normalize(ours, dim=0) - normalize(theirs, dim=0)).square().sum(dim=0).mean()
        for ours, theirs in zip(generated.maps, real.maps, strict=True)
    ]
    return float(torch.stack(distances).mean())


def kid_features(
    generated: NDArray[np.float64],
    real: NDArray[np.float64],
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int = 0,
) -> Estimate:
    """Return the kernel distance of the pooled features of paired images, (N, D), N at least 2, with its interval.

    It is the unbiased estimate of the squared maximum mean discrepancy for paired samples (Gretton et al., JMLR 13,
    2012, Eq. 4) with KID's kernel, (x·y / D + 1)³, so it is 0 for equal images and may be below 0. The bootstrap
    draws groups; an image that is drawn twice isn't compared with itself.

    Example:
        >>> kid_features(np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]), ["a", "b"], resamples=100).value
        19.0
    """
    chosen = np.unique(np.linspace(0, len(real) - 1, min(len(real), MOST)).round().astype(int))
    x, y = generated[chosen], real[chosen]
    across = _kernel(x, y)
    compared = _kernel(x, x) + _kernel(y, y) - across - across.T
    np.fill_diagonal(compared, 0)
    count = len(chosen)
    drawn = draw_images([groups[each] for each in chosen], resamples=resamples, seed=seed).astype(np.float64)
    pairs = drawn.sum(axis=1) ** 2 - (drawn**2).sum(axis=1)
    with np.errstate(invalid="ignore"):  # a draw of one image has no pairs
        draws = ((drawn @ compared) * drawn).sum(axis=1) / pairs
    return estimate(float(compared.sum() / (count * (count - 1))), draws)


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, D) and (M, D) -> (N, M)."""
    values: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return values
