"""Intensities and gradients of NIR images, generated and real, so that they can be laid beside each other.

Cameras differ in resolution, and gradients grow with it: every image is brought to one size first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.dataset.plan import Report

LONGEST_SIDE = 512
"""In pixels, of the images that are measured; larger ones are reduced to it."""
LEVELS = np.linspace(0, 256, 65)
"""Edges of the bins of intensities, in grey levels."""
SLOPES = np.geomspace(1, 128, 22)
"""Edges of the bins of gradients, in grey levels a pixel; what lies outside is counted in the outermost."""
THREADS = 2
_AHEAD = 16
"""Images given to the threads at once, so that memory doesn't grow with their number."""


@dataclass(frozen=True)
class Measured:
    """The statistics of one image.

    Attributes:
        levels: (64,) float64, the share of pixels in each bin of `LEVELS`.
        slopes: (21,) float64, the same for `SLOPES`.
        numbers: By name: `mean`, `spread` (standard deviation), both in grey levels; `black` and `white`, the
            percentages of pixels at 0 and at 255; `slope`, the mean gradient in grey levels a pixel.
    """

    levels: NDArray[np.float64]
    slopes: NDArray[np.float64]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Statistics:
    """The statistics of the images of one kind, each image having the same weight.

    Attributes:
        images: How many were measured.
        levels: As of an image, their mean.
        slopes: The same.
        numbers: By name, the median over the images.
    """

    images: int
    levels: NDArray[np.float64]
    slopes: NDArray[np.float64]
    numbers: Mapping[str, float]


def measure(grey: NDArray[np.uint8]) -> Measured:
    """Measure an image.

    Args:
        grey: (H, W) uint8, at least 2 pixels a side.
    """
    values = grey.astype(np.float32)
    down, right = np.gradient(values)
    slopes = np.hypot(down, right).ravel()
    levels, _ = np.histogram(values, LEVELS)
    steep, _ = np.histogram(slopes.clip(SLOPES[0], SLOPES[-1]), SLOPES)
    return Measured(
        levels=levels / grey.size,
        slopes=steep / grey.size,
        numbers={
            "mean": float(values.mean()),
            "spread": float(values.std()),
            "black": 100 * float((grey == 0).mean()),
            "white": 100 * float((grey == 255).mean()),
            "slope": float(slopes.mean()),
        },
    )


def measure_files(samples: Mapping[bool, Sequence[Path]], report: Report | None = None) -> dict[bool, Statistics]:
    """Measure files of both kinds.

    Args:
        samples: By whether they are generated.
        report: Told after each file.

    Returns:
        By kind; one of which no file could be read has no entry.
    """
    total = sum(map(len, samples.values()))
    found: dict[bool, list[Measured]] = {}
    done = 0
    with ThreadPoolExecutor(THREADS) as threads:
        for kind, paths in samples.items():
            for start in range(0, len(paths), _AHEAD):
                for measured in threads.map(_measure_file, paths[start : start + _AHEAD]):
                    done += 1
                    if report is not None:
                        report("measure", done, total)
                    if measured is not None:
                        found.setdefault(kind, []).append(measured)
    return {kind: _together(each) for kind, each in found.items()}


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """What two distributions share, in [0, 1].

    Example:
        >>> overlap(np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5]))
        0.5
    """
    return float(np.minimum(one, other).sum())


def _measure_file(path: Path) -> Measured | None:
    try:
        grey = images.to_grey(images.read(path))
    except ImageError:
        return None
    if min(grey.shape) < 2:
        return None
    scale = min(1, LONGEST_SIDE / max(grey.shape))
    return measure(images.resize(grey, (max(2, round(grey.shape[0] * scale)), max(2, round(grey.shape[1] * scale)))))


def _together(measured: Sequence[Measured]) -> Statistics:
    return Statistics(
        images=len(measured),
        levels=np.mean([each.levels for each in measured], axis=0),
        slopes=np.mean([each.slopes for each in measured], axis=0),
        numbers={name: float(np.median([each.numbers[name] for each in measured])) for name in measured[0].numbers},
    )
