"""Intervals of numbers that are no means over images, such as average precision: images are drawn anew, many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from nirgen.config import FrozenConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEVEL = 0.95
_ROWS = 256


class BootstrapConfig(FrozenConfig):
    """How intervals are made."""

    resamples: int = Field(1000, ge=0)
    """How often images are drawn; 0 for no intervals."""
    draw: Literal["images", "sequences"] = "images"
    """What is drawn with replacement: single images, or whole recordings, whose frames resemble each other."""
    seed: int = Field(0, ge=0)
    """Of the draws."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: Of all images; None where there is nothing to find.
        low: The lower end; None where there is no interval.
        high: The upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Estimate:
        """What `as_dict` gave."""
        return cls(values["value"], values["low"], values["high"])


def draw(groups: Sequence[str], config: BootstrapConfig) -> NDArray[np.int32]:
    """Draw images.

    Args:
        groups: For each of N images what is drawn with it: a name of its own, or its recording.
        config: How often, and the seed.

    Returns:
        (R, N) how often each draw has each image; no draws of fewer than two groups, for then nothing varies.

    Example:
        >>> draw(["a", "a", "b"], BootstrapConfig(resamples=3)).tolist()
        [[1, 1, 1], [1, 1, 1], [0, 0, 2]]
    """
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(numbers.max()) + 1
    if count < 2:
        return np.empty((0, len(groups)), np.int32)
    random = np.random.default_rng(config.seed)
    drawn = np.empty((config.resamples, len(groups)), np.int32)
    for first in range(0, config.resamples, _ROWS):
        rows = min(_ROWS, config.resamples - first)
        drawn[first : first + rows] = random.multinomial(count, np.full(count, 1 / count), size=rows)[:, numbers]
    return drawn


def estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    """A number with the interval that its draws give.

    Args:
        value: Of all images; NaN where there is nothing to find.
        draws: (R,) of each draw; NaN where a draw had nothing to find, which then isn't counted.

    Example:
        >>> estimate(0.5, np.arange(81.0))
        Estimate(value=0.5, low=2.0, high=78.0)
        >>> estimate(float("nan"), np.empty(0))
        Estimate(value=None, low=None, high=None)
    """
    known = draws[~np.isnan(draws)]
    if np.isnan(value):
        return Estimate(None)
    if not len(known):
        return Estimate(float(value))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Estimate(float(value), float(low), float(high))
