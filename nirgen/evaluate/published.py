"""Numbers of the paper (Jin et al., Technologies 13(4):154, 2025), to stand beside measured ones."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = ("psnr", "ssim", "fid", "rmse_uint8_wrapped", "lpips", "dists", "std")
CAVEAT = (
    "Published numbers are means over other images, at 256x256, by networks trained for them; they are no floor and no "
    "goal for other data. What the paper calls RMSE stands under rmse_uint8_wrapped: the released evaluation squares "
    "8-bit differences, which wraps. It also feeds LPIPS and DISTS with BGR, and LPIPS with [0, 1] instead of [-1, 1]."
)


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper.

    Attributes:
        title: Which one, and on what.
        columns: The measures, by our names.
        rows: A method and its numbers, in the order of `columns`; None where the paper has none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]

    def values(self) -> list[tuple[str, dict[str, float]]]:
        """Each method with the numbers that it has, by measure."""
        return [
            (name, {column: number for column, number in zip(self.columns, row, strict=True) if number is not None})
            for name, row in self.rows
        ]


TABLES: dict[str, PublishedTable] = {
    "ranus": PublishedTable(
        "RANUS test set, 800 images (the paper's Table 2)",
        COLUMNS,
        (
            ("Pix2pix", (15.67, 0.5406, 87.69, 9.27, 0.2942, 0.2141, 34.18)),
            ("Pix2pixHD", (20.47, 0.7409, 53.38, 8.53, 0.1385, 0.1742, 23.60)),
            ("CycleGAN", (17.05, 0.6679, 42.97, 8.98, 0.1643, 0.1678, 33.02)),
            ("BBDM", (18.76, 0.6614, 49.29, 8.74, 0.1792, 0.1637, 26.84)),
            ("C2SAL", (16.46, 0.63, 83.45, None, None, None, None)),
            ("IRFormer", (18.96, 0.7857, 90.89, 8.76, 0.2132, 0.1964, 26.15)),
            ("UVCGAN", (18.21, 0.6711, 46.50, 8.91, 0.1733, 0.1656, 27.30)),
            ("Pix2Next", (20.83, 0.8031, 28.01, 8.24, 0.1070, 0.1252, 20.37)),
        ),
    ),
    "idd-aw": PublishedTable(
        "IDD-AW test set, 475 images (the paper's Table 3)",
        COLUMNS,
        (
            ("Pix2pix", (29.14, 0.8735, 42.97, 5.66, 0.0951, 0.1317, 11.32)),
            ("Pix2pixHD", (28.53, 0.8716, 63.23, 6.04, 0.0935, 0.1803, 11.61)),
            ("CycleGAN", (21.17, 0.7665, 60.26, 8.36, 0.1664, 0.2046, 21.16)),
            ("BBDM", (19.11, 0.6316, 122.1, 8.72, 0.2932, 0.3044, 27.53)),
            ("IRFormer", (27.07, 0.9041, 88.16, 5.76, 0.1152, 0.1596, 12.99)),
            ("UVCGAN", (27.63, 0.8690, 40.09, 6.215, 0.1077, 0.1289, 13.12)),
            ("Pix2Next", (30.41, 0.9228, 32.81, 5.06, 0.0663, 0.1040, 10.55)),
        ),
    ),
    "flir": PublishedTable(
        "FLIR aligned, 1029 images of long-wave infrared (the paper's Table 8)",
        ("psnr", "ssim"),
        (
            ("CycleGAN", (3.45, 0.01)),
            ("Pix2pix", (4.19, 0.05)),
            ("UNIT", (3.11, 0.01)),
            ("MUNIT", (3.65, 0.02)),
            ("BCI", (11.14, 0.21)),
            ("IRFormer", (17.74, 0.48)),
            ("Pix2Next (SwinV2)", (23.45, 0.66)),
        ),
    ),
}
