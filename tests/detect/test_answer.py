"""Answers on cars that the runs of each arm find."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.detect.answer import answer, build_command
from nirgen.detect.arms import Arm
from nirgen.detect.comparison import sum_up
from nirgen.detect.config import BootstrapConfig, CompareConfig
from nirgen.detect.report import as_dict, as_markdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.answer import Answer
    from nirgen.detect.comparison import Comparison, Judged
    from nirgen.detect.data import Split


ARMS = {
    "pretrained": Arm("pretrained", "as pretrained"),
    "real": Arm("real", "+ real", ("r",), 1),
    "half": Arm("real+0.5x", "+ real + 0.5 x generated", ("g", "r"), 2, 1),
    "generated": Arm("real+1x", "+ real + 1 x generated", ("g", "r"), 1, 1),
    "clean": Arm("real+clean", "+ real + 0.5 x generated of least trouble", ("g", "r"), 2, 1, order="clean"),
    "grey": Arm("real+grey", "+ real + 1 x RGB in grey", ("g", "r"), 1, look="grey"),
}
CAR = ("car", (100, 100, 100, 50))


def first(count: int) -> set[int]:
    return set(range(1, count + 1))


@pytest.fixture
def compared(make_split: Callable[..., Split], judge: Callable[..., Judged]) -> Callable[..., Comparison]:
    """Compare arms whose three runs find the cars on about so many of `images` images."""

    def make(images: int = 120, **counts: int) -> Comparison:
        split = make_split(*[[CAR]] * images)
        judged = [judge(ARMS["pretrained"], 0, set())]
        for name, count in counts.items():
            judged += [judge(ARMS[name], seed, first(count + seed - 1)) for seed in range(3)]
        config = CompareConfig(seeds=(0, 1, 2), bootstrap=BootstrapConfig(resamples=300))
        return sum_up(judged, split, config)

    return make


@pytest.fixture
def answered(compared: Callable[..., Comparison]) -> Callable[..., Answer]:
    """Answer a comparison of `compared`."""
    return lambda *args, **counts: answer(compared(*args, **counts))


def of_cars(found: Answer) -> str:
    return next(each.sentence for each in found.findings if each.key == "ap/car")


def test_a_gain_over_real_and_over_grey_images_is_to_be_used(answered: Callable[..., Answer]) -> None:
    found = answered(real=40, generated=90, grey=60)
    assert (found.advice, found.chosen) == ("helps", ARMS["generated"])
    assert found.sentence.startswith("Use 1 generated images for each real one: mAP +0.4")
    assert ": use them (generated minus grey +0.2" in of_cars(found)


def test_a_gain_that_grey_copies_reach_as_well_is_grey(answered: Callable[..., Answer]) -> None:
    found = answered(real=40, generated=90, grey=90)
    assert (found.advice, found.chosen, found.command) == ("grey", None, None)
    assert found.sentence.startswith("No evidence that they beat grey copies of the RGB images, which do as well")
    assert ": grey is as good (generated minus grey +0.000" in of_cars(found)
    better = answered(real=40, generated=60, grey=90)
    assert "which do better" in better.sentence
    assert ": grey is better (" in of_cars(better)


def test_without_grey_copies_a_gain_is_told_with_that_caveat(answered: Callable[..., Answer]) -> None:
    assert "use them (grey copies weren't tried, and may do as well)" in of_cars(answered(real=40, generated=90))


def test_a_loss_hurts(answered: Callable[..., Answer]) -> None:
    found = answered(real=80, generated=40, grey=80)
    assert found.advice == "hurts"
    assert found.sentence.startswith("Don't use them: they hurt (mAP -0.3")
    assert of_cars(found).endswith("they hurt, leave them out")


def test_a_difference_within_the_noise_is_no_evidence_and_tells_how_many_boxes_would_do(
    answered: Callable[..., Answer],
) -> None:
    found = answered(real=60, generated=63, grey=60)
    assert found.sentence.startswith("No evidence that they help; don't use them (mAP +0.0")
    assert "could have shown a gain of 0." in found.sentence
    assert "more test boxes would tell, if it is as it seems" in of_cars(found)


def test_too_few_boxes_of_a_class_tell_nothing_whatever_they_say(answered: Callable[..., Answer]) -> None:
    found = answered(12, real=2, generated=11, grey=2)
    assert of_cars(found) == "car: can't be told (12 test boxes)"


def test_one_seed_can_not_tell(compare: Callable[..., Comparison]) -> None:
    found = answer(compare([set()], [first(20)], [first(50)]))
    assert (found.advice, found.chosen) == ("unknown", None)
    assert found.sentence == "Whether generated images help can't be told with one seed: give more --seeds."


def test_a_class_that_no_arm_has_learnt_can_not_be_told(
    make_split: Callable[..., Split], judge: Callable[..., Judged]
) -> None:
    split = make_split(*[[CAR, ("person", (10, 10, 20, 40))]] * 40)  # the runs find cars alone
    judged = [judge(ARMS["pretrained"], 0, set())]
    judged += [judge(ARMS[name], seed, first(20 + seed)) for name in ("real", "generated") for seed in range(2)]
    found = answer(sum_up(judged, split, CompareConfig(seeds=(0, 1), bootstrap=BootstrapConfig(resamples=100))))
    told = {each.key: each.sentence for each in found.findings}
    assert told["ap/person"] == "person: can't be told (40 test boxes, but an AP under 0.01 in every arm)"
    assert told["ap/car"].startswith("car +0.000 (")


def test_of_mixes_that_are_alike_the_smaller_one_is_advised(answered: Callable[..., Answer]) -> None:
    found = answered(real=40, half=90, generated=91, grey=60)
    assert found.chosen == ARMS["half"]
    assert [each.arm for each in found.mixes] == ["real+0.5x", "real+1x"]
    assert {each.real.looks for each in found.findings if each.real} == {4}  # mAP, cars, medium boxes, another mix


def test_a_mix_that_scores_chose_is_told_so_and_not_built_by_chance(answered: Callable[..., Answer]) -> None:
    found = answered(real=40, generated=60, grey=40, clean=100)
    assert (found.chosen, found.command) == (ARMS["clean"], None)
    how = "those of least trouble (reject the others, and build with --curation):"
    assert found.sentence.startswith(f"Use 0.5 generated images for each real one, {how}")


def test_the_files_tell_the_answer(compared: Callable[..., Comparison]) -> None:
    found = compared(real=40, generated=90, grey=60)
    told = as_dict(found)["answer"]
    assert (told["advice"], told["arm"], told["correction"]) == ("helps", "real+1x", "Holm")
    assert told["findings"][0]["minus_real"]["p"] < 0.05
    assert json.loads(json.dumps(told)) == told
    assert "Use 1 generated images for each real one" in as_markdown(found)


def test_a_mix_is_built_from_the_inputs_of_the_dataset(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    dataset = made_dataset(tmp_path / "D", real=2, generated=2, test=2)
    arm = Arm("real+0.5x", "", ("r", "s", "g"), 2, 1)
    assert build_command(dataset, arm) == (
        f"nirgen build-dataset NEW --generated bdd={tmp_path}/nir:{tmp_path}/photos.json "
        f"--real ranus={tmp_path}/ranus:{tmp_path}/ranus.json --generated-per-real 0.5"
    )
    (dataset / "run.json").unlink()
    assert build_command(dataset, arm).endswith("--generated DIR:LABELS --real DIR:LABELS --generated-per-real 0.5")
