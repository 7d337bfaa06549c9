from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nirgen.detect.config import BootstrapConfig, CompareConfig, DetectConfig
from nirgen.detect.data import Example, Examples, read_examples, read_truth
from nirgen.detect.runs import Arm, Bench, Run, make_arms, parse_ratios, runs_of
from nirgen.errors import ConfigError, NirgenError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def examples(real: int, generated: int) -> Examples:
    nothing = np.empty((0, 4))
    keys = [f"ranus/{number}.png" for number in range(real)] + [f"bdd/{number}.jpg" for number in range(generated)]
    images = [
        Example(
            key, key.partition("/")[0], key.startswith("bdd"), Path(key), (20, 30), nothing, np.empty(0, int), nothing
        )
        for key in sorted(keys)
    ]
    return Examples(Path("D"), "train", ("car",), tuple(images), "0" * 64, "1" * 64)


def counts(real: int, generated: int, ratios: Sequence[float | str] | None = None) -> list[tuple[str, int, int]]:
    arms = make_arms(examples(real, generated), ratios)  # type: ignore[arg-type]
    return [(arm.name, arm.real, arm.generated) for arm in arms]


def test_ratios_are_generated_images_for_each_real_one() -> None:
    found = counts(4, 10, [0.5, 2])
    assert found == [("pretrained", 0, 0), ("real", 4, 0), ("real+0.5x", 4, 2), ("real+2x", 4, 8)]


def test_all_takes_all_and_stands_where_its_count_says() -> None:
    assert counts(4, 10, ["all", 1, 0]) == [
        ("pretrained", 0, 0),
        ("real", 4, 0),
        ("real+1x", 4, 4),
        ("real+all", 4, 10),
    ]


@pytest.mark.parametrize(
    ("generated", "names"),
    [
        (20, ["real", "real+1x", "real+2x"]),
        (8, ["real", "real+1x", "real+2x"]),
        (6, ["real", "real+1x", "real+all"]),
        (4, ["real", "real+1x"]),
        (2, ["real", "real+all"]),
    ],
)
def test_without_ratios_there_are_0_1_and_2_or_all_that_there_is(generated: int, names: list[str]) -> None:
    assert [name for name, _, _ in counts(4, generated)[1:]] == names


def test_each_arm_holds_the_one_before() -> None:
    arms = make_arms(examples(5, 15), [1, 2, 3])
    sets = [set(arm.images) for arm in arms[1:]]
    assert [len(each) for each in sets] == [5, 10, 15, 20]
    assert all(smaller < larger for smaller, larger in pairwise(sets))


def test_generated_images_are_chosen_by_the_hash_of_their_keys_whatever_their_order() -> None:
    given = examples(2, 6)
    turned = replace(given, examples=given.examples[::-1])
    assert make_arms(given, [1]) == make_arms(turned, [1])
    # the hashes begin with 16, e3, 35, 2f, c5, e9
    assert [key for key in make_arms(given, [1])[-1].images if key.startswith("bdd")] == ["bdd/0.jpg", "bdd/3.jpg"]


def test_equal_steps_are_fewer_rounds_of_more_images() -> None:
    arms = make_arms(examples(4, 12), [3])
    assert [arm.epochs(40, 2) for arm in arms] == [0, 20, 5]


def test_more_than_there_is_is_refused_with_what_there_is() -> None:
    with pytest.raises(NirgenError) as error:
        make_arms(examples(4, 6), [2])
    assert "ratio 2 needs 8 generated images for 4 real ones, and 'train' has 6; give at most 1.5, or 'all'" in str(
        error.value
    )


@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_ratios_that_take_no_generated_image_are_refused(ratio: float) -> None:
    with pytest.raises(NirgenError, match="no arm has a generated image, so there is nothing to compare"):
        make_arms(examples(4, 6), [ratio])


def test_a_comparison_needs_both_kinds_of_images() -> None:
    with pytest.raises(NirgenError, match="'train' has no real images, and a comparison needs real and generated ones"):
        make_arms(examples(0, 6))
    with pytest.raises(NirgenError, match="'train' has no generated images"):
        make_arms(examples(6, 0))


@pytest.mark.parametrize("text", ["x", "1,,2", "-1", "nan", "inf", "1;2", ""])
def test_a_ratio_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no number from 0 on, nor 'all'"):
        parse_ratios(text)


