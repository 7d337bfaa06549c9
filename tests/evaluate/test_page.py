from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from nirgen.evaluate.page import extremes


def report_of(psnr: list[float], ssim: list[float]) -> SimpleNamespace:
    values = {"m": {"psnr": np.array(psnr), "ssim": np.array(ssim)}}
    scores = SimpleNamespace(methods=[SimpleNamespace(name="m")], cases=[Path()] * len(psnr), values=values)
    return SimpleNamespace(scores=scores)


def test_worst_and_best_are_shown_once_each() -> None:
    psnr = [10.0, 11, 12, 20, 21, 22, 30, 31, np.inf]
    ssim = [0.9, 0.9, 0.9, 0.1, 0.2, 0.3, 0.9, 0.9, 1.0]
    assert extremes(report_of(psnr, ssim)) == [
        ("Worst by PSNR", [0, 1, 2]),
        ("Best by PSNR", [8, 7, 6]),
        ("Worst by SSIM", [3, 4, 5]),
    ]


def test_a_single_image_is_shown_as_the_worst() -> None:
    assert extremes(report_of([20.0], [0.5])) == [("Worst by PSNR", [0])]
