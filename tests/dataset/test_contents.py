from __future__ import annotations

from nirgen.dataset.annotations import label_images
from nirgen.dataset.contents import Contents, splits_in
from nirgen.dataset.placing import Placed


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
