"""A sample that is loaded again, beside what a curator did to it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from nirgen.browse.documents import Edits, has_decisions, merged
from nirgen.browse.fields import encode_loaded
from nirgen.dataset.read import Image

OURS = {"_id", "filepath", "key", "boxes", "trouble", "split", "decision", "reason", "author"}


@pytest.fixture
def item() -> Image:
    path = Path("a.png")
    return Image("o/a.jpg", 1, "train", "o", True, path, 100, 100, "", "", None, None, None, {}, None, None, ())


def box(
    key: str | None, label: str = "car", place: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2), **values: Any
) -> dict[str, Any]:
    keyed = {"key": key} if key else {}
    return {"label": label, "bounding_box": list(place), "tags": [], **keyed, **values}


def sample(*boxes: dict[str, Any], **values: Any) -> dict[str, Any]:
    detections = deepcopy(list(boxes))
    loaded = encode_loaded([one for one in detections if "key" in one])
    return {"_id": 1, "key": "o/a.jpg", "filepath": "a.png", "tags": [], "created_at": 1, "last_modified_at": 1} | {
        "boxes": {"detections": detections, "loaded": loaded}, **values
    }  # fmt: skip


def test_what_is_as_it_was_is_the_old_sample(item: Image) -> None:
    old = sample(box("k"))
    assert merged(old, sample(box("k")) | {"last_modified_at": 2}, item, OURS, Edits()) is old


def test_values_of_the_dataset_are_renewed_and_those_of_the_curator_stay(item: Image) -> None:
    old = sample(trouble=0.1, split="val", mine=7, decision="keep", author="anna") | {"tags": ["kept"]}
    new = merged(old, sample(trouble=0.2), item, OURS, Edits())
    assert (new["trouble"], new["mine"], new["tags"], new["decision"]) == (0.2, 7, ["kept"], "keep")
    assert "split" not in new


def test_a_refused_suggestion_stays_refused_while_scores_stay(item: Image) -> None:
    old, same = sample(box("k", trouble=0.5)), sample(box("k", trouble=0.5, tags=["vanished"]))
    assert merged(old, same, item, OURS, Edits()) is old
    other = merged(old, sample(box("k", trouble=0.6, tags=["smeared"])), item, OURS, Edits())
    assert other["boxes"]["detections"][0]["tags"] == ["smeared"]


def test_old_suggestions_go_and_the_curators_tags_stay(item: Image) -> None:
    old = sample(box("k", trouble=0.5, tags=["vanished", "rejected", "mine"]))
    new = merged(old, sample(box("k", trouble=0.1)), item, OURS, Edits())
    assert new["boxes"]["detections"][0]["tags"] == ["rejected", "mine"]


def test_class_and_place_are_edited_each_for_itself(item: Image) -> None:
    old = sample(box("k"))
    old["boxes"]["detections"][0]["label"] = "bicycle"
    edits = Edits()
    new = merged(old, sample(box("k", place=(0.3, 0.3, 0.2, 0.2))), item, OURS, edits)
    assert new["boxes"]["detections"] == [box("k", "bicycle", (0.3, 0.3, 0.2, 0.2))]
    assert (edits.kept, edits.lost) == (1, [])


def test_an_edit_that_the_dataset_has_taken_over_is_none_any_more(item: Image) -> None:
    old = sample(box("k"))
    old["boxes"]["detections"][0]["label"] = "bicycle"
    edits = Edits()
    merged(old, sample(box("k", "bicycle")), item, OURS, edits)
    assert (edits.kept, edits.lost) == (0, [])


def test_a_removed_box_comes_back_if_the_dataset_has_changed_it(item: Image) -> None:
    old, edits = sample(box("k")), Edits()
    old["boxes"]["detections"] = []
    assert merged(old, sample(box("k")), item, OURS, edits) is old
    assert (edits.kept, edits.lost) == (1, [])
    new = merged(old, sample(box("k", "bicycle")), item, OURS, edits)
    assert [one["key"] for one in new["boxes"]["detections"]] == ["k"]
    assert edits.lost == ["k"]


def test_boxes_that_the_dataset_has_no_more_go_and_new_ones_come(item: Image) -> None:
    new = merged(sample(box("old")), sample(box("new")), item, OURS, Edits())
    assert [one["key"] for one in new["boxes"]["detections"]] == ["new"]


def test_without_memory_of_what_was_loaded_the_curators_boxes_stay(item: Image) -> None:
    old = sample(box("k", "bicycle"))
    del old["boxes"]["loaded"]
    edits = Edits()
    new = merged(old, sample(box("k")), item, OURS, edits)
    assert new["boxes"]["detections"][0]["label"] == "bicycle"
    assert edits.kept == 1


def test_the_boxes_of_an_rgb_image_are_the_datasets_with_the_curators_tags(item: Image) -> None:
    old, shown = sample(box("k", "bicycle", tags=["rejected"])), sample(box("k"))
    for each in (old, shown):
        del each["boxes"]["loaded"]
    new = merged(old, shown, item, OURS, Edits())
    assert new["boxes"]["detections"] == [box("k", tags=["rejected"])]


def test_decisions_are_known_by_their_tags() -> None:
    assert not has_decisions(sample(box("k", tags=["vanished"])))
    assert has_decisions(sample(box("k", tags=["kept"])))
    assert has_decisions({"tags": ["rejected"]})
