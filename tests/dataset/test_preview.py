"""What decisions would change, foreseen from the dataset alone, and what they do change when it is built again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nirgen.curation import Decision, Decisions, Seen, added_key, merge
from nirgen.curation.file import digest
from nirgen.dataset.build import build
from nirgen.dataset.folder import read_dataset
from nirgen.dataset.plan import Tally
from nirgen.dataset.planner import curate
from nirgen.dataset.preview import HeldBox, Holds, count_held, foresee, read_images
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nirgen.dataset.plan import Plan
    from nirgen.dataset.preview import Foreseen


CAR_BOX = (20.0, 4.0, 8.0, 8.0)
ADDED = added_key("bdd/b.jpg", "car", CAR_BOX, 30, 20)
ADD = Decision(ADDED, "add", "car", CAR_BOX, 30, 20)
REJECT = Decision("bdd/n/d.jpg", "reject")
RELABEL = Decision("bdd/a.jpg#7", "relabel", "bicycle", seen=Seen(category="car"))
DELETE = Decision("ranus/02/b.png#3", "delete", seen=Seen(category="bicycle"))


def told(decisions: Iterable[Decision]) -> Decisions:
    ordered = tuple(sorted(decisions, key=lambda each: each.order))
    return Decisions(Path("c.jsonl"), digest(ordered), ordered)


def built(plan: Plan, out: Path, *decisions: Decision) -> Path:
    if not decisions:
        return build(plan, out).out
    chosen = curate(plan.images, told(decisions), plan.categories, Tally())
    plan = replace(plan, images=chosen.images, rejected=chosen.rejected, curation=chosen.curation)
    return build(plan, out).out


def foreseen_and_built(plan: Plan, tmp_path: Path, own: list[Decision], then: list[Decision]) -> Foreseen:
    """What was foreseen, after it was compared with what a build makes of the decisions."""
    found = foresee(built(plan, tmp_path / "d", *own), told(then))
    info = read_dataset(built(plan, tmp_path / "rebuilt", *then))
    assert found.after == count_held(read_images(info), info)
    return found


def test_new_decisions_are_counted_by_what_they_change(small_plan, tmp_path) -> None:
    found = foreseen_and_built(small_plan, tmp_path, [], [ADD, REJECT, RELABEL, DELETE])
    assert (found.decisions, found.already, found.reworded, found.idle, found.unseen) == (4, 0, 0, 0, 0)
    assert found.new == {"add": 1, "delete": 1, "reject": 1, "relabel": 1}
    assert (found.gone, found.changed, found.withdrawn) == ((), (), ())
    assert (found.before["train"].images, found.after["train"].images) == (5, 4)
    assert found.before["train"].boxes == {"person": 1, "bicycle": 1, "car": 2}
    assert found.after["train"].boxes == {"person": 1, "bicycle": 1, "car": 2}
    assert found.after["val"].boxes == {"person": 1, "bicycle": 0, "car": 1}


def test_what_the_dataset_was_built_with_changes_nothing_again(small_plan, tmp_path) -> None:
    own = [ADD, REJECT, RELABEL, DELETE]
    reworded = replace(RELABEL, reason="it has two wheels")
    found = foreseen_and_built(small_plan, tmp_path, own, [ADD, REJECT, reworded, DELETE])
    assert (found.already, found.reworded, found.new, found.withdrawn) == (3, 1, {}, ())
    assert found.before == found.after


def test_decisions_on_top_of_others_are_no_changed_targets(small_plan, tmp_path) -> None:
    own = [ADD, RELABEL]
    person = Decision("bdd/a.jpg#7", "relabel", "person", seen=Seen(category="bicycle"))
    delete_added = Decision(ADDED, "delete", seen=Seen(category="car"))
    found = foreseen_and_built(small_plan, tmp_path, own, [*merge(own, [person, delete_added])])
    assert (found.new, found.changed, found.gone) == ({"relabel": 1}, (), ())
    assert found.withdrawn == (ADD,)


def test_withdrawn_decisions_are_counted_as_far_as_can_be_known(small_plan, tmp_path) -> None:
    found = foreseen_and_built(small_plan, tmp_path, [ADD, RELABEL, DELETE], [Decision(DELETE.key, "keep")])
    assert found.withdrawn == (RELABEL, ADD, DELETE)
    assert found.after["val"].boxes == {"person": 1, "bicycle": 1, "car": 1}


def test_what_comes_back_is_not_taken_for_gone(small_plan, tmp_path) -> None:
    out = built(small_plan, tmp_path / "d", REJECT, replace(DELETE, seen=Seen()))
    then = [Decision("bdd/n/d.jpg", "keep"), Decision("bdd/n/d.jpg#1", "delete"), Decision(DELETE.key, "keep")]
    found = foresee(out, told(then))
    assert (found.unseen, found.gone, found.new) == (3, (), {})


def test_decisions_about_rejected_images_have_no_effect(small_plan, tmp_path) -> None:
    out = built(small_plan, tmp_path / "d", REJECT)
    found = foresee(out, told([REJECT, Decision("bdd/n/d.jpg#1", "delete")]))
    assert (found.idle, found.gone, found.already) == (1, (), 1)


def test_gone_and_changed_targets_are_listed_new_ones_and_those_of_the_build(small_plan, tmp_path) -> None:
    old = Decision("bdd/z.jpg", "reject")
    out = built(small_plan, tmp_path / "d", old, Decision("bdd/y.jpg", "reject"))
    stale = Decision("bdd/a.jpg", "keep", seen=Seen(sha256="0" * 64))
    found = foresee(out, told([old, Decision("bdd/a.jpg#99", "delete"), stale]))
    assert [(each.key, each.why) for each in found.gone] == [
        ("bdd/a.jpg#99", "its image has no such box"),
        ("bdd/z.jpg", "the dataset has no such image"),
    ]
    assert [each.key for each in found.changed] == ["bdd/a.jpg"]


def test_an_unknown_class_is_an_error(small_plan, tmp_path) -> None:
    with pytest.raises(NirgenError, match="names the class 'bike', which the dataset hasn't"):
        foresee(built(small_plan, tmp_path / "d"), told([Decision("bdd/a.jpg#7", "relabel", "bike")]))


def test_a_dataset_is_read_with_its_boxes_by_their_source_keys(small_plan, tmp_path) -> None:
    info = read_dataset(build(small_plan, tmp_path / "d").out)
    images = read_images(info)
    assert len(images) == 7
    image = images["bdd/a.jpg"]
    assert (image.split, image.size, image.sha256) == ("train", (30, 20), small_plan.images[0].sha256)
    assert image.boxes == {
        "10": HeldBox("person", (0, 0, 2, 4), ignored=False),
        "3": HeldBox("car", (15, 0, 10, 10), ignored=True),
        "7": HeldBox("car", (5, 10, 15.5, 5.5), ignored=False),
    }
    assert count_held(images, info) == {
        "train": Holds(5, {"person": 1, "bicycle": 1, "car": 2}, 1),
        "val": Holds(1, {"person": 1, "bicycle": 1, "car": 1}, 0),
        "test": Holds(1, {"person": 0, "bicycle": 0, "car": 0}, 1),
    }


@pytest.mark.parametrize("name", ["annotations/val.json", "provenance.parquet"])
def test_a_damaged_file_is_named(small_plan, tmp_path, name: str) -> None:
    out = build(small_plan, tmp_path / "d").out
    (out / name).write_bytes(b"{")
    with pytest.raises(NirgenError, match=rf"{name}: can't be read \(.*\); build the dataset again"):
        read_images(read_dataset(out))
