"""The measures: what each says, in which range, at which size and of which colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nirgen import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Measure:
    """One number of the table.

    Attributes:
        name: As in files.
        title: As a table's heading.
        better: Which way is better; `zero` for a signed error.
        decimals: Digits shown after the point.
        limits: The range of values, and the unit.
        definition: What it is.
        input: What is compared: size and colours.
        formula: Of generated and real (H, W) uint8; None where a network is needed.
    """

    name: str
    title: str
    better: Literal["higher", "lower", "zero"]
    decimals: int
    limits: str
    definition: str
    input: str
    formula: Callable[[NDArray[np.uint8], NDArray[np.uint8]], float] | None = None

    @property
    def arrow(self) -> str:
        """The better direction, as a table's heading has it."""
        return {"higher": "↑", "lower": "↓", "zero": "→0"}[self.better]


GREY = "8-bit grey at the size of comparison"
REPEATED = "grey repeated to three channels, in [0, 1], at the size of comparison"
INCEPTION = "grey repeated to three channels, 8-bit, resized from the size of comparison to 299x299 (antialiased)"

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("psnr", "PSNR", "higher", 2, "[0, inf] dB", "peak signal-to-noise ratio, peak 255", GREY, metrics.psnr),
        Measure(
            "ssim",
            "SSIM",
            "higher",
            4,
            "[-1, 1]",
            "structural similarity, Gaussian window of 1.5 px, whole windows only",
            GREY,
            metrics.ssim,
        ),
        Measure(
            "fid", "FID", "lower", 2, "[0, inf)", "Fréchet distance of Inception features; of the whole set", INCEPTION
        ),
        Measure(
            "rmse", "RMSE", "lower", 2, "[0, 255] grey levels", "root of the mean squared error", GREY, metrics.rmse
        ),
        Measure("lpips", "LPIPS", "lower", 4, "[0, inf), seldom above 1", "learned perceptual distance", REPEATED),
        Measure("dists", "DISTS", "lower", 4, "[0, 1]", "deep structure and texture distance", REPEATED),
        Measure(
            "std",
            "STD",
            "lower",
            2,
            "[0, 255] grey levels",
            "standard deviation of the error",
            GREY,
            metrics.std_error,
        ),
        Measure(
            "bias",
            "bias",
            "zero",
            2,
            "[-255, 255] grey levels",
            "mean error; RMSE² = STD² + bias² for each image",
            GREY,
            metrics.bias,
        ),
        Measure(
            "kid",
            "KID",
            "lower",
            4,
            "about [0, inf); unbiased, so it may be below 0",
            "kernel distance of Inception features; of the whole set",
            INCEPTION,
        ),
        Measure(
            "rmse_uint8_wrapped",
            "rmse_uint8_wrapped",
            "lower",
            2,
            "[0, 15.78]",
            "the published RMSE: difference and square wrap modulo 256; no measure of error",
            GREY,
            metrics.rmse_uint8_wrapped,
        ),
    )
}
OF_SETS = ("fid", "kid")
"""Measures of a whole set of images; the others are means over images."""
