from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from nirgen.collection import open_collection
from nirgen.detect.arms import (
    Arm,
    ComparisonPlan,
    add_arms,
    make_arms,
    parse_extras,
    parse_ratios,
    parse_seeds,
    plan_comparison,
)
from nirgen.detect.config import CompareConfig
from nirgen.errors import ConfigError, NirgenError
from nirgen.scores import score
from nirgen.scores.table import read_table, write_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nirgen.dataset.read import Image
    from nirgen.detect.data import Split


@pytest.fixture
def split(make_split: Callable[..., Split], make_image: Callable[..., Image]) -> Callable[[int, int], Split]:
    """Make a training set of so many real and generated images."""

    def make(real: int, generated: int) -> Split:
        keys = [f"ranus/{number}.png" for number in range(real)] + [f"bdd/{number}.jpg" for number in range(generated)]
        images = tuple(make_image(key, generated=key.startswith("bdd")) for key in sorted(keys))
        return replace(make_split(), name="train", images=images)

    return make


@pytest.fixture
def counts(split: Callable[[int, int], Split]) -> Callable[..., list[tuple[str, int, int]]]:
    """Name, real and generated images of the arms of so many real and generated images."""

    def make(real: int, generated: int, ratios: Sequence[float | str] | None = None) -> list[tuple[str, int, int]]:
        arms = make_arms(split(real, generated), ratios)  # type: ignore[arg-type]
        return [(arm.name, arm.real, arm.generated) for arm in arms]

    return make


def test_ratios_are_generated_images_for_each_real_one(counts) -> None:
    found = counts(4, 10, [0.5, 2])
    assert found == [("pretrained", 0, 0), ("real", 4, 0), ("real+0.5x", 4, 2), ("real+2x", 4, 8)]


def test_all_takes_all_and_stands_where_its_count_says(counts) -> None:
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
def test_without_ratios_there_are_0_1_and_2_or_all_that_there_is(counts, generated: int, names: list[str]) -> None:
    assert [name for name, _, _ in counts(4, generated)[1:]] == names


def test_each_arm_holds_the_one_before(split) -> None:
    arms = make_arms(split(5, 15), [1, 2, 3])
    sets = [set(arm.images) for arm in arms[1:]]
    assert [len(each) for each in sets] == [5, 10, 15, 20]
    assert all(smaller < larger for smaller, larger in pairwise(sets))


def test_generated_images_are_chosen_by_the_hash_of_their_keys_whatever_their_order(split) -> None:
    given = split(2, 6)
    turned = replace(given, images=given.images[::-1])
    assert make_arms(given, [1]) == make_arms(turned, [1])
    # the hashes begin with 16, e3, 35, 2f, c5, e9
    assert [key for key in make_arms(given, [1])[-1].images if key.startswith("bdd")] == ["bdd/0.jpg", "bdd/3.jpg"]


def test_equal_steps_are_fewer_rounds_of_more_images(split) -> None:
    arms = make_arms(split(4, 12), [3])
    assert [arm.epochs(40, 2) for arm in arms] == [0, 20, 5]


def test_more_than_there_is_is_refused_with_what_there_is(split) -> None:
    with pytest.raises(NirgenError) as error:
        make_arms(split(4, 6), [2])
    assert "ratio 2 needs 8 generated images for 4 real ones, and 'train' has 6; give at most 1.5, or 'all'" in str(
        error.value
    )


@pytest.mark.parametrize("ratio", [0.0, 0.1])
def test_ratios_that_take_no_generated_image_are_refused(split, ratio: float) -> None:
    with pytest.raises(NirgenError, match="no arm has a generated image, so there is nothing to compare"):
        make_arms(split(4, 6), [ratio])


def test_a_comparison_needs_both_kinds_of_images(split) -> None:
    with pytest.raises(NirgenError, match="'train' has no real images, and a comparison needs real and generated ones"):
        make_arms(split(0, 6))
    with pytest.raises(NirgenError, match="'train' has no generated images"):
        make_arms(split(6, 0))


@pytest.mark.parametrize("text", ["x", "1,,2", "-1", "nan", "inf", "1;2", ""])
def test_a_ratio_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no number from 0 on, nor 'all'"):
        parse_ratios(text)


