"""Decisions in a build: what they change, and that they change nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from nirgen.curation import Decision, Decisions, Seen, added_key, encode, write_decisions
from nirgen.dataset.build import build
from nirgen.dataset.contents import summarise
from nirgen.dataset.plan import Tally
from nirgen.dataset.planner import apply_plan, curate, write_plan
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.dataset.plan import Plan


CAR_BOX = (20.0, 4.0, 8.0, 8.0)
ADDED = added_key("bdd/b.jpg", "car", CAR_BOX, 30, 20)


def decide(plan: Plan, *decisions: Decision) -> Plan:
    """A plan with a curator's decisions."""
    ordered = tuple(sorted(decisions, key=lambda each: each.order))
    tally = Tally()
    decisions_of_file = Decisions(Path("c.jsonl"), ordered)
    kept, rejected, curation = curate(plan.images, decisions_of_file, plan.categories, tally)
    return replace(
        plan,
        images=kept,
        rejected=rejected,
        curation=curation,
        left_out=(*plan.left_out, *tally.left_out()),
        digest=hashlib.sha256(encode(ordered)).hexdigest(),
    )


def coco_lines(folder: Path) -> dict[str, bytes]:
    """The line of each image and annotation in the COCO files, by its key."""
    lines = {}
    for path in sorted((folder / "annotations").iterdir()):
        for line in path.read_bytes().splitlines():
            text = line.removesuffix(b",")
            if text.startswith(b'{"id":') and b'"key"' in text:
                lines[json.loads(text)["key"]] = text
    return lines


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {key: json.loads(line) for key, line in coco_lines(folder).items()}


def transforms(folder: Path) -> dict[str, list[str]]:
    rows = pq.read_table(folder / "provenance.parquet", columns=["key", "transforms"]).to_pylist()
    return {row["key"]: row["transforms"] for row in rows}


@pytest.fixture
def untouched(small_plan: Plan, tmp_path: Path) -> Path:
    return build(small_plan, tmp_path / "untouched").out


