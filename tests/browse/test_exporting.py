"""Decisions out of a real FiftyOne."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.browse.exporting import collect_decisions
from nirgen.curation import Decision, Seen, added_key
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAR = (1.0, 2.0, 10.0, 5.0)


@pytest.fixture
def loaded(browse: Callable[..., Any], dataset_folder: Callable[..., Path]) -> Path:
    """A dataset that FiftyOne has."""
    folder = dataset_folder("D")
    browse(folder)
    return folder


@pytest.fixture
def edit(fo: Any, name: str) -> Callable[..., None]:
    """Change the sample of a slice by key, as a curator would."""

    def run(key: str, change: Callable[[Any], None], slice_: str = "nir") -> None:
        sample = fo.load_dataset(name).select_group_slices(slice_).match(fo.ViewField("key") == key).first()
        change(sample)
        sample.save()

    return run


@pytest.fixture
def export(loaded: Path, name: str) -> Callable[..., list[Decision]]:
    def run(**options: Any) -> list[Decision]:
        return list(collect_decisions(loaded, name=name, **options))

    return run


def test_an_untouched_dataset_has_no_decisions(export: Callable[..., Any]) -> None:
    assert export() == []


def test_boxes_at_thirds_of_pixels_are_untouched_too(
    fo: Any, browse: Callable[..., Any], dataset_folder: Callable[..., Path], name: str
) -> None:
    folder = dataset_folder("D")
    path = folder / "annotations/train.json"
    coco = json.loads(path.read_bytes())
    for box in coco["annotations"]:
        box["bbox"] = [1.333, 2.667, 10.001, 5.999]
    path.write_text(json.dumps(coco))
    browse(folder)
    assert collect_decisions(folder, name=name) == ()


@pytest.mark.parametrize(("tag", "action"), [("rejected", "reject"), ("kept", "keep"), ("needs-fix", "flag")])
def test_a_tag_of_an_image_is_a_decision(
    edit: Callable[..., None], export: Callable[..., Any], loaded: Path, tag: str, action: str
) -> None:
    def change(sample: Any) -> None:
        sample.tags = ["mine", tag]
        sample["reason"], sample["author"] = "smeared", "anna"

    edit("bdd/a.jpg", change)
    (found,) = export(author="ben")
    assert (found.key, found.action, found.reason, found.author) == ("bdd/a.jpg", action, "smeared", "anna")
    assert len(found.seen.sha256) == 64


def test_tags_of_the_rgb_image_count_and_of_real_images_too(
    edit: Callable[..., None], export: Callable[..., Any]
) -> None:
    edit("bdd/b.jpg", lambda sample: sample.tags.append("rejected"), "rgb")
    edit("bdd/a.jpg", lambda sample: sample.boxes.detections[0].tags.append("rejected"), "rgb")
    edit("ranus/02/y.png", lambda sample: sample.tags.append("kept"), "real_nir")
    found = [(each.key, each.action, each.author) for each in export(author="ben")]
    assert found == [
        ("bdd/a.jpg#0", "delete", "ben"),
        ("bdd/b.jpg", "reject", "ben"),
        ("ranus/02/y.png", "keep", "ben"),
    ]


def test_of_several_tags_the_operators_word_counts_or_else_the_gravest(
    edit: Callable[..., None], export: Callable[..., Any]
) -> None:
    def said(sample: Any) -> None:
        sample.tags, sample["decision"] = ["rejected", "kept"], "keep"

    edit("bdd/a.jpg", said)
    edit("bdd/b.jpg", lambda sample: sample.tags.extend(["kept", "rejected"]))
    assert [(each.key, each.action) for each in export()] == [("bdd/a.jpg", "keep"), ("bdd/b.jpg", "reject")]


def test_a_tag_that_was_taken_away_is_no_decision(edit: Callable[..., None], export: Callable[..., Any]) -> None:
    def change(sample: Any) -> None:
        sample["decision"] = "reject"

    edit("bdd/a.jpg", change)
    assert export() == []


def test_what_was_done_to_boxes_is_a_decision(fo: Any, edit: Callable[..., None], export: Callable[..., Any]) -> None:
    def change(sample: Any) -> None:
        car, bicycle = sample.boxes.detections
        car.label, car["reason"], car["author"] = "person", "wrong class", "anna"
        bicycle.bounding_box = [0.2, 0.2, 0.1, 0.1]
        sample.boxes.detections.append(fo.Detection(label="car", bounding_box=[0.5, 0.5, 0.1, 0.2], author="anna"))

    def remove(sample: Any) -> None:
        sample.boxes.detections = []

    edit("bdd/b.jpg", change)
    edit("bdd/a.jpg", remove)
    edit("bdd/night/c.jpg", lambda sample: sample.boxes.detections[0].tags.append("kept"))
    size = {"width": 30, "height": 20}
    seen = Seen(category="car", bbox=CAR)
    new = added_key("bdd/b.jpg", "car", (15, 10, 3, 4), 30, 20)
    assert export() == [
        Decision("bdd/a.jpg#0", "delete", seen=seen, **size),
        Decision(new, "add", category="car", bbox=(15, 10, 3, 4), author="anna", **size),
        Decision("bdd/b.jpg#0", "relabel", category="person", reason="wrong class", author="anna", seen=seen, **size),
        Decision("bdd/b.jpg#1", "move", bbox=(6, 4, 3, 2), seen=Seen(category="bicycle", bbox=(3, 3, 4, 4)), **size),
        Decision("bdd/night/c.jpg#0", "keep", seen=seen, **size),
    ]


def test_a_deleted_box_has_no_other_decision(edit: Callable[..., None], export: Callable[..., Any]) -> None:
    def change(sample: Any) -> None:
        box = sample.boxes.detections[0]
        box.tags, box.label = ["vanished", "kept", "rejected"], "person"

    edit("bdd/a.jpg", change)
    assert [(each.key, each.action) for each in export()] == [("bdd/a.jpg#0", "delete")]


def test_a_class_that_the_dataset_lacks_is_refused(edit: Callable[..., None], export: Callable[..., Any]) -> None:
    def change(sample: Any) -> None:
        sample.boxes.detections[0].label = "persn"

    edit("bdd/a.jpg", change)
    with pytest.raises(NirgenError, match=r"bdd/a\.jpg#0: .* 'persn' .*did you mean 'person'"):
        export()


def test_images_that_fiftyone_lacks_are_no_decisions(fo: Any, name: str, export: Callable[..., Any]) -> None:
    dataset = fo.load_dataset(name)
    dataset.delete_samples(dataset.first())
    with pytest.raises(NirgenError, match=r"lacks 1 of 6 images, such as 'bdd/a\.jpg'; .*browse --no-launch"):
        export()


def test_a_dataset_that_was_built_anew_is_browsed_before_it_is_exported(
    loaded: Path, dataset_folder: Callable[..., Path], export: Callable[..., Any]
) -> None:
    dataset_folder("D", limit=1)
    with pytest.raises(NirgenError, match=r"was built anew since .*'nirgen browse --no-launch"):
        export()


def test_a_dataset_that_fiftyone_does_not_have_is_browsed_first(fo: Any, dataset_folder: Callable[..., Path]) -> None:
    folder = dataset_folder("D")
    with pytest.raises(
        NirgenError, match=f"D: not in FiftyOne as 'nobody'; run 'nirgen browse --no-launch {folder}' first"
    ):
        collect_decisions(folder, name="nobody")


def test_without_a_name_the_dataset_is_found_by_its_folder(edit: Callable[..., None], loaded: Path, fo: Any) -> None:
    edit("bdd/a.jpg", lambda sample: sample.tags.append("kept"))
    assert [each.key for each in collect_decisions(loaded)] == ["bdd/a.jpg"]


def test_a_database_that_goes_away_leaves_no_half_written_file(
    fo: Any, mongodb: str, start_mongod: Callable[..., Any], browse: Callable[..., Any], nirgen: Callable[..., Any],
    dataset_folder: Callable[..., Path], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    from nirgen.browse import exporting
    from nirgen.browse.database import open_fiftyone

    folder, own = dataset_folder("D"), start_mongod()
    monkeypatch.setattr("nirgen.browse.database.SECONDS_TO_ANSWER", 1)
    monkeypatch.setattr("nirgen.browse.exporting._BATCH", 2)
    read = exporting._read

    def read_and_stop(*arguments: Any) -> Any:
        found = read(*arguments)
        own.stop()
        return found

    open_fiftyone(own.uri)
    try:
        browse(folder)
        monkeypatch.setattr("nirgen.browse.exporting._read", read_and_stop)
        code, _, said = nirgen("curation", "export", folder, "-o", tmp_path / "curation.jsonl", "--name", name)
    finally:
        open_fiftyone(mongodb)
    assert code == 1
    assert said.startswith(f"error: FiftyOne's database failed at the dataset '{name}'")
    assert said.count("\n") == 1
    assert not (tmp_path / "curation.jsonl").exists()
    assert not list(tmp_path.glob(".nirgen-*"))
