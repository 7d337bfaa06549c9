from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nirgen.dataset.annotations import label_images
from nirgen.dataset.contents import Contents, Part, check_licence, is_restricted, parts_of, splits_in, summarise
from nirgen.dataset.store import Placed
from nirgen.dataset.writers import merge_licences
from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def count(plan) -> Contents:
    contents = Contents()
    for labelled in label_images(plan):
        contents.add(labelled, Placed("0" * 64, 10, "encoded", "encoded anew"))
    return contents


def test_empty_ignored_and_unlabelled_images_are_told_apart(small_plan, with_image) -> None:
    described = count(with_image(small_plan, 1, labels=None)).described(small_plan)
    train, test = described["splits"]["train"], described["splits"]["test"]
    assert (train["empty"], train["unlabelled"], train["only_ignored"]) == (1, 1, 0)
    assert (test["empty"], test["unlabelled"], test["only_ignored"]) == (0, 0, 1)
    assert train["boxes"] == {"person": 1, "bicycle": 1, "car": 2}
    assert (train["images"], train["generated"], train["real"], train["ignored"]) == (5, 4, 1, 1)


def test_sources_of_each_class_are_counted(small_plan) -> None:
    classes = count(small_plan).described(small_plan)["classes"]
    assert {"origin": "bdd", "source": "truck", "category": "car", "ignored": False, "boxes": 1} in classes
    assert {"origin": "bdd", "source": "train", "category": "car", "ignored": True, "boxes": 1} in classes
    assert sum(each["boxes"] for each in classes) == 9


def test_sizes_and_encodings_add_up(small_plan) -> None:
    described = count(small_plan).described(small_plan)
    assert (described["size_bytes"], described["encoded"]) == (70, {"encoded anew": 7})


def test_splits_without_images_are_not_there(small_plan, with_image) -> None:
    assert splits_in(small_plan) == ["train", "val", "test"]
    assert splits_in(with_image(small_plan, 5, split="test")) == ["train", "test"]


def test_a_summary_counts_what_each_split_holds(small_plan) -> None:
    """Boxes and regions to ignore are told apart; an image with only a region to ignore isn't empty."""
    splits = summarise(small_plan)["splits"]
    assert list(splits) == ["train", "val", "test"]
    sizes = {image.key: image.size_bytes for image in small_plan.images}
    assert splits["train"] == {
        "generated": 4,
        "real": 1,
        "empty": 1,
        "unlabelled": 0,
        "recordings": 1,
        "boxes": {"person": 1, "bicycle": 1, "car": 3},
        "ignored": 1,
        "bytes": sum(sizes.values()) - sizes["ranus/02/b.png"] - sizes["ranus/03/c.jpg"],
    }
    assert splits["test"]["boxes"] == {"person": 0, "bicycle": 0, "car": 0}
    assert (splits["test"]["ignored"], splits["test"]["empty"]) == (1, 0)


def test_a_summary_says_what_became_of_names(small_plan) -> None:
    assert summarise(small_plan)["classes"][0] == {
        "origin": "bdd",
        "file": "bdd.json",
        "policy": "default",
        "names": [
            {"name": "car", "labels": 9, "became": "car", "written": 9},
            {"name": "traffic light", "labels": 4, "became": "dropped", "written": 0},
        ],
        "lost": {"no width or height": 2},
        "duplicates": 0,
    }


def test_a_summary_counts_scaled_images_and_those_without_an_entry(small_plan, with_image) -> None:
    summary = summarise(with_image(small_plan, 1, labels=None))
    assert summary["scaled"] == 3
    assert (summary["splits"]["train"]["unlabelled"], summary["splits"]["train"]["empty"]) == (1, 0)


def test_paths_that_several_inputs_have_are_counted(
    dataset_inputs, plan_dataset, save, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    save(tmp_path / "other/a.png", seed=30)
    labels = write_labels(tmp_path / "other.json", {"a.png": {"split": "train"}})
    inputs["real"].append({"origin": "other", "folder": tmp_path / "other", "labels": labels})
    assert summarise(plan_dataset(inputs))["collisions"] == {"count": 1, "examples": ["a.png"]}


def test_a_summary_is_plain(small_plan) -> None:
    assert json.loads(json.dumps(summarise(small_plan))) == summarise(small_plan) | {
        "left_out": [{"origin": "bdd", "what": "failed", "count": 2, "examples": ["x|y.jpg", "z.jpg"]}]
    }


NC = {"id": 1, "name": "Attribution-NonCommercial License", "url": "x/by-nc/2.0/"}
BY = {"id": 2, "name": "Attribution License", "url": "x/by/2.0/"}


@pytest.mark.parametrize(
    ("licence", "restricted"),
    [
        ("CC BY-NC-SA 4.0", True),
        ("Attribution-NonCommercial License", True),
        ("non commercial", True),
        ("research only", True),
        ("Academic use", True),
        ("educational, research, not-for-profit", True),
        ("CC BY-ND 4.0", True),
        ("CC BY 4.0", False),
        ("MIT", False),
        ("Apache-2.0", False),
        ("unknown", False),
    ],
)
def test_words_that_restrict_are_known(licence: str, restricted: bool) -> None:
    assert is_restricted(licence) is restricted


def test_parts_are_models_and_what_labels_describe(small_plan) -> None:
    assert parts_of(small_plan) == [
        Part("model abcdef12, which made 'bdd'", "unknown"),
        Part("images and labels of 'bdd' (bdd.json)", "unknown"),
        Part("images and labels of 'ranus' (ranus.json)", "CC BY 4.0"),
    ]


def test_a_licence_that_allows_more_than_a_part_is_refused(make_small_plan, tmp_path) -> None:
    plan = make_small_plan(tmp_path, licence="MIT")
    check_licence(plan)
    plan = replace(plan, generators=(replace(plan.generators[0], licence="research only"),))
    with pytest.raises(ConfigError, match="licence 'MIT': the model abcdef12, which made 'bdd' says 'research only'"):
        check_licence(plan)
    check_licence(replace(plan, config=plan.config.model_copy(update={"licence": "CC BY-NC 4.0"})))
    check_licence(replace(plan, config=plan.config.model_copy(update={"licence": None})))


def test_licences_of_several_files_become_one_list(small_plan) -> None:
    bdd, ranus = small_plan.label_files
    files = (replace(bdd, licenses=(NC, BY)), replace(ranus, licenses=({**BY, "id": 1}, NC)))
    merged, renumbered = merge_licences(files)
    assert merged == [NC, BY]
    assert renumbered == {(1, 1): 2}
