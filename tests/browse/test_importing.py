"""Decisions into a real FiftyOne."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nirgen.browse.exporting import collect_decisions
from nirgen.browse.importing import Imported, import_decisions
from nirgen.curation import Decision, Seen, added_key, merge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = {"width": 30, "height": 20}
CAR, BICYCLE = Seen(category="car", bbox=(1, 2, 10, 5)), Seen(category="bicycle", bbox=(3, 3, 4, 4))
ADDED = added_key("bdd/b.jpg", "car", (15, 10, 3, 4), 30, 20)
DECISIONS = (
    Decision("bdd/a.jpg#0", "delete", reason="vanished", author="anna", seen=CAR, **SIZE),
    Decision(ADDED, "add", category="car", bbox=(15, 10, 3, 4), author="anna", **SIZE),
    Decision("bdd/b.jpg#0", "flag", author="ben", seen=CAR, **SIZE),
    Decision("bdd/b.jpg#0", "relabel", category="person", author="ben", seen=CAR, **SIZE),
    Decision("bdd/b.jpg#1", "move", bbox=(6, 4, 3, 2), author="anna", seen=BICYCLE, **SIZE),
    Decision("ranus/02/y.png", "keep", author="anna"),
)


def test_what_is_imported_is_exported_again(
    browse: Callable[..., Any], dataset_folder: Callable[..., Path], name: str
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    assert import_decisions(folder, DECISIONS, name=name) == Imported(6, ())
    found = collect_decisions(folder, name=name)
    assert [each for each in found if each.key != "ranus/02/y.png"] == list(DECISIONS[:5])
    assert (found[5].key, found[5].action, found[5].author) == ("ranus/02/y.png", "keep", "anna")
    assert merge(found, found) == found


def test_imported_twice_it_changes_nothing_more(
    fo: Any, browse: Callable[..., Any], dataset_folder: Callable[..., Path], name: str
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    import_decisions(folder, DECISIONS, name=name)
    dataset = fo.load_dataset(name)
    everything = dataset.select_group_slices(dataset.group_slices)
    before = everything.values(["id", "last_modified_at", "boxes.detections.tags", "boxes.detections.id"])
    assert import_decisions(folder, DECISIONS, name=name).applied == 6
    assert everything.values(["id", "last_modified_at", "boxes.detections.tags", "boxes.detections.id"]) == before


def test_another_decision_takes_the_place_of_the_one_that_is_there(
    fo: Any, browse: Callable[..., Any], dataset_folder: Callable[..., Path], name: str
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    import_decisions(folder, [Decision("bdd/a.jpg", "reject"), Decision("bdd/a.jpg#0", "keep")], name=name)
    import_decisions(folder, [Decision("bdd/a.jpg", "keep"), Decision("bdd/a.jpg#0", "delete")], name=name)
    sample = fo.load_dataset(name).first()
    assert (sample.tags, sample["decision"], sample.boxes.detections[0].tags) == (["kept"], "keep", ["rejected"])


def test_what_is_not_there_is_said_to_be_gone(
    browse: Callable[..., Any], dataset_folder: Callable[..., Path], name: str
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    decisions = [Decision("bdd/x.jpg", "reject"), Decision("bdd/a.jpg#9", "delete"), Decision("bdd/a.jpg", "keep")]
    assert import_decisions(folder, decisions, name=name) == Imported(1, ("bdd/a.jpg#9", "bdd/x.jpg"))
