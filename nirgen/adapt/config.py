"""Settings of an adaptation."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

from pydantic import Field

from nirgen.config import FrozenConfig
from nirgen.errors import ConfigError
from nirgen.train.config import CropConfig

What = Literal["all", "last", "low-rank"]
WHATS: tuple[What, ...] = get_args(What)

LEAST_PAIRS, MOST_PAIRS = 3, 200
_Count = Annotated[int, Field(ge=1)]


class AdaptLossConfig(FrozenConfig):
    """Weights of the loss terms."""

    rmse: float = Field(1.5, ge=0)  # root mean squared error of each image
    structure: float = Field(1.5, ge=0)  # mean absolute error after removing each image's mean error
    ssim: float = Field(1.0, ge=0)  # 1 - SSIM
    gradients: float = Field(0.7, ge=0)  # mean absolute difference of horizontal and vertical differences


class AdaptConfig(FrozenConfig):
    """All settings of an adaptation."""

    what: Literal["auto", "all", "last", "low-rank"] = "auto"  # weights that change; `auto`: chosen by cross-validation
    steps: int | None = Field(None, ge=1)  # most optimizer steps of a fit; by default from the number of pairs
    checks: int = Field(4, ge=1)  # times that a fit is judged on held-out pairs, at even distances
    folds: int = Field(3, ge=2)  # of the cross-validation
    curve: tuple[_Count, ...] = (1, 2, 5, 10, 20, 50, 100)  # numbers of pairs of the learning curve
    batch: int = Field(4, ge=1)  # crops a step
    size: int = Field(160, ge=32)  # height and width of a crop, in pixels
    judged_size: int = Field(256, ge=32)  # height and width that pairs are squashed to for scores, in pixels
    learning_rate: float = Field(5e-4, gt=0)  # of `all` and `last`
    low_rank_learning_rate: float = Field(2e-3, gt=0)
    extractor_share: float = Field(0.1, ge=0, le=1)  # learning rate of the extractor, as a share of the others'
    rank: int = Field(4, ge=1)  # of the changes that `low-rank` adds to each layer's weights
    ema_decay: float = Field(0.9, ge=0, lt=1)  # of the moving average of the weights, which is judged and kept
    least_gain: float = Field(0.1, ge=0)  # dB that held-out pairs must gain
    losses: AdaptLossConfig = AdaptLossConfig()
    crops: CropConfig = CropConfig(kind="resized", smallest=0.4, whole=0.5, gamma=0.1, gain=0.05, white_balance=0.02)
    seed: int = Field(0, ge=0, lt=2**32)

    def steps_for(self, pairs: int) -> int:
        """Return the most steps of a fit to some pairs: 36 for three, growing with the square root of their number.

        Example:
            >>> [AdaptConfig().steps_for(pairs) for pairs in (1, 3, 12, 200)]
            [20, 36, 72, 292]
        """
        return self.steps if self.steps is not None else 4 * round(9 * math.sqrt(pairs / 3))

    def checks_of(self, steps: int) -> tuple[int, ...]:
        """Return the numbers of steps after which a fit of some steps is judged, rising.

        Example:
            >>> AdaptConfig().checks_of(40), AdaptConfig().checks_of(2)
            ((10, 20, 30, 40), (1, 2))
        """
        return tuple(sorted({math.ceil(steps * check / self.checks) for check in range(1, self.checks + 1)}))

    def check_stride(self, stride: int) -> None:
        """Raise a ConfigError unless the sizes are multiples of a generator's stride."""
        for name in ("size", "judged_size"):
            size = getattr(self, name)
            if size % stride:
                raise ConfigError(f"{name} is {size}, but the model takes multiples of {stride}; change it with --set")
