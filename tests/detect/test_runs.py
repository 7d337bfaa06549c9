from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.detect.arms import plan_comparison
from nirgen.detect.config import BootstrapConfig, CompareConfig, DetectConfig
from nirgen.detect.runs import Bench
from nirgen.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


TINY = DetectConfig(model="fresh-tiny", steps=2, batch=2, size=64, workers=0)
CONFIG = CompareConfig(train=TINY, seeds=(3,), bootstrap=BootstrapConfig(resamples=100))


@pytest.fixture
def bench(made_dataset: Callable[..., Path], tmp_path: Path) -> Callable[..., Bench]:
    """A bench for a dataset of two real, two generated and four test images, in a new folder."""
    dataset = made_dataset(tmp_path / "D", real=2, generated=2, test=4)

    def make(
        name: str,
        config: CompareConfig = CONFIG,
        arms: slice = slice(None),
        extras: tuple[Any, ...] = (),
        **others: Any,
    ) -> Bench:
        (tmp_path / name).mkdir(exist_ok=True)
        plan = plan_comparison(dataset, config, [1], extras)
        return Bench(replace(plan, arms=plan.arms[arms]), tmp_path / name, device="cpu", **others)

    return make


def test_a_stopped_comparison_goes_on_to_the_same_results_and_does_nothing_twice(bench: Callable[..., Bench]) -> None:
    said: list[str] = []
    whole = bench("whole", say=said.append)
    undisturbed = _files(whole)
    assert said == ["pretrained (1 of 3): done", "real/seed3 (2 of 3): done", "real+1x/seed3 (3 of 3): done"]
    assert [len(json.loads(text)) > 0 for _, text in undisturbed] == [True] * 3

    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2  # after the judging of the pretrained arm, in the first training

    with pytest.raises(KeyboardInterrupt):
        bench("parts", stopped=stopped).carry_out()
    parts = bench("parts", say=said.append)
    assert (parts.out / "runs/real/seed3/checkpoints/step_000001.pt").is_file()
    assert _files(parts) == undisturbed
    assert said[3:] == [
        "pretrained (1 of 3): done already",
        "real/seed3 (2 of 3): done",
        "real+1x/seed3 (3 of 3): done",
    ]

    before = {path: path.stat().st_mtime_ns for path in parts.out.rglob("*") if path.is_file()}
    assert _files(parts) == undisturbed
    assert {path: path.stat().st_mtime_ns for path in parts.out.rglob("*") if path.is_file()} == before


def _files(bench: Bench) -> list[tuple[str, bytes]]:
    """Carry out a comparison; the models of its runs and their detections."""
    return [(each.model_id, each.detections.read_bytes()) for each in bench.carry_out()]


def test_each_run_is_trained_on_the_images_of_its_arm(bench: Callable[..., Bench]) -> None:
    here = bench("out", CONFIG.model_copy(update={"seeds": (0,)}), slice(2, 3))
    here.carry_out()
    about = json.loads((here.out / "runs/real+1x/seed0/model/nirgen.json").read_text())
    assert (about["dataset"]["real"], about["dataset"]["generated"]) == (2, 2)
    assert about["seed"] == 0
    assert about["dataset"]["sha256"] == here.plan.test.sha256


def test_grey_copies_are_trained_on_in_place_of_generated_images(bench: Callable[..., Bench]) -> None:
    here = bench("out", CONFIG.model_copy(update={"seeds": (0,)}), slice(3, 4), ("grey",))
    here.carry_out()
    about = json.loads((here.out / "runs/real+grey/seed0/model/nirgen.json").read_text())["dataset"]
    assert (about["images"], about["real"], about["generated"], about["rgb"]) == (4, 2, 0, 2)


def test_a_folder_of_another_comparison_is_refused(bench: Callable[..., Bench]) -> None:
    none = slice(0)
    bench("out", arms=none).carry_out()
    longer = CONFIG.model_copy(update={"train": TINY.model_copy(update={"steps": 9})})
    with pytest.raises(OutputError, match=r"holds another comparison \(steps: 2 -> 9\); name another folder"):
        bench("out", longer, none).carry_out()
    changed = bench("out", arms=none)
    with pytest.raises(OutputError, match=r"holds another comparison \(another dataset\)"):
        replace(changed, plan=replace(changed.plan, test=replace(changed.plan.test, sha256="0" * 64))).carry_out()
    bench("out", CONFIG.model_copy(update={"seeds": (3, 4)}), none).carry_out()  # more seeds are the same comparison


def test_a_folder_of_something_else_is_refused(bench: Callable[..., Bench]) -> None:
    here = bench("out", arms=slice(0))
    (here.out / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match=r"holds no comparison, but 'thesis\.tex'; name a new folder"):
        here.carry_out()
    (here.out / "thesis.tex").unlink()
    (here.out / "comparison.yaml").write_text("- 1")
    with pytest.raises(OutputError, match="damaged, or of another program"):
        here.carry_out()