@pytest.mark.parametrize("text", ["x", "1,,2", "-1", ""])
def test_a_seed_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no whole number from 0 on"):
        parse_seeds(text)


def test_an_arm_is_trained_once_a_seed_and_the_pretrained_not_at_all(split: Callable[[int, int], Split]) -> None:
    arms = (Arm("pretrained", "as pretrained"), Arm("real", "+ real", ("a", "b"), 2))
    plan = ComparisonPlan(CompareConfig(seeds=(0, 7)), split(2, 0), split(2, 0), arms)
    names = [run.name for run in plan.runs]
    assert names == ["runs/pretrained", "runs/real/seed0", "runs/real/seed7"]


def test_plans_and_evaluations_of_files_need_no_torch() -> None:
    modules = "nirgen.detect.arms, nirgen.detect.config, nirgen.detect.evaluation, nirgen.evaluate.summary"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_further_arms_have_as_many_images_as_the_largest_mix(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path / "D", real=2, generated=4, test=2)
    plan = plan_comparison(dataset, CompareConfig(), [1, 2], ("zero-shot", "nir-like", "colour", "grey"))
    found = {arm.name: (arm.real, arm.generated, arm.copies) for arm in plan.arms[3:]}
    assert found == {
        "real+2x": (2, 4, 0),
        "real+grey": (2, 0, 4),
        "real+colour": (2, 0, 4),
        "real+nir-like": (2, 0, 4),
        "zero-shot": (0, 4, 0),
    }
    grey = plan.training_set(plan.arms[4])
    assert [image.path.parent.name for image in grey.images if image.key in grey.looks] == ["photos"] * 4
    assert [arm.advisable for arm in plan.arms] == [False, False, True, True, False, False, False, False]


def test_an_arm_whose_rgb_images_are_gone_or_changed_is_skipped_with_the_reason(
    made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    dataset = made_dataset(tmp_path / "D", real=2, generated=2, test=2)
    (tmp_path / "photos/00.png").write_bytes((tmp_path / "photos/01.png").read_bytes())
    plan = plan_comparison(dataset, CompareConfig(), [1])
    assert [arm.name for arm in plan.arms] == ["pretrained", "real", "real+1x"]
    assert plan.skipped == (f"no arm 'grey': 1 of 2 RGB images have changed since, such as {tmp_path}/photos/00.png",)
    (tmp_path / "photos/00.png").unlink()
    (skipped,) = plan_comparison(dataset, CompareConfig(), [1]).skipped
    assert skipped == "no arm 'grey': 1 of 2 RGB images aren't where they were, such as 00.png; put them back"


def test_generated_images_are_filtered_by_scores_once_there_are_any(
    made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    dataset = made_dataset(tmp_path / "D", real=2, generated=4, test=2)
    plan = plan_comparison(dataset, CompareConfig(), [1, 2], ("clean", "faithful"))
    assert len(plan.arms) == 4
    assert plan.skipped[0].endswith("D has no scores of all its images; 'nirgen report' computes them")

    score(open_collection(dataset))
    table = read_table(dataset)
    assert table is not None
    trouble = {"bdd/00.png": 0.9, "bdd/01.png": 0.1, "bdd/02.png": 0.5, "bdd/03.png": 0.2}
    column = pa.array([trouble.get(key, 0.0) for key in table["key"].to_pylist()], pa.float32())
    write_scores(dataset, table.set_column(table.column_names.index("trouble"), "trouble", column))
    clean, faithful = plan_comparison(dataset, CompareConfig(), [1, 2], ("clean", "faithful")).arms[4:]
    assert (clean.name, clean.generated, clean.order) == ("real+clean", 2, "clean")
    assert [key for key in clean.images if key in trouble] == ["bdd/01.png", "bdd/03.png"]
    assert (faithful.name, faithful.generated, faithful.advisable) == ("real+faithful", 2, True)


def test_generated_images_alone_are_those_of_the_largest_mix(split: Callable[[int, int], Split]) -> None:
    given = split(2, 6)
    arms, skipped = add_arms(given, make_arms(given, ["all"]), ("zero-shot",))
    assert (arms[-1].name, arms[-1].generated, skipped) == ("zero-shot", 6, ())


def test_an_unknown_arm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="arm 'gray': unknown; the arms are grey, colour, nir-like, clean, faithful"):
        parse_extras("colour,gray")