TINY = DetectConfig(model="fresh-tiny", steps=2, batch=2, size=64, workers=0)
CONFIG = CompareConfig(train=TINY, seeds=(3,), bootstrap=BootstrapConfig(resamples=100))


@pytest.fixture
def bench(made_dataset: Callable[..., Path], tmp_path: Path) -> Callable[..., Bench]:
    """A bench for a dataset of two real, two generated and four test images, in a new folder."""
    dataset = made_dataset(tmp_path / "D", real=2, generated=2, test=4)

    def make(name: str, config: CompareConfig = CONFIG, **others: Any) -> Bench:
        (tmp_path / name).mkdir(exist_ok=True)
        return Bench(read_truth(dataset, "test").real(), tmp_path / name, config, device="cpu", **others)

    return make


def arms_of(bench: Bench) -> tuple[Arm, ...]:
    return make_arms(read_examples(bench.truth.folder), [1])


def test_an_arm_is_trained_once_a_seed_and_the_pretrained_not_at_all() -> None:
    arms = (Arm("pretrained", "as pretrained"), Arm("real", "+ real", ("a", "b"), 2))
    names = [run.name for run in runs_of(arms, (0, 7))]
    assert names == ["runs/pretrained", "runs/real/seed0", "runs/real/seed7"]


def test_a_stopped_comparison_goes_on_to_the_same_results_and_does_nothing_twice(bench: Callable[..., Bench]) -> None:
    said: list[str] = []
    whole = bench("whole", say=said.append)
    runs = runs_of(arms_of(whole), (3,))
    undisturbed = whole.carry_out(runs)
    assert said == ["pretrained (1 of 3): done", "real/seed3 (2 of 3): done", "real+1x/seed3 (3 of 3): done"]
    assert [len(each.results) > 0 for each in undisturbed] == [True] * 3

    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2  # after the judging of the pretrained arm, in the first training

    with pytest.raises(KeyboardInterrupt):
        bench("parts", stopped=stopped).carry_out(runs)
    parts = bench("parts", say=said.append)
    assert (parts.out / "runs/real/seed3/checkpoints/step_000001.pt").is_file()
    assert parts.carry_out(runs) == undisturbed
    assert said[3:] == [
        "pretrained (1 of 3): done already",
        "real/seed3 (2 of 3): done",
        "real+1x/seed3 (3 of 3): done",
    ]

    before = {path: path.stat().st_mtime_ns for path in parts.out.rglob("*") if path.is_file()}
    assert parts.carry_out(runs) == undisturbed
    assert {path: path.stat().st_mtime_ns for path in parts.out.rglob("*") if path.is_file()} == before


def test_each_run_is_trained_on_the_images_of_its_arm(bench: Callable[..., Bench]) -> None:
    here = bench("out")
    arms = arms_of(here)
    here.carry_out([Run(arms[2], 0)])
    about = json.loads((here.out / "runs/real+1x/seed0/model/nirgen.json").read_text())
    assert (about["dataset"]["real"], about["dataset"]["generated"]) == (2, 2)
    assert about["seed"] == 0
    assert about["dataset"]["sha256"] == here.truth.dataset_sha256


def test_a_folder_of_another_comparison_is_refused(bench: Callable[..., Bench]) -> None:
    bench("out").carry_out([])
    longer = CONFIG.model_copy(update={"train": TINY.model_copy(update={"steps": 9})})
    with pytest.raises(OutputError, match=r"holds another comparison \(steps: 2 -> 9\); name another folder"):
        bench("out", longer).carry_out([])
    changed = bench("out")
    with pytest.raises(OutputError, match=r"holds another comparison \(another dataset\)"):
        replace(changed, truth=replace(changed.truth, dataset_sha256="0" * 64)).carry_out([])
    bench("out", CONFIG.model_copy(update={"seeds": (3, 4)})).carry_out([])  # more seeds are the same comparison


def test_a_folder_of_something_else_is_refused(bench: Callable[..., Bench]) -> None:
    here = bench("out")
    (here.out / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match=r"holds no comparison, but 'thesis\.tex'; name a new folder"):
        here.carry_out([])
    (here.out / "thesis.tex").unlink()
    (here.out / "comparison.yaml").write_text("- 1")
    with pytest.raises(OutputError, match="damaged, or of another program"):
        here.carry_out([])
