"""Noise of a mean over runs, and of the difference of two: of the choice of test images, and of chance in training.

The variance of the choice of images is that of bootstrap draws of the mean over seeds; G groups that are drawn have
(G - 1) / G of it, which is made up for. The variance of chance in training is that over the S seeds of each arm, by S.
Their sum has the degrees of freedom of Welch and Satterthwaite, and Student's t gives intervals and p-values: with few
seeds they are as wide as few seeds deserve.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from nirgen.stats import LEVEL, Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with its noise."""

    value: float | None  # None if undefined
    of_images: float | None = None  # variance by the choice of test images; None without draws
    of_seeds: float = 0.0  # variance by chance in training; 0 if it is unknown, with one seed
    freedom: float = 1.0  # degrees of freedom of both

    @property
    def error(self) -> float | None:
        """The standard error; None without draws."""
        return None if self.of_images is None else sqrt(self.of_images + self.of_seeds)

    @property
    def p(self) -> float | None:
        """The probability of a value as far from 0 by noise alone; None without draws."""
        if self.value is None or self.error is None:
            return None
        if not self.error:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * special.stdtr(self.freedom, -abs(self.value) / self.error))

    def estimate(self, level: float = LEVEL) -> Estimate:
        """Return the number with its interval."""
        if self.value is None or self.error is None:
            return Estimate(self.value)
        reach = self.quantile((1 + level) / 2) * self.error
        return Estimate(self.value, self.value - reach, self.value + reach)

    def quantile(self, share: float) -> float:
        """Return a quantile of Student's t."""
        return float(special.stdtrit(self.freedom, share))


def measure(runs: Sequence[NDArray[np.float64]], draws: NDArray[np.float64], groups: int) -> Measured:
    """Measure a mean over runs, or the difference of two.

    Args:
        runs: (S,) a run each: of an arm, or of it and of the one that is subtracted.
        draws: (R,) the number in bootstrap draws of the images; NaN where it is undefined.
        groups: Images or recordings that are drawn and have objects.
    """
    mean, *others = (float(each.mean()) for each in runs)
    value = mean - sum(others)
    if np.isnan(value):
        return Measured(None)
    known = draws[~np.isnan(draws)]
    if len(known) < 2 or groups < 2:
        return Measured(value)
    of_images = float(known.var(ddof=1)) * groups / (groups - 1)
    several = [(float(each.var(ddof=1)), len(each)) for each in runs if len(each) > 1]
    of_runs = [(variance / count, count - 1) for variance, count in several]
    if several and len(several) < len(runs):  # an arm of one seed is taken to vary as the other
        of_runs.append((several[0][0], several[0][1] - 1))
    of_seeds = sum(variance for variance, _ in of_runs)
    squares = of_images**2 / (groups - 1) + sum(variance**2 / freedom for variance, freedom in of_runs)
    freedom = (of_images + of_seeds) ** 2 / squares if squares else float(groups - 1)
    return Measured(value, of_images, of_seeds, freedom)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for looking at all of them, so that any false alarm among them is as rare as one says.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Example:
        >>> [round(value, 3) for value in holm([0.01, 0.04, 0.03, 0.5])]
        [0.04, 0.09, 0.09, 0.5]
    """
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, values[place] * (len(values) - rank)))
        corrected[place] = highest
    return corrected
