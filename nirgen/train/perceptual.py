"""The VGG19 term of the released code (github.com/Yonsei-STL/pix2next at c95c865), after pix2pixHD (CVPR 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights, vgg19

from nirgen.errors import ModelError
from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from nirgen.train.config import PerceptualConfig

_ENDS = (2, 7, 12, 21, 30)  # after the first activation of each of the five blocks
_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


class PerceptualLoss(nn.Module):
    """Weighted mean absolute difference of VGG19's features at five depths, deeper ones counting more.

    Images go in as they are, in [-1, 1], without ImageNet's normalisation, as in both codes.

    Args:
        config: Which image is the target, and whether the term teaches.

    Raises:
        ModelError: The weights can't be had.
    """

    def __init__(self, config: PerceptualConfig) -> None:
        super().__init__()
        self.config = config
        network = vgg19(weights=None)
        network.load_state_dict(_weights(config.weights, network))
        layers = list(network.features)[: _ENDS[-1]]
        starts = (0, *_ENDS[:-1])
        self.slices = nn.ModuleList(nn.Sequential(*layers[start:end]) for start, end in zip(starts, _ENDS, strict=True))
        self.requires_grad_(False)

    def forward(self, rgb: Tensor, nir: Tensor, generated: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            rgb: (N, 3, H, W) in [-1, 1].
            nir: (N, C, H, W) in [-1, 1]; C is 1 or 3.
            generated: The same.

        Returns:
            A scalar.
        """
        target = rgb if self.config.target == "rgb" else nir.expand(-1, 3, -1, -1)
        x, y = generated.expand(-1, 3, -1, -1), target
        if not self.config.teaches:
            x = x.detach()
        terms = []
        for weight, features in zip(_WEIGHTS, self.slices, strict=True):
            x, y = features(x), features(y)
            terms.append(weight * (x - y).abs().mean())
        return torch.stack(terms).sum()


def _weights(file: str | None, network: nn.Module) -> dict[str, Tensor]:
    """VGG19's weights out of a file, or out of torch's cache, which is filled where there is a network."""
    if file is None:
        try:
            url = VGG19_Weights.IMAGENET1K_V1.url
            state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"VGG19's weights are not in torch's cache and can't be fetched ({_line(error)}); name a file of them "
                "(losses.perceptual.weights) or switch the term off (losses.perceptual.weight: 0)"
            ) from None
        return state
    state = read_foreign(Path(file))
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if {name: tensor.shape for name, tensor in state.items()} != expected:
        raise ModelError(f"{file}: not the weights of torchvision's VGG19; name a file of them")
    return state


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
