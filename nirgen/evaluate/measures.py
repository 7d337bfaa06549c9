"""Image quality measures: definition, range and input; and the values that the paper published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nirgen import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Measure:
    """An image quality measure: a column of the table."""

    name: str  # in files
    title: str  # in tables
    better: Literal["higher", "lower", "zero"]  # zero: a signed error
    decimals: int
    limits: str  # range of values, with the unit
    definition: str
    input: str  # size and colours of the compared images
    formula: Callable[[NDArray[np.uint8], NDArray[np.uint8]], float] | None = None  # of (H, W); None: needs a network

    @property
    def arrow(self) -> str:
        """The better direction, as in a table's heading."""
        return {"higher": "↑", "lower": "↓", "zero": "→0"}[self.better]


GREY = "8-bit grey at the size of comparison"
REPEATED = "grey repeated to three channels, in [0, 1], at the size of comparison"
INCEPTION = "grey repeated to three channels, 8-bit, resized from the size of comparison to 299x299 (antialiased)"
BACKBONE = "grey repeated to three channels, scaled as in the backbone's training, at the size of comparison"

# fmt: off
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("psnr", "PSNR", "higher", 2, "[0, inf] dB",
                "peak signal-to-noise ratio, peak 255; of equal images infinite, 100 dB in a mean", GREY, metrics.psnr),
        Measure("ssim", "SSIM", "higher", 4, "[-1, 1]",
                "structural similarity, Gaussian window of 1.5 px, whole windows only", GREY, metrics.ssim),
        Measure("psnr_affine", "PSNR affine", "higher", 2, "[0, inf] dB",
                "PSNR after the gain (at least 0) and offset of least squared error, for each image", GREY,
                metrics.psnr_affine),
        Measure("ssim_affine", "SSIM affine", "higher", 4, "[-1, 1]", "SSIM after the same gain and offset", GREY,
                metrics.ssim_affine),
        Measure("ssim_uniform7", "SSIM 7x7", "higher", 4, "[-1, 1]",
                "the published SSIM (scikit-image's default): uniform window of 7x7 px, sample covariance", GREY,
                metrics.ssim_uniform7),
        Measure("fid", "FID", "lower", 2, "[0, inf)",
                "Fréchet distance of Inception features; of the whole set", INCEPTION),
        Measure("rmse", "RMSE", "lower", 2, "[0, 255] grey levels", "root of the mean squared error", GREY,
                metrics.rmse),
        Measure("lpips", "LPIPS", "lower", 4, "[0, inf), seldom above 1", "learned perceptual distance", REPEATED),
        Measure("dists", "DISTS", "lower", 4, "[0, 1]", "deep structure and texture distance", REPEATED),
        Measure("features_distance", "features", "lower", 4, "[0, 4], seldom above 1",
                "distance of the embedded backbone's features, of length 1 at each position; not LPIPS", BACKBONE),
        Measure("std", "STD", "lower", 2, "[0, 255] grey levels", "standard deviation of the error", GREY,
                metrics.std_error),
        Measure("bias", "bias", "zero", 2, "[-255, 255] grey levels",
                "mean error; RMSE² = STD² + bias² for each image", GREY, metrics.bias),
        Measure("kid", "KID", "lower", 4, "about [0, inf); unbiased, so it may be below 0",
                "kernel distance of Inception features; of the whole set", INCEPTION),
        Measure("kid_features", "KID features", "lower", 4, "about [0, inf); unbiased, so it may be below 0",
                "kernel distance of the embedded backbone's features; of the whole set; not KID", BACKBONE),
        Measure("rmse_uint8_wrapped", "rmse_uint8_wrapped", "lower", 2, "[0, 15.78]",
                "the published RMSE: difference and square wrap modulo 256; no measure of error", GREY,
                metrics.rmse_uint8_wrapped),
    )
}
# fmt: on
PIXEL_MEASURES = tuple(name for name, measure in MEASURES.items() if measure.formula is not None)
PSNRS = ("psnr", "psnr_affine")  # in means, `metrics.PSNR_CEILING` stands for infinity
OF_SETS = ("fid", "kid", "kid_features")  # of a whole set of images; the others are means over images


