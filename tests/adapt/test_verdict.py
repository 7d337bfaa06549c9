from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.adapt.scores import Scores
from nirgen.adapt.verdict import Point, Verdict, curve_csv

if TYPE_CHECKING:
    from typing import Any

CHANGE = "held-out pairs: 17.00 -> 20.00 dB after gain and offset, 13.00 -> 18.00 dB as they are"
TOTALS = "(mean of both PSNRs, dB: adapted 19.00, start 15.00, linear 16.50, trees 18.00, grey 14.00)"


def _verdict(**changes: Any) -> Verdict:
    curve = [
        Point(0, "grey", Scores(17, 0.6, 11, 0.5)),
        Point(0, "start", Scores(17, 0.6, 13, 0.6)),
        Point(1, "adapted", Scores(18, 0.6, 14, 0.6)),
        Point(4, "adapted", Scores(20, 0.7, 18, 0.7)),
        Point(4, "linear", Scores(18, 0.6, 15, 0.6)),
        Point(4, "trees", Scores(19, 0.6, 17, 0.6)),
    ]
    values: dict[str, Any] = {"outcome": "adapted", "what": "all", "steps": 36, "folds": 3, "curve": curve}
    return Verdict(**{"fingerprint": "f", "gains": {"train/a": 4.0, "train/b": -1.0}, **values, **changes})


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, [f"adapted (all, 36 steps); {CHANGE}", f"take the adapted model {TOTALS}"]),
        (
            {"outcome": "no gain", "known": 2},
            [
                f"no gain: kept the old one ({CHANGE})",
                "the old model was trained on 2 of these pairs, so its scores flatter it",
                f"take the trees (nirgen train trees) {TOTALS}",
            ],
        ),
        (
            {"outcome": "several cameras", "cameras": (("train/a",), ("train/b",))},
            [
                f"no gain: kept the old one, since one of several cameras would lose ({CHANGE})",
                "the pairs look like several cameras: adapt to each apart (train/a; train/b)",
                f"what to take is open until each camera has an adaptation of its own {TOTALS}",
            ],
        ),
    ],
)
def test_a_verdict_in_words(changes: dict[str, Any], lines: list[str]) -> None:
    assert _verdict(**changes).lines() == lines


def test_a_verdict_survives_its_file() -> None:
    verdict = _verdict(cameras=(("train/a",), ("train/b",)))
    assert Verdict.read(json.loads(json.dumps(verdict.plain()))) == verdict


def test_a_curve_as_csv() -> None:
    assert curve_csv(_verdict().curve).splitlines()[:2] == [
        "pairs,method,psnr_affine,ssim_affine,psnr,ssim",
        "0,grey,17.0000,0.6000,11.0000,0.5000",
    ]
