"""Bootstrap intervals of means and of other statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


LEVEL = 0.95
FEW_GROUPS = 10  # intervals of fewer groups are too narrow
_BLOCK = 4_000_000  # numbers drawn at once


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its 95 % interval."""

    value: float | None  # None if undefined
    low: float | None = None  # None without an interval
    high: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON, which has no infinities: they become null."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if number is None or not np.isfinite(number) else number for name, number in numbers.items()}


def estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    """Return a statistic of all images with the percentile interval of its bootstrap draws, (R,).

    NaN is undefined: as the value it gives None, and draws of it are left out.

    Example:
        >>> estimate(0.5, np.arange(81.0))
        Estimate(value=0.5, low=2.0, high=78.0)
        >>> estimate(float("nan"), np.empty(0))
        Estimate(value=None, low=None, high=None)
    """
    if np.isnan(value):
        return Estimate(None)
    known = draws[~np.isnan(draws)]
    if not len(known):
        return Estimate(float(value))
    # "inverted_cdf" returns one of the draws: nothing can be interpolated between infinite ones.
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Estimate(float(value), float(low), float(high))


def estimate_means(
    values: NDArray[np.float64], groups: Sequence[str], *, resamples: int, seed: int = 0
) -> list[Estimate]:
    """Return the mean of each column of (images, columns) with its interval; infinite values are allowed.

    All columns are averaged over the same draws, so a column of paired differences gets the interval of a paired
    comparison. Images of one group are drawn together: its sequence, or a name of their own.

    Example:
        >>> estimate_means(np.array([[0.0], [1.0], [2.0], [3.0]]), list("abcd"), resamples=1000)
        [Estimate(value=1.5, low=0.5, high=2.5)]
    """
    numbers, count = _numbered(groups)
    finite = np.isfinite(values)
    sums = _sum_by_group(np.where(finite, values, 0), numbers, count)
    infinite = _sum_by_group(np.where(finite, 0, np.sign(values)), numbers, count)
    sizes = np.bincount(numbers)
    draws = [np.empty((0, values.shape[1]))]
    for drawn in _draw(count, resamples, seed):
        means = (drawn @ sums) / (drawn @ sizes)[:, np.newaxis]
        lost = drawn @ infinite
        draws.append(np.where(lost == 0, means, np.copysign(np.inf, lost)))
    return [
        estimate(float(mean), column) for mean, column in zip(values.mean(axis=0), np.concatenate(draws).T, strict=True)
    ]


def draw_images(groups: Sequence[str], *, resamples: int, seed: int = 0) -> NDArray[np.int32]:
    """Draw groups of N images with replacement, R times: (R, N), how often each draw has each image.

    Images of one group are drawn together. There are no draws, (0, N), of fewer than two groups, since nothing varies.

    Example:
        >>> draw_images(["a", "a", "b"], resamples=3).tolist()
        [[1, 1, 1], [1, 1, 1], [0, 0, 2]]
    """
    numbers, count = _numbered(groups)
    blocks = (drawn[:, numbers].astype(np.int32) for drawn in _draw(count, resamples, seed))
    return np.concatenate([np.empty((0, len(groups)), np.int32), *blocks])


def note_on_groups(count: int, drawn: str) -> list[str]:
    """Return the caveat on intervals of few groups; `drawn` is their name, such as `images`."""
    return [f"intervals of {count} {drawn} are rough, and rather too narrow"] if count < FEW_GROUPS else []


def differences(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `first - second`, where two equal infinities differ by 0.

    Example:
        >>> differences(np.array([3.0, np.inf]), np.array([1.0, np.inf])).tolist()
        [2.0, 0.0]
    """
    with np.errstate(invalid="ignore"):
        return np.where(first == second, 0.0, first - second)


def _numbered(groups: Sequence[str]) -> tuple[NDArray[np.intp], int]:
    """Return the number of each image's group, and the number of groups."""
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    return numbers, int(numbers.max()) + 1


def _draw(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield blocks of draws, (rows, count): how often each group was drawn; none for fewer than two groups."""
    random = np.random.default_rng(seed)
    for first in range(0, resamples if count > 1 else 0, step := max(1, _BLOCK // count)):
        yield random.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - first))


def _sum_by_group(values: NDArray[np.float64], numbers: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """(images, columns) -> (groups, columns)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, numbers, values)
    return sums
