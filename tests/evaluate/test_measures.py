from __future__ import annotations

from math import log10

from nirgen.evaluate.measures import MEASURES, TABLES


def test_the_papers_own_rows_are_there() -> None:
    assert {name: list(table.rows.items())[-1] for name, table in TABLES.items()} == {
        "ranus-extractors": ("InternImage", {"fid": 28.01, "lpips": 0.1070, "dists": 0.1252}),
        "ranus-attention": (
            "EBD-attention",
            {"ssim_uniform7": 0.8063, "fid": 30.24, "lpips": 0.1117, "dists": 0.1299},
        ),
        "ranus-generators": (
            "Pix2Next",
            {"psnr": 20.83, "ssim_uniform7": 0.8031, "fid": 28.01, "rmse_uint8_wrapped": 8.21},
        ),
        "ranus": (
            "Pix2Next",
            {
                "psnr": 20.83,
                "ssim_uniform7": 0.8031,
                "fid": 28.01,
                "rmse_uint8_wrapped": 8.24,
                "lpips": 0.1070,
                "dists": 0.1252,
                "std": 20.37,
            },
        ),
        "idd-aw": (
            "Pix2Next",
            {
                "psnr": 30.41,
                "ssim_uniform7": 0.9228,
                "fid": 32.81,
                "rmse_uint8_wrapped": 5.06,
                "lpips": 0.0663,
                "dists": 0.1040,
                "std": 10.55,
            },
        ),
        "flir": ("Pix2Next (SwinV2)", {"psnr": 23.45, "ssim_uniform7": 0.66}),
    }


def test_a_number_that_the_paper_has_not_is_left_out() -> None:
    assert TABLES["ranus"].rows["C2SAL"] == {"psnr": 16.46, "ssim_uniform7": 0.63, "fid": 83.45}


def test_the_published_rmse_stands_under_the_name_of_what_it_is() -> None:
    for table in TABLES.values():
        columns = {column for row in table.rows.values() for column in row}
        assert columns
        assert "rmse" not in columns
        assert columns <= set(MEASURES)
    # A PSNR of 20.83 dB means an RMSE of 23.2, and not the published 8.24.
    assert round(20 * log10(255 / 23.2), 1) == 20.8
