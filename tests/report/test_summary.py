from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nirgen.collection import open_collection
from nirgen.files import seal, unseal
from nirgen.report.summary import Fact, facts_of, in_short, totals
from nirgen.report.survey import Statistics, survey
from nirgen.scores import BoxScores
from nirgen.translate.items import Row
from nirgen.translate.manifest import Manifest, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nirgen.dataset.read import Image
    from nirgen.report.survey import Survey


@pytest.fixture
def changed(make_dataset: Callable[[Path], Path], tmp_path: Path) -> Callable[..., Path]:
    """Make a dataset that says of itself what a test wants."""

    def make(**values: Any) -> Path:
        folder = make_dataset(tmp_path)
        path = folder / "dataset.json"
        path.write_text(json.dumps(seal(unseal(json.loads(path.read_text())) | values)))
        return folder

    return make


def test_a_dataset_says_what_it_was_made_by_and_that_nothing_is_amiss(dataset: Path) -> None:
    facts, _ = facts_of(open_collection(dataset))
    lines = {fact.name: fact.text for fact in facts}
    assert lines["Generator"] == "555555555555, which translated bdd"
    assert lines["Class policy"] == "default (bdd, cam)"
    assert lines["Curator's decisions"] == "none applied"
    assert lines["Digest"] == open_collection(dataset).digest
    assert lines["Leaks"] == "none known between training and val or test"
    assert [fact for fact in facts if fact.warning] == []


def test_leaks_that_were_allowed_are_a_warning(changed: Callable[..., Path]) -> None:
    leaks = [{"kind": "file", "key": f"cam/{number}", "split": "val", "other": "x"} for number in range(7)]
    found = [fact for fact in facts_of(open_collection(changed(leaks=leaks)))[0] if fact.name == "Leaks"]
    text = "7 images of val or test, or near copies of them, are in training; accepted by --allow-leak"
    assert found == [Fact("Leaks", text, warning=True), Fact("Leaks", "such as cam/0, cam/1, cam/2, cam/3, cam/4")]


def test_real_images_in_colour_are_a_warning(changed: Callable[..., Path]) -> None:
    lines, values = facts_of(open_collection(changed(coloured={"count": 2, "real": 3, "examples": ["cam/a", "cam/b"]})))
    assert Fact("Colour", "2 of 3 real images are in colour; accepted by --allow-colour", warning=True) in lines
    assert values["coloured"] == 2


def test_decisions_are_told_with_those_that_found_no_target(changed: Callable[..., Path]) -> None:
    curation = {"sha256": "0" * 64, "decisions": 5, "applied": {"reject": 3, "move": 1}, "gone": [{}], "changed": []}
    lines, _ = facts_of(open_collection(changed(curation=curation)))
    assert Fact("Curator's decisions", "1 move, 3 reject, 1 whose target is gone", warning=True) in lines


def test_what_was_left_out_has_its_reason_in_words(changed: Callable[..., Path]) -> None:
    left_out = [{"origin": "bdd", "what": "not-sampled", "count": 12, "examples": ["a", "b"]}]
    _, values = facts_of(open_collection(changed(left_out=left_out)))
    reason = "generated images not sampled"
    assert values["left_out"] == [{"origin": "bdd", "reason": reason, "count": 12, "examples": ["a", "b"]}]


def test_a_translation_tells_what_failed(tmp_path: Path) -> None:
    common = {"model_id": "5" * 64, "options_id": "6" * 64}
    rows = (
        Row(source="a.jpg", status="done", output="a.png", output_sha256="1" * 64, width=4, height=4, **common),
        Row(source="b.jpg", status="failed", error="is damaged", **common),
    )
    (tmp_path / "nir").mkdir()
    write_manifest(tmp_path / "nir", Manifest(rows, "0.1.0", {}, {"licence": "CC0-1.0"}))
    lines, values = facts_of(open_collection(tmp_path / "nir"))
    failed = {"origin": "nir", "reason": "failed to be translated", "count": 1, "examples": ["b.jpg: is damaged"]}
    assert values["left_out"] == [failed]
    assert lines[0] == Fact("Generator", "555555555555, which translated nir; its licence: CC0-1.0")


@pytest.fixture
def found(item: Callable[..., Image], given_items: type, given_scores: type) -> Survey:
    items = [
        item("a/1", [("car", 0, 0, 9, 9), ("person", 0, 0, 9, 9), ("ignore", 0, 0, 9, 9)]),
        item("b/1", generated=False, rgb_name="1.jpg"),
    ]
    return survey(given_items(items), given_scores({}, {"a/1#1": BoxScores(0.1, 0.9, ("vanished",))}), sampled=0)


def sentences(found: Survey, statistics: Any = None, facts: Sequence[Fact] = (), unreadable: int = 0) -> list[str]:
    return list(in_short(facts, found, statistics or {}, labelled=True, unreadable=unreadable))


def test_totals_are_counted_over_all_places(found: Survey) -> None:
    assert totals(found) == {
        "images": 2,
        "generated": 1,
        "real": 1,
        "empty": 1,
        "unlabelled": 0,
        "boxes": 2,
        "ignored": 1,
    }


def test_the_first_sentences_say_how_much_there_is_what_to_look_at_and_what_is_missing(found: Survey) -> None:
    assert sentences(found) == [
        "2 images (1 generated, 1 real) with 2 boxes; no objects: 1.",
        "1 box scored; suspect: 1 vanished.",
        "NIR files missing: 2 (a/1, b/1). These images have no scores and no pictures here.",
        "RGB files missing: 1 (b/1). Scores that need them are unknown, unless computed before.",
    ]


def test_images_that_nobody_labelled_are_told_apart_from_those_without_objects(
    item: Callable[..., Image], given_items: type, given_scores: type
) -> None:
    items = [item("a/1", [("car", 0, 0, 9, 9)]), item("a/2"), *(item(f"b/{n}", labelled=False) for n in range(3))]
    found = survey(given_items(items), given_scores({}, {}), sampled=0)
    assert sentences(found)[0] == "5 images (5 generated, 0 real) with 1 box; no objects: 1; unlabelled: 3."


def test_what_both_kinds_share_and_what_to_beware_of_is_said(found: Survey) -> None:
    same = Statistics(1, np.eye(4)[0], np.eye(4)[1], {})
    facts = [Fact("Leaks", "7 images", warning=True), Fact("Digest", "abc")]
    told = sentences(found, {True: same, False: same}, facts, unreadable=2)
    assert told[2] == (
        "Generated and real NIR share 100 % of their distribution of intensities and 100 % of that of gradients."
    )
    assert told[-2:] == ["Unreadable files: of 2 images.", "Leaks: 7 images."]
