"""Bootstrap intervals of means and of other statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


LEVEL = 0.95
_BLOCK = 4_000_000


def intervals(
    values: NDArray[np.float64], groups: Sequence[str], *, resamples: int, seed: int = 0
) -> NDArray[np.float64] | None:
    """Where the means of many images like these would lie, 95 % of the time.

    Groups are drawn with replacement, as many as there are, and all their images with them. Every column is averaged
    over the same draws, so that a column of paired differences gets the interval of a paired comparison.

    Args:
        values: (images, columns), float; infinite values are allowed.
        groups: For each image what is drawn with it: its sequence, or a name of its own.
        resamples: How often to draw.
        seed: Of the draws.

    Returns:
        (2, columns): the lower and the upper end; None where there are fewer than two groups, for then nothing varies.

    Example:
        >>> intervals(np.array([[0.0], [1.0], [2.0], [3.0]]), list("abcd"), resamples=1000).round(2).tolist()
        [[0.5], [2.5]]
    """
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(numbers.max()) + 1
    if count < 2:
        return None
    finite = np.isfinite(values)
    sums = _by_group(np.where(finite, values, 0), numbers, count)
    infinite = _by_group(np.where(finite, 0, np.sign(values)), numbers, count)
    sizes = np.bincount(numbers)
    random = np.random.default_rng(seed)
    means = []
    for first in range(0, resamples, step := max(1, _BLOCK // count)):
        drawn = random.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - first))
        block = (drawn @ sums) / (drawn @ sizes)[:, np.newaxis]
        lost = drawn @ infinite
        means.append(np.where(lost == 0, block, np.copysign(np.inf, lost)))
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    # A percentile that is one of the means: between infinite ones nothing can be interpolated.
    limits: NDArray[np.float64] = np.quantile(np.concatenate(means), ends, axis=0, method="inverted_cdf")
    return limits


def differences(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """`first - second`, where two equal infinities differ by 0.

    Example:
        >>> differences(np.array([3.0, np.inf]), np.array([1.0, np.inf])).tolist()
        [2.0, 0.0]
    """
    with np.errstate(invalid="ignore"):
        return np.where(first == second, 0.0, first - second)


def _by_group(values: NDArray[np.float64], numbers: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Sums of the rows of each group: (images, columns) -> (groups, columns)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, numbers, values)
    return sums


_LEVEL = 0.95


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
    low, high = np.quantile(known, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], method="inverted_cdf")
    return Estimate(float(value), float(low), float(high))