def test_after_a_rejection_everything_else_is_the_same_to_the_byte(small_plan, untouched, tmp_path: Path) -> None:
    out = build(decide(small_plan, Decision("bdd/a.jpg", "reject")), tmp_path / "d").out
    before, after = coco_lines(untouched), coco_lines(out)
    gone = {"bdd/a.jpg", "bdd/a.jpg#7", "bdd/a.jpg#10", "bdd/a.jpg#3"}
    assert before.keys() - after.keys() == gone
    assert len(after) == 12
    assert after == {key: line for key, line in before.items() if key not in gone}
    images = {path.relative_to(out): path.read_bytes() for path in (out / "images").rglob("*.png")}
    assert Path("images/bdd/a.png") not in images
    assert images == {name: (untouched / name).read_bytes() for name in images}
    assert [image["id"] for image in entries(out).values() if "width" in image] == [7, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("key", ["bdd/n/c.jpg", "bdd/n/d.jpg", "ranus/01/a.png", "ranus/02/b.png"])
def test_whichever_image_is_rejected_the_others_keep_their_ids(small_plan, untouched, tmp_path, key: str) -> None:
    after = coco_lines(build(decide(small_plan, Decision(key, "reject")), tmp_path / "d").out)
    before = coco_lines(untouched)
    assert after == {each: line for each, line in before.items() if each.partition("#")[0] != key}


def test_decisions_change_what_they_are_about_and_nothing_else(small_plan, untouched, tmp_path: Path) -> None:
    plan = decide(
        small_plan,
        Decision("bdd/a.jpg#10", "delete", author="anna"),
        Decision("bdd/a.jpg#7", "relabel", "bicycle", author="anna", reason="wrong\nclass"),
        Decision("bdd/n/d.jpg", "flag", reason="dark"),
        Decision("bdd/n/d.jpg#1", "move", None, (10, 10, 20, 10), 60, 40),
        Decision("ranus/02/b.png#3", "move", None, (10.0, 2.0, 5.0, 5.0), 30, 20),
        Decision("ranus/02/b.png#4", "keep", author="ben"),
        Decision(ADDED, "add", "car", CAR_BOX, 30, 20, "missed", "anna"),
    )
    out = build(plan, tmp_path / "d").out
    before, after = coco_lines(untouched), coco_lines(out)
    assert before.keys() - after.keys() == {"bdd/a.jpg#10"}
    assert after.keys() - before.keys() == {ADDED}
    differing = {key for key in after.keys() & before.keys() if after[key] != before[key]}
    assert differing == {"bdd/a.jpg#7", "bdd/n/d.jpg#1", "ranus/02/b.png#3"}
    was, now = entries(untouched), entries(out)
    assert now["bdd/a.jpg#7"] == was["bdd/a.jpg#7"] | {"category_id": 2}
    assert now["bdd/n/d.jpg#1"] == was["bdd/n/d.jpg#1"] | {"bbox": [5.0, 5.0, 10.0, 5.0], "area": 50.0}
    moved = was["ranus/02/b.png#3"] | {"bbox": [10.0, 2.0, 5.0, 5.0], "area": 25.0}
    assert "segmentation" in moved
    assert now["ranus/02/b.png#3"] == {name: value for name, value in moved.items() if name != "segmentation"}
    assert now[ADDED] == {
        "id": 10,  # after the nine that there were
        "image_id": 2,
        "category_id": 3,
        "bbox": [20.0, 4.0, 8.0, 8.0],
        "area": 64.0,
        "iscrowd": 0,
        "key": ADDED,
        "source_category": "car",
    }
    steps = transforms(out)
    assert steps["bdd/a.jpg#7"][-1] == "decision: relabel car -> bicycle (anna: wrong class)"
    assert steps["bdd/n/d.jpg"][-1] == "decision: flag (dark)"
    assert steps["bdd/n/d.jpg#1"][-1] == "decision: move 1,1 10x5 -> 5,5 10x5"
    assert steps["ranus/02/b.png#4"] == ["decision: keep (ben)"]
    assert steps[ADDED] == ["decision: add car (anna: missed)"]
    untold = transforms(untouched)
    touched = {"bdd/a.jpg#7", "bdd/n/d.jpg", "bdd/n/d.jpg#1", "ranus/02/b.png#3", "ranus/02/b.png#4", ADDED}
    assert {key: each for key, each in steps.items() if key not in touched} == {
        key: each for key, each in untold.items() if key not in touched | {"bdd/a.jpg#10"}
    }


def test_an_added_box_comes_from_no_label_file(small_plan, tmp_path: Path) -> None:
    out = build(decide(small_plan, Decision(ADDED, "add", "car", CAR_BOX, 30, 20)), tmp_path / "d").out
    table = pq.read_table(out / "provenance.parquet", columns=["key", "label_file", "label_sha256", "source_key"])
    rows = {row.pop("key"): row for row in table.to_pylist()}
    assert rows[ADDED] == {"label_file": None, "label_sha256": None, "source_key": ADDED.partition("#")[2]}
    assert rows["bdd/b.jpg"]["label_file"] == "bdd.json"


def test_an_added_box_can_be_relabelled_moved_and_deleted(small_plan, tmp_path: Path) -> None:
    add = Decision(ADDED, "add", "car", CAR_BOX, 30, 20)
    relabel = Decision(ADDED, "relabel", "person", seen=Seen(category="car"))
    move = Decision(ADDED, "move", None, (1, 1, 2, 2), 30, 20, seen=Seen(bbox=CAR_BOX))
    plan = decide(small_plan, add, relabel, move)
    out = build(plan, tmp_path / "d").out
    entry = entries(out)[ADDED]
    assert (entry["category_id"], entry["bbox"], entry["source_category"]) == (1, [1.0, 1.0, 2.0, 2.0], "car")
    assert plan.curation is not None
    assert (plan.curation.changed, plan.curation.applied) == ((), {"add": 1, "move": 1, "relabel": 1})


def test_a_box_added_to_an_image_that_nobody_labelled_makes_it_labelled(small_plan, with_image, tmp_path) -> None:
    plan = with_image(small_plan, 1, labels=None)
    assert entries(build(plan, tmp_path / "before").out)["bdd/b.jpg"]["unlabelled"] is True
    plan = decide(plan, Decision(ADDED, "add", "car", CAR_BOX, 30, 20))
    assert "unlabelled" not in entries(build(plan, tmp_path / "d").out)["bdd/b.jpg"]
    assert summarise(plan)["splits"]["train"]["unlabelled"] == 0


def test_the_counts_of_plan_and_dataset_fit_each_other(make_small_plan, tmp_path: Path) -> None:
    plan = decide(
        make_small_plan(tmp_path / "inputs", formats=["yolo", "hf", "rfdetr"]),
        Decision("bdd/n/c.jpg", "reject"),
        Decision("bdd/a.jpg#10", "delete"),
        Decision("bdd/a.jpg#7", "relabel", "person"),
        Decision(ADDED, "add", "bicycle", CAR_BOX, 30, 20),
    )
    built = build(plan, tmp_path / "d")
    assert (built.images, built.annotations, built.dropped) == (6, 9, 0)
    assert (built.out / "labels/bdd/b.txt").read_text() == "1 0.800000 0.400000 0.266667 0.400000\n"
    split = summarise(plan)["splits"]["train"]
    recorded = json.loads((built.out / "dataset.json").read_text())["splits"]["train"]
    assert split["boxes"] == recorded["boxes"] == {"person": 1, "bicycle": 2, "car": 1}
    assert (split["ignored"], split["empty"]) == (recorded["ignored"], recorded["empty"]) == (1, 0)


def test_the_dataset_holds_its_decisions_and_tells_what_they_came_to(small_plan, tmp_path: Path) -> None:
    decisions = (
        Decision("bdd/a.jpg", "reject", seen=Seen(sha256="0" * 64), author="anna", reason="blurred"),
        Decision("bdd/a.jpg#7", "delete"),
        Decision("bdd/b.jpg#1", "delete", reason="old"),
        Decision("ranus/02/b.png#4", "keep"),
    )
    out = build(decide(small_plan, *decisions), tmp_path / "d").out
    assert (out / "curation.jsonl").read_bytes() == encode(decisions)
    values = json.loads((out / "dataset.json").read_text())
    sha256 = small_plan.images[0].sha256[:12]
    assert values["curation"] == {
        "sha256": values["files"]["curation.jsonl"],
        "decisions": 4,
        "applied": {"keep": 1, "reject": 1},
        "idle": 1,
        "gone": [{"key": "bdd/b.jpg#1", "action": "delete", "why": "its image has no such box"}],
        "changed": [{"key": "bdd/a.jpg", "action": "reject", "why": f"its file was 000000000000, and is {sha256}"}],
    }
    card = (out / "README.md").read_text()
    assert "A curator's decisions were carried out: keep (1), reject (1)." in card
    assert "Rejected: bdd/a.jpg." in card
    assert "Of what isn't there: 1, such as delete bdd/b.jpg#1 (its image has no such box)." in card
    assert "| bdd | 1 | images that a curator rejected | a.jpg |" in card


def test_a_dataset_without_decisions_says_nothing_of_them(untouched: Path) -> None:
    assert json.loads((untouched / "dataset.json").read_text())["curation"] is None
    assert not (untouched / "curation.jsonl").exists()
    card = (untouched / "README.md").read_text()
    assert "ecision" not in card
    assert "curat" not in card


def test_every_image_rejected_is_an_error(small_plan) -> None:
    with pytest.raises(NirgenError, match=r"c\.jsonl: rejects every image of the dataset"):
        decide(small_plan, *(Decision(image.key, "reject") for image in small_plan.images))


def save(path: Path, *decisions: Decision) -> Path:
    write_decisions(path, decisions)
    return path


def test_decisions_are_planned_after_sampling_and_before_leaks(
    dataset_inputs: Callable[..., dict[str, Any]], plan_dataset: Callable[..., Plan], tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    Image.open(tmp_path / "ranus/01/x.png").save(tmp_path / "ranus/02/y.png")
    assert [leak.key for leak in plan_dataset(inputs).leaks] == ["ranus/02/y.png"]
    sampled = plan_dataset(inputs, limit=2)
    first, second = (image.key for image in sampled.images if image.kind == "generated")
    (third,) = {"bdd/a.jpg", "bdd/b.jpg", "bdd/night/c.jpg"} - {first, second}
    file = save(
        tmp_path / "c.jsonl", Decision("ranus/02/y.png", "reject"), Decision(first, "reject"), Decision(third, "keep")
    )
    plan = plan_dataset(inputs, limit=2, curation=file)
    assert [image.key for image in plan.images] == [second, "ranus/01/x.png", "ranus/03/z.png"]
    assert [image.key for image in plan.rejected] == [first, "ranus/02/y.png"]
    assert plan.leaks == ()
    assert plan.curation is not None
    assert [(each.key, each.why) for each in plan.curation.gone] == [
        (third, "its image is among what stays out: generated images not sampled")
    ]


def test_what_stays_out_for_its_own_reasons_is_told(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    (tmp_path / "bdd/nir/a.png").unlink()
    Image.new("L", (40, 20)).save(tmp_path / "ranus/03/z.png")
    file = save(tmp_path / "c.jsonl", Decision("bdd/a.jpg#0", "delete"), Decision("ranus/03/z.png", "reject"))
    plan = plan_dataset(inputs, curation=file)
    assert plan.curation is not None
    assert [each.why for each in plan.curation.gone] == [
        "its image is among what stays out: rows whose image is gone",
        "its image is among what stays out: images whose size doesn't fit their label entry",
    ]


def test_a_plan_file_names_the_decisions_that_changed_since(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    file = save(tmp_path / "decisions/c.jsonl", Decision("bdd/a.jpg", "reject"))
    plan = plan_dataset(dataset_inputs(), curation=file)
    write_plan(tmp_path / "plan.json", plan)
    recorded = json.loads((tmp_path / "plan.json").read_text())
    assert recorded["config"]["curation"] == "decisions/c.jsonl"
    assert recorded["inputs"]["curation"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert apply_plan(tmp_path / "plan.json").digest == plan.digest
    save(file, Decision("bdd/a.jpg", "keep"))
    with pytest.raises(NirgenError, match=r"plan\.json: the plan has changed since: curation; plan again"):
        apply_plan(tmp_path / "plan.json")


def test_a_rebuild_gives_the_same_bytes_whatever_order_the_lines_have(dataset_inputs, plan_dataset, tmp_path) -> None:
    inputs = dataset_inputs()
    car = (12.0, 10.0, 6.0, 6.0)
    decisions = [
        Decision("bdd/a.jpg", "reject", author="anna"),
        Decision("bdd/b.jpg#0", "relabel", "bicycle"),
        Decision(added_key("ranus/02/y.png", "car", car, 30, 20), "add", "car", car, 30, 20),
    ]
    lines = encode(decisions).splitlines(keepends=True)
    found = []
    for number, order in enumerate((lines, [b"\n", *reversed(lines), lines[0]])):
        file = tmp_path / f"{number}.jsonl"
        file.write_bytes(b"".join(order))
        out = build(plan_dataset(inputs, curation=file), tmp_path / f"d{number}").out
        paths = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "run.json")
        found.append({path.relative_to(out): path.read_bytes() for path in paths})
    assert found[0] == found[1]
    assert len(found[0]) > 10


def test_without_decisions_a_plan_is_what_it_was(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    plan = plan_dataset(inputs)
    assert (plan.curation, plan.rejected, "curation" in plan.inputs) == (None, (), False)
    (tmp_path / "c.jsonl").touch()
    empty = plan_dataset(inputs, curation=tmp_path / "c.jsonl")
    assert empty.images == plan.images
    assert empty.digest != plan.digest


def test_a_broken_line_stops_the_plan(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"key": "bdd/a.jpg", "action": "rejct"}\n')
    with pytest.raises(NirgenError, match=r"c\.jsonl, line 1: no action 'rejct'; did you mean 'reject'"):
        plan_dataset(dataset_inputs(), curation=tmp_path / "c.jsonl")
    save(tmp_path / "c.jsonl", Decision("bdd/a.jpg#0", "relabel", "bike"))
    with pytest.raises(NirgenError, match="names the class 'bike', which the dataset lacks"):
        plan_dataset(dataset_inputs(), curation=tmp_path / "c.jsonl")
