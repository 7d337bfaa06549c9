"""Runs of a comparison within a time: successive halving over its arms, and an estimate from three measured steps.

All arms are trained with the first seed; then the better half of them with the next one, and so on until one is left
(Jamieson and Talwalkar, "Non-stochastic best arm identification", AISTATS 2016). Real images alone and grey copies are
never left out, for the others are compared with them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.detect.arms import GREY, PRETRAINED, REAL, Run
from nirgen.detect.detector import BATCH, load_detector
from nirgen.detect.loop import first_network
from nirgen.detect.state import State
from nirgen.detect.views import Batches
from nirgen.devices import choose_device
from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nirgen.detect.arms import ComparisonPlan


_STEPS = 3  # measured


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured times of a detector."""

    step: float  # seconds
    image: float  # seconds to detect on a test image

    def of(self, run: Run, plan: ComparisonPlan) -> float:
        """Return the seconds that a run takes, about."""
        training = self.step * plan.config.train.steps if run.seed is not None else 0.0
        return training + self.image * len(plan.test.images)

    def describe(self, plan: ComparisonPlan) -> str:
        """Return the time of all runs in a line."""
        minutes = sum(self.of(run, plan) for run in plan.runs) / 60
        return (
            f"about {minutes:.3g} minutes for {len(plan.runs)} runs: {self.step:.3g} s a step, measured on {_STEPS}, "
            f"and {self.image:.3g} s a test image"
        )


def measure_pace(plan: ComparisonPlan, device: str | None = None) -> Pace:
    """Measure three steps after a first one, and detection on a few test images; nothing is written."""
    config, arm = plan.config.train, next(arm for arm in plan.arms if arm.name == REAL)
    where = choose_device(device)
    state = State(config, first_network(config, plan.train.names)[0], where)
    with Batches(plan.training_set(arm), config) as batches:
        state.update(*batches.next())
        began = time.monotonic()
        for _ in range(_STEPS):
            state.update(*batches.next())
        step = (time.monotonic() - began) / _STEPS
    detector = load_detector(config.model, categories=plan.test.names, device=device, size=config.size)
    pictures = [images.read(image.path) for image in plan.test.images[:BATCH]]
    detector.predict(pictures[:1])
    began = time.monotonic()
    detector.predict(pictures)
    return Pace(step, (time.monotonic() - began) / len(pictures))


def halving(plan: ComparisonPlan, found: Mapping[Run, float]) -> Iterator[Run]:
    """Yield runs in the order of successive halving; `found` has the mAP of those that were yielded before."""
    fixed = [arm for arm in plan.arms if arm.name in {PRETRAINED, REAL, GREY}]
    left = [arm for arm in plan.arms if arm not in fixed]
    for number, seed in enumerate(plan.config.seeds):
        for arm in (*fixed, *left):
            if arm.images or number == 0:
                yield Run(arm, seed if arm.images else None)
        done = plan.config.seeds[: number + 1]
        ranked = sorted(left, key=lambda arm: -float(np.mean([found[Run(arm, each)] for each in done])))
        left = [arm for arm in left if arm in ranked[: (len(left) + 1) // 2]]


def first_round(plan: ComparisonPlan) -> list[Run]:
    """Return the runs of all arms with the first seed, which a comparison needs at least."""
    return [Run(arm, plan.config.seeds[0] if arm.images else None) for arm in plan.arms]


def refuse_small(plan: ComparisonPlan, pace: Pace, minutes: float) -> None:
    """Raise a ConfigError for a budget that isn't enough for the first round."""
    needed = sum(pace.of(run, plan) for run in first_round(plan)) / 60
    if needed > minutes:
        raise ConfigError(
            f"budget {minutes:g}: a run of each arm takes about {needed:.3g} minutes; give more, fewer --arms or "
            "--ratios, or fewer --steps"
        )
