"""Decisions out of a real FiftyOne into a file, by the command, and back by a rebuild."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.browse.decisions import Imported, collect_decisions, import_decisions
from nirgen.curation import Decision, Seen, added_key, merge, read_decisions, write_decisions
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


SIZE = {"width": 30, "height": 20}
CAR, BICYCLE = Seen(category="car", bbox=(1, 2, 10, 5)), Seen(category="bicycle", bbox=(3, 3, 4, 4))
RELABEL = Decision("bdd/b.jpg#0", "relabel", category="person", author="anna", seen=CAR, **SIZE)
REJECT = Decision("bdd/a.jpg", "reject", reason="blurred", author="anna")


@pytest.fixture
def loaded(shared: Callable[..., Any]) -> Path:
    """A dataset that FiftyOne has."""
    folder: Path = shared().folder
    return folder


@pytest.fixture
def dataset(shared: Callable[..., Any]) -> Any:
    """The FiftyOne dataset of `loaded`."""
    return shared().dataset


@pytest.fixture
def decided(loaded: Path) -> Path:
    """A dataset of which FiftyOne knows two decisions."""
    import_decisions(loaded, [REJECT, RELABEL])
    return loaded


def test_the_command_writes_what_was_decided(
    nirgen: Callable[..., tuple[int, str, str]], decided: Path, dataset: Any, tmp_path: Path
) -> None:
    out = tmp_path / "curation.jsonl"
    code, output, _ = nirgen("curation", "export", decided, "-o", out, "--name", dataset.name, "--json")
    assert code == 0
    actions = {"reject": 1, "relabel": 1}
    assert json.loads(output) == {"file": str(out), "decisions": 2, "new": 2, "only_in_file": 0, "actions": actions}
    assert [(each.key, each.action, each.author) for each in read_decisions(out).all] == [
        ("bdd/a.jpg", "reject", "anna"),
        ("bdd/b.jpg#0", "relabel", "anna"),
    ]


def test_decisions_that_only_the_file_has_stay_and_are_counted_unless_it_is_replaced(
    nirgen: Callable[..., tuple[int, str, str]], decided: Path, tmp_path: Path
) -> None:
    folder, out = decided, tmp_path / "curation.jsonl"
    write_decisions(out, [Decision("bdd/night/c.jpg", "reject", author="ben")])
    assert 'only_in_file": 1' in nirgen("curation", "export", folder, "-o", out, "--json")[1]
    assert "1 of them FiftyOne doesn't have" in nirgen("curation", "export", folder, "-o", out)[1]
    assert len(read_decisions(out).all) == 3
    assert nirgen("curation", "export", folder, "-o", out, "--replace")[0] == 0
    assert [each.key for each in read_decisions(out).all] == ["bdd/a.jpg", "bdd/b.jpg#0"]


def test_what_is_exported_and_built_in_is_exported_again_from_the_rebuilt_dataset(
    nirgen: Callable[..., tuple[int, str, str]],
    browse: Callable[..., Any],
    dataset_folder: Callable[..., Path],
    name: str,
    tmp_path: Path,
) -> None:
    folder, first, second = dataset_folder("D"), tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    browse(folder)
    import_decisions(folder, [REJECT, RELABEL], name=name)
    nirgen("curation", "export", folder, "-o", first, "--name", name)
    dataset_folder("D", curation=first)
    assert browse(folder).changed["removed"] == 2
    nirgen("curation", "export", folder, "-o", second, "--name", name)
    assert second.read_bytes() == first.read_bytes()


def test_a_dataset_deleted_in_fiftyone_is_named_and_leaves_the_file_as_it_was(
    nirgen: Callable[..., tuple[int, str, str]],
    fo: Any,
    browse: Callable[..., Any],
    dataset_folder: Callable[..., Path],
    name: str,
    tmp_path: Path,
) -> None:
    folder, out = dataset_folder("D"), tmp_path / "curation.jsonl"
    browse(folder)
    write_decisions(out, [REJECT])
    before = out.read_bytes()
    fo.delete_dataset(name)
    code, _, error = nirgen("curation", "export", folder, "-o", out, "--name", name)
    assert code == 1
    assert error.count("\n") == 1
    assert name in error
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if "curation" in path.name) == ["curation.jsonl"]


@pytest.fixture
def edit(fo: Any, dataset: Any) -> Callable[..., None]:
    """Change the sample of a slice by key, as a curator would."""

    def run(key: str, change: Callable[[Any], None], slice_: str = "nir") -> None:
        sample = dataset.select_group_slices(slice_).match(fo.ViewField("key") == key).first()
        change(sample)
        sample.save()

    return run


@pytest.fixture
def export(loaded: Path, dataset: Any) -> Callable[..., list[Decision]]:
    def run(**options: Any) -> list[Decision]:
        return list(collect_decisions(loaded, name=dataset.name, **options))

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
    new = added_key("bdd/b.jpg", "car", (15, 10, 3, 4), 30, 20)
    assert export() == [
        Decision("bdd/a.jpg#0", "delete", seen=CAR, **SIZE),
        Decision(new, "add", category="car", bbox=(15, 10, 3, 4), author="anna", **SIZE),
        Decision("bdd/b.jpg#0", "relabel", category="person", reason="wrong class", author="anna", seen=CAR, **SIZE),
        Decision("bdd/b.jpg#1", "move", bbox=(6, 4, 3, 2), seen=BICYCLE, **SIZE),
        Decision("bdd/night/c.jpg#0", "keep", seen=CAR, **SIZE),
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


def test_images_that_fiftyone_lacks_are_no_decisions(dataset: Any, export: Callable[..., Any]) -> None:
    dataset.delete_samples(dataset.first())
    with pytest.raises(NirgenError, match=r"lacks 1 of 6 images, such as 'bdd/a\.jpg'; .*browse --no-launch"):
        export()


def test_a_rebuild_takes_the_decisions_of_the_app_and_once_browsed_again_nothing_is_left_to_do(
    nirgen: Callable[..., tuple[int, str, str]],
    browse: Callable[..., Any],
    dataset_folder: Callable[..., Path],
    name: str,
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    import_decisions(folder, [REJECT, RELABEL], name=name)
    code, _, err = nirgen("rebuild", folder, "--yes")
    assert (code, err) == (0, f"decisions: 2, of FiftyOne and of {folder / 'curation.jsonl'}\n")
    found = [each.order for each in read_decisions(folder / "curation.jsonl").all]
    assert found == [("bdd/a.jpg", "reject"), ("bdd/b.jpg#0", "relabel")]
    code, _, err = nirgen("rebuild", folder, "--yes")
    assert code == 1
    assert f"was built anew since '{name}' was loaded; run 'nirgen browse --no-launch" in err
    browse(folder)
    assert nirgen("rebuild", folder, "--yes")[1].endswith("nothing was written\n")


def test_a_rebuild_says_that_fiftyone_lacks_the_dataset(
    nirgen: Callable[..., tuple[int, str, str]], dataset_folder: Callable[..., Path], fo: Any
) -> None:
    folder = dataset_folder("D")
    code, _, err = nirgen("rebuild", folder, "--dry-run")
    assert (code, err) == (0, f"decisions: none, as it was built (FiftyOne has no dataset of {folder})\n")


def test_a_dataset_that_was_built_anew_is_browsed_before_it_is_exported(
    browse: Callable[..., Any], dataset_folder: Callable[..., Path], name: str
) -> None:
    browse(dataset_folder("D"), scores=False)
    with pytest.raises(NirgenError, match=r"was built anew since .*'nirgen browse --no-launch"):
        collect_decisions(dataset_folder("D", limit=1), name=name)


def test_a_dataset_that_fiftyone_does_not_have_is_browsed_first(fo: Any, dataset_folder: Callable[..., Path]) -> None:
    folder = dataset_folder("D")
    with pytest.raises(
        NirgenError, match=f"D: not in FiftyOne as 'nobody'; run 'nirgen browse --no-launch {folder}' first"
    ):
        collect_decisions(folder, name="nobody")


def test_without_a_name_the_dataset_is_found_by_its_folder(edit: Callable[..., None], loaded: Path) -> None:
    edit("bdd/a.jpg", lambda sample: sample.tags.append("kept"))
    assert [each.key for each in collect_decisions(loaded)] == ["bdd/a.jpg"]


def test_a_database_that_goes_away_leaves_no_half_written_file(
    fo: Any, mongodb: str, start_mongod: Callable[..., Any], browse: Callable[..., Any], nirgen: Callable[..., Any],
    dataset_folder: Callable[..., Path], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    from nirgen.browse import decisions as exporting
    from nirgen.browse.database import open_fiftyone

    folder, own = dataset_folder("D"), start_mongod()
    monkeypatch.setattr("nirgen.browse.database.SECONDS_TO_ANSWER", 1)
    monkeypatch.setattr("nirgen.browse.decisions._BATCH", 2)
    decisions_of = exporting._decisions

    def stop_and_decide(*arguments: Any) -> Any:
        own.stop()
        return decisions_of(*arguments)

    open_fiftyone(own.uri)
    try:
        browse(folder)
        monkeypatch.setattr("nirgen.browse.decisions._decisions", stop_and_decide)
        code, _, said = nirgen("curation", "export", folder, "-o", tmp_path / "curation.jsonl", "--name", name)
    finally:
        monkeypatch.undo()
        open_fiftyone(mongodb)
    assert code == 1
    assert said.startswith(f"error: FiftyOne's database failed at the dataset '{name}'")
    assert said.count("\n") == 1
    assert not (tmp_path / "curation.jsonl").exists()
    assert not list(tmp_path.glob(".nirgen-*"))


ADDED = added_key("bdd/b.jpg", "car", (15, 10, 3, 4), 30, 20)
DECISIONS = (
    Decision("bdd/a.jpg#0", "delete", reason="vanished", author="anna", seen=CAR, **SIZE),
    Decision(ADDED, "add", category="car", bbox=(15, 10, 3, 4), author="anna", **SIZE),
    Decision("bdd/b.jpg#0", "flag", author="ben", seen=CAR, **SIZE),
    Decision("bdd/b.jpg#0", "relabel", category="person", author="ben", seen=CAR, **SIZE),
    Decision("bdd/b.jpg#1", "move", bbox=(6, 4, 3, 2), author="anna", seen=BICYCLE, **SIZE),
    Decision("ranus/02/y.png", "keep", author="anna"),
)


def test_what_is_imported_is_exported_again(loaded: Path) -> None:
    assert import_decisions(loaded, DECISIONS) == Imported(6, ())
    found = collect_decisions(loaded)
    assert [each for each in found if each.key != "ranus/02/y.png"] == list(DECISIONS[:5])
    assert (found[5].key, found[5].action, found[5].author) == ("ranus/02/y.png", "keep", "anna")
    assert merge(found, found) == found


def test_imported_twice_it_changes_nothing_more(loaded: Path, dataset: Any) -> None:
    import_decisions(loaded, DECISIONS)
    everything = dataset.select_group_slices(dataset.group_slices)
    before = everything.values(["id", "last_modified_at", "boxes.detections.tags", "boxes.detections.id"])
    assert import_decisions(loaded, DECISIONS).applied == 6
    assert everything.values(["id", "last_modified_at", "boxes.detections.tags", "boxes.detections.id"]) == before


def test_another_decision_takes_the_place_of_the_one_that_is_there(loaded: Path, dataset: Any) -> None:
    import_decisions(loaded, [Decision("bdd/a.jpg", "reject"), Decision("bdd/a.jpg#0", "keep")])
    import_decisions(loaded, [Decision("bdd/a.jpg", "keep"), Decision("bdd/a.jpg#0", "delete")])
    sample = dataset.first()
    assert (sample.tags, sample["decision"], sample.boxes.detections[0].tags) == (["kept"], "keep", ["rejected"])


def test_what_is_not_there_is_said_to_be_gone(loaded: Path) -> None:
    decisions = [Decision("bdd/x.jpg", "reject"), Decision("bdd/a.jpg#9", "delete"), Decision("bdd/a.jpg", "keep")]
    assert import_decisions(loaded, decisions) == Imported(1, ("bdd/a.jpg#9", "bdd/x.jpg"))