COLUMNS = ("psnr", "ssim_uniform7", "fid", "rmse_uint8_wrapped", "lpips", "dists", "std")
CAVEAT = (
    "Published numbers are means over other images, at 256x256, by networks trained for them; they are no floor and no "
    "goal for other data. Their SSIM, of a uniform window, stands under SSIM 7x7. What the paper calls RMSE stands "
    "under rmse_uint8_wrapped: the released evaluation squares 8-bit differences, which wraps. It also feeds LPIPS and "
    "DISTS with BGR, and LPIPS with [0, 1] instead of [-1, 1]."
)


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper."""

    title: str
    rows: dict[str, dict[str, float]]  # by method and measure


def _rows(*rows: tuple[Any, ...]) -> dict[str, dict[str, float]]:
    """Return the values of each row, a method and its first values in the order of `COLUMNS`."""
    return {name: dict(zip(COLUMNS, values, strict=False)) for name, *values in rows}


TABLES: dict[str, PublishedTable] = {
    "ranus": PublishedTable(
        "RANUS test set, 800 images (the paper's Table 2)",
        _rows(
            ("Pix2pix", 15.67, 0.5406, 87.69, 9.27, 0.2942, 0.2141, 34.18),
            ("Pix2pixHD", 20.47, 0.7409, 53.38, 8.53, 0.1385, 0.1742, 23.60),
            ("CycleGAN", 17.05, 0.6679, 42.97, 8.98, 0.1643, 0.1678, 33.02),
            ("BBDM", 18.76, 0.6614, 49.29, 8.74, 0.1792, 0.1637, 26.84),
            ("C2SAL", 16.46, 0.63, 83.45),
            ("IRFormer", 18.96, 0.7857, 90.89, 8.76, 0.2132, 0.1964, 26.15),
            ("UVCGAN", 18.21, 0.6711, 46.50, 8.91, 0.1733, 0.1656, 27.30),
            ("Pix2Next", 20.83, 0.8031, 28.01, 8.24, 0.1070, 0.1252, 20.37),
        ),
    ),
    "ranus-extractors": PublishedTable(
        "RANUS test set, by extractor (the paper's Table 4)",
        {
            name: dict(zip(("fid", "lpips", "dists"), values, strict=True))
            for name, *values in (
                ("without extractor", 31.26, 0.1116, 0.1320),
                ("ResNet", 35.92, 0.1269, 0.1524),
                ("ViT", 29.05, 0.1185, 0.1338),
                ("SwinV2", 30.24, 0.1117, 0.1299),
                ("InternImage", 28.01, 0.1070, 0.1252),
            )
        },
    ),
    "ranus-attention": PublishedTable(
        "RANUS test set, by place of attention, with SwinV2 (the paper's Table 5)",
        {
            "B-attention": {"ssim_uniform7": 0.7903, "fid": 37.02, "lpips": 0.1131, "dists": 0.1353},
            "EBD-attention": {"ssim_uniform7": 0.8063, "fid": 30.24, "lpips": 0.1117, "dists": 0.1299},
        },
    ),
    "ranus-generators": PublishedTable(
        "RANUS test set, by generator (the paper's Table 6)",
        _rows(
            ("Pix2pixHD", 20.474, 0.7409, 53.38, 8.53),
            ("Pix2pixHD + InternImage", 20.87, 0.7327, 45.14, 8.35),
            ("Pix2Next", 20.83, 0.8031, 28.01, 8.21),
        ),
    ),
    "idd-aw": PublishedTable(
        "IDD-AW test set, 475 images (the paper's Table 3)",
        _rows(
            ("Pix2pix", 29.14, 0.8735, 42.97, 5.66, 0.0951, 0.1317, 11.32),
            ("Pix2pixHD", 28.53, 0.8716, 63.23, 6.04, 0.0935, 0.1803, 11.61),
            ("CycleGAN", 21.17, 0.7665, 60.26, 8.36, 0.1664, 0.2046, 21.16),
            ("BBDM", 19.11, 0.6316, 122.1, 8.72, 0.2932, 0.3044, 27.53),
            ("IRFormer", 27.07, 0.9041, 88.16, 5.76, 0.1152, 0.1596, 12.99),
            ("UVCGAN", 27.63, 0.8690, 40.09, 6.215, 0.1077, 0.1289, 13.12),
            ("Pix2Next", 30.41, 0.9228, 32.81, 5.06, 0.0663, 0.1040, 10.55),
        ),
    ),
    "flir": PublishedTable(
        "FLIR aligned, 1029 images of long-wave infrared (the paper's Table 8)",
        _rows(
            ("CycleGAN", 3.45, 0.01),
            ("Pix2pix", 4.19, 0.05),
            ("UNIT", 3.11, 0.01),
            ("MUNIT", 3.65, 0.02),
            ("BCI", 11.14, 0.21),
            ("IRFormer", 17.74, 0.48),
            ("Pix2Next (SwinV2)", 23.45, 0.66),
        ),
    ),
}
