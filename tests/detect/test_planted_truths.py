"""Shares of right answers on planted truths, with AP drawn from a model; benchmarks/advisor.py draws detections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.detect.answer import answer
from nirgen.detect.arms import Arm
from nirgen.detect.comparison import Comparison, OfArm
from nirgen.detect.config import CompareConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.answer import Answer
    from nirgen.detect.data import Split


ARMS = (
    Arm("pretrained", "as pretrained"),
    Arm("real", "+ real", ("r",), 1),
    Arm("real+1x", "+ real + 1 x generated", ("g", "r"), 1, 1),
    Arm("real+grey", "+ real + 1 x RGB in grey", ("g", "r"), 1, look="grey"),
)
OF_ARM, OF_RUN, OF_SEED = 0.15, 0.15, 0.012  # deviations: of an arm and of a run on an image, and of a training
GAINS = {  # of generated images, and of grey copies
    "helps": (0.14, 0.0),
    "grey": (0.14, 0.14),
    "hurts": (-0.14, 0.0),
    "undecided": (0.0, 0.0),
    "too little": (0.02, 0.0),
}


@pytest.fixture
def planted(make_split: Callable[..., Split]) -> Callable[..., Answer]:
    """Answer by AP drawn from the model, on images with an object of each class."""
    objects = [("person", (0, 0, 50, 50)), ("bicycle", (100, 0, 50, 50)), ("car", (200, 0, 50, 50))]
    splits = {count: make_split(*[objects] * count) for count in (25, 80)}

    def make(truth: str, seed: int, images: int = 80, seeds: int = 3) -> Answer:
        random = np.random.default_rng((list(GAINS).index(truth), seed))
        split = splits[images]
        shared = random.normal(0.4, 0.2, (images, 3))
        weights = random.multinomial(images, np.full(images, 1 / images), 120) / images

        def of_arm(arm: Arm, gain: float) -> OfArm:
            of_image = shared + gain + random.normal(0, OF_ARM, (images, 3))
            of_runs = of_image + random.normal(0, OF_RUN, (seeds, images, 3)) + random.normal(0, OF_SEED, (seeds, 1, 3))
            names = [f"ap/{name}" for name in split.names]
            values = dict(zip(names, of_runs.mean(axis=1).T, strict=True))
            draws = dict(zip(names, (weights @ of_runs.mean(axis=0)).T, strict=True))
            for each in (values, draws):
                each["ap"] = each["ap_medium"] = np.mean([each[name] for name in names], axis=0)
            return OfArm(arm, (None,) * seeds, values, draws, dict.fromkeys(values, images), np.empty(0))  # type: ignore[arg-type]

        arms = [of_arm(*each) for each in zip(ARMS, (-0.3, 0.0, *GAINS[truth]), strict=True)]
        pairs = ((arms[2], arms[1]), (arms[3], arms[1]), (arms[2], arms[3]))
        found = tuple(arm.minus(base, learnt=True) for arm, base in pairs)
        return answer(Comparison(split, CompareConfig(seeds=tuple(range(seeds))), tuple(arms), found, "none"))

    return make


@pytest.mark.parametrize("truth", ["helps", "grey", "hurts", "undecided"])
def test_planted_truths_are_answered_right_nine_times_of_ten(planted: Callable[..., Answer], truth: str) -> None:
    answers = [planted(truth, seed) for seed in range(100)]
    assert [each.key for each in answers[0].findings] == ["ap", "ap/person", "ap/bicycle", "ap/car", "ap_medium"]
    for place in range(5):
        assert np.mean([found.findings[place].advice == truth for found in answers]) >= 0.9


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_there_is_nothing_one_answer_of_twenty_claims_something(
    planted: Callable[..., Answer], seeds: int
) -> None:
    answers = [planted("undecided", seed, 25, seeds) for seed in range(200)]
    claims = [any(each.advice != "undecided" for each in found.findings) for found in answers]
    assert np.mean(claims) <= 0.05


def test_too_few_data_are_said_to_be_too_few(planted: Callable[..., Answer]) -> None:
    answers = [planted("too little", seed, 25) for seed in range(100)]
    assert np.mean([found.findings[0].advice == "undecided" for found in answers]) >= 0.95
    assert np.mean(["could have shown a gain of 0." in found.sentence for found in answers]) >= 0.95
