from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from nirgen.detect.arms import Arm, ComparisonPlan, Run, plan_comparison
from nirgen.detect.budget import Pace, first_round, halving, refuse_small
from nirgen.detect.comparison import sum_up
from nirgen.detect.config import BootstrapConfig, CompareConfig, DetectConfig
from nirgen.detect.report import notes_on
from nirgen.detect.runs import Bench
from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.data import Split


NAMES = ("pretrained", "real", "real+1x", "real+2x", "real+grey", "real+clean", "zero-shot")


@pytest.fixture
def plan(make_split: Callable[..., Split]) -> ComparisonPlan:
    arms = tuple(Arm(name, name, () if name == "pretrained" else ("a",)) for name in NAMES)
    split = make_split([], [])
    return ComparisonPlan(CompareConfig(seeds=(5, 6, 7)), split, split, arms)


def test_the_better_half_of_the_arms_is_trained_with_each_further_seed(plan: ComparisonPlan) -> None:
    worth = {"real+1x": 0.4, "real+2x": 0.3, "real+clean": 0.5, "zero-shot": 0.1}
    found: dict[Run, float] = {}
    yielded = []
    for run in halving(plan, found):
        found[run] = worth.get(run.arm.name, 0.9)
        yielded.append((run.arm.name, run.seed))
    assert yielded[:7] == [
        ("pretrained", None),
        ("real", 5),
        ("real+grey", 5),
        ("real+1x", 5),
        ("real+2x", 5),
        ("real+clean", 5),
        ("zero-shot", 5),
    ]
    assert yielded[7:] == [
        ("real", 6),
        ("real+grey", 6),
        ("real+1x", 6),
        ("real+clean", 6),
        ("real", 7),
        ("real+grey", 7),
        ("real+clean", 7),
    ]


def test_a_budget_under_a_run_of_each_arm_is_refused_with_what_it_takes(plan: ComparisonPlan) -> None:
    pace = Pace(step=0.03, image=3.0)  # 2000 steps are a minute, two images six seconds
    assert len(first_round(plan)) == 7
    refuse_small(plan, pace, 6.8)
    with pytest.raises(ConfigError, match=r"budget 6: a run of each arm takes about 6\.7 minutes; give more"):
        refuse_small(plan, pace, 6)
    assert pace.describe(plan).startswith("about 19.9 minutes for 19 runs: 0.03 s a step, measured on 3, and 3 s")


def test_a_comparison_within_a_budget_goes_on_to_the_same_table(
    made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    dataset = made_dataset(tmp_path / "D", real=2, generated=2, test=4)
    tiny = DetectConfig(model="fresh-tiny", steps=2, batch=2, size=64, workers=0)
    config = CompareConfig(train=tiny, seeds=(0, 1), bootstrap=BootstrapConfig(resamples=20))
    plan = plan_comparison(dataset, config, [0.5, 1], ())

    def bench(name: str, asked: int | None = None) -> Bench:
        (tmp_path / name).mkdir(exist_ok=True)
        calls = iter(range(10**6))
        return Bench(plan, tmp_path / name, "cpu", stopped=lambda: next(calls) == asked, budget=60)

    judged = bench("whole").carry_out()
    names = [each.run.name for each in judged]
    assert names[:3] == ["runs/pretrained", "runs/real/seed0", "runs/real/seed1"]
    assert len(names) == 6  # two mixes with the first seed, the better one with the second
    with pytest.raises(KeyboardInterrupt):
        bench("parts", asked=9).carry_out()  # in the middle of an arm
    before = json.loads((tmp_path / "parts/times.json").read_text())
    bench("parts").carry_out()
    assert (tmp_path / "parts/runs.csv").read_bytes() == (tmp_path / "whole/runs.csv").read_bytes()
    rows = list(csv.DictReader((tmp_path / "whole/runs.csv").read_text().splitlines()))
    assert [(row["arm"], row["seed"]) for row in rows[:3]] == [("pretrained", ""), ("real", "0"), ("real+0.5x", "0")]
    after = json.loads((tmp_path / "parts/times.json").read_text())
    assert before.items() <= after.items()
    assert sorted(after) == sorted(names)

    found = sum_up(judged, plan.test, config)
    assert {len(arm.runs) for arm in found.arms if arm.arm.advisable} == {1, 2}
    assert len(found.reference.runs) == 2
    assert any(
        note.startswith("within the budget, not all arms were trained with 2 seeds: + real + ")
        for note in notes_on(found)
    )


def test_a_run_takes_its_steps_and_the_test_images(plan: ComparisonPlan) -> None:
    assert Pace(1.0, 0.5).of(plan.runs[0], plan) == 1.0  # pretrained: two images
    assert Pace(1.0, 0.5).of(plan.runs[1], plan) == 2001.0
