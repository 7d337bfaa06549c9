from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nirgen.dataset.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path


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
