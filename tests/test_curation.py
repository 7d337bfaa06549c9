"""Decisions: what they are, their file, and merging."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.curation import (
    Decision,
    Seen,
    added_key,
    encode,
    merge,
    parse,
    read_decisions,
    scaled,
    unite,
    write_decisions,
)
from nirgen.errors import NirgenError, OutputError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_key_of_an_added_box_tells_boxes_apart() -> None:
    key = added_key("bdd/a.jpg", "car", (1, 2, 3, 4), 30, 20)
    assert key.startswith("bdd/a.jpg#+")
    assert len(key) == len("bdd/a.jpg#+") + 12
    assert key == added_key("bdd/a.jpg", "car", (1.0, 2.0001, 3, 4.0), 30, 20)
    others = {
        added_key("bdd/a.jpg", "bicycle", (1, 2, 3, 4), 30, 20),
        added_key("bdd/a.jpg", "car", (1, 2, 3, 4.5), 30, 20),
        added_key("bdd/a.jpg", "car", (1, 2, 3, 4), 60, 40),
    }
    assert len(others - {key}) == 3


def test_boxes_have_three_decimals() -> None:
    decision = Decision("b/a.jpg#1", "move", None, (1.23456, -0.0001, 2, 3), 30, 20, seen=Seen(bbox=(0.00049, 1, 2, 3)))
    rounded = decision.rounded()
    assert rounded.bbox == (1.235, 0.0, 2.0, 3.0)
    assert str(rounded.bbox) == "(1.235, 0.0, 2.0, 3.0)"
    assert rounded.seen.bbox == (0.0, 1.0, 2.0, 3.0)


@pytest.mark.parametrize("sizes", [(None, (30, 20)), ((30, 20), None), ((30, 20), (30, 20))])
def test_a_box_stays_where_no_size_or_no_other_one_is_known(sizes) -> None:
    assert scaled((1, 2, 3, 4), *sizes) == (1, 2, 3, 4)


REJECT = Decision("bdd/a.jpg", "reject", author="anna")
RELABEL = Decision("bdd/b.jpg#1", "relabel", "bicycle", seen=Seen(category="car"))
MOVE = Decision("bdd/b.jpg#1", "move", None, (4, 4, 8, 8), 40, 20, seen=Seen(bbox=(2, 2, 8, 8)))
ADD = Decision("bdd/b.jpg#+0123456789ab", "add", "car", (1, 1, 2, 2), 40, 20)


def test_nothing_new_leaves_the_base_as_it_is() -> None:
    assert merge([MOVE, RELABEL, REJECT, ADD], []) == (REJECT, ADD, MOVE, RELABEL)


def test_new_decisions_come_to_the_old_ones() -> None:
    new = Decision("bdd/a2.jpg", "keep", seen=Seen(sha256="0" * 64))
    assert merge([REJECT], [new]) == (REJECT, new)


def test_what_a_new_decision_contradicts_goes() -> None:
    keep = Decision("bdd/a.jpg", "keep", author="ben")
    assert merge([REJECT], [keep]) == (keep,)
    again = Decision("bdd/a.jpg", "reject", author="ben")
    assert merge([REJECT], [again]) == (again,)


def test_seen_goes_on_telling_of_the_dataset_without_decisions() -> None:
    # the curator sees the box as the older decisions made it
    truck = Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="bicycle"))
    assert merge([RELABEL], [truck]) == (Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="car")),)
    moved = Decision("bdd/b.jpg#1", "move", None, (1, 1, 2, 2), 20, 10, seen=Seen(None, "bicycle", (2, 2, 4, 4)))
    assert merge([RELABEL, MOVE], [moved]) == (
        Decision("bdd/b.jpg#1", "move", None, (1, 1, 2, 2), 20, 10, seen=Seen(None, "car", (1, 1, 4, 4))),
        RELABEL,
    )


def test_a_deletion_replaces_what_was_done_to_the_box_before() -> None:
    delete = Decision("bdd/b.jpg#1", "delete", None, None, 40, 20, seen=Seen(None, "bicycle", (4, 4, 8, 8)))
    assert merge([RELABEL, MOVE], [delete]) == (
        Decision("bdd/b.jpg#1", "delete", None, None, 40, 20, seen=Seen(None, "car", (2, 2, 8, 8))),
    )


def test_deleting_an_added_box_leaves_no_trace_of_it() -> None:
    relabel = Decision(ADD.key, "relabel", "bicycle", seen=Seen(category="car"))
    assert merge([ADD, relabel, REJECT], [Decision(ADD.key, "delete")]) == (REJECT,)


def test_taking_a_change_back_leaves_no_decision() -> None:
    back = Decision("bdd/b.jpg#1", "relabel", "car", seen=Seen(category="bicycle"))
    there = Decision("bdd/b.jpg#1", "move", None, (1, 1, 4, 4), 20, 10, seen=Seen(bbox=(2, 2, 4, 4)))
    assert merge([RELABEL, MOVE], [back, there]) == ()


def test_an_added_box_can_be_changed_later() -> None:
    relabel = Decision(ADD.key, "relabel", "bicycle", seen=Seen(category="car"))
    assert merge([ADD], [relabel]) == (ADD, relabel)


def test_merging_again_changes_nothing() -> None:
    new = [Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="bicycle")), Decision("bdd/c.jpg", "keep")]
    once = merge([RELABEL, MOVE, REJECT], new)
    assert merge([RELABEL, MOVE, REJECT], reversed(new)) == once
    assert merge(once, []) == once


def test_files_that_are_united_keep_what_each_saw() -> None:
    other = Decision("bdd/b.jpg#1", "relabel", "truck", seen=Seen(category="car"), author="ben")
    keep = Decision("bdd/a.jpg", "keep")
    assert unite([RELABEL, MOVE, REJECT], [other, keep]) == (keep, MOVE, other)


DECISIONS = (
    Decision("bdd/a.jpg", "flag", reason="zu dunkel – näher ansehen", author="anna"),
    Decision("bdd/a.jpg#+0123456789ab", "add", "car", (1, 2, 3.5, 4), 30, 20, author="anna"),
    Decision("bdd/a.jpg#7", "move", None, (1, 2, 3, 4), 30, 20, seen=Seen(category="car", bbox=(0, 0, 3, 4))),
    Decision("bdd/a.jpg#7", "relabel", "bicycle", None, None, None, "wrong\nclass", "anna", Seen(category="car")),
    Decision("bdd/b.jpg", "reject", seen=Seen(sha256="0" * 64)),
    Decision("bdd/b.jpg#2", "delete"),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "curation.jsonl"
    write_decisions(path, reversed(DECISIONS))
    found = read_decisions(path)
    assert found.all == DECISIONS
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    write_decisions(path, found.all)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_has_a_sorted_line_for_each_decision_without_what_is_empty(tmp_path: Path) -> None:
    write_decisions(tmp_path / "c.jsonl", reversed(DECISIONS))
    lines = (tmp_path / "c.jsonl").read_text("utf-8").splitlines()
    assert lines[0] == ('{"key":"bdd/a.jpg","action":"flag","reason":"zu dunkel – näher ansehen","author":"anna"}')
    assert lines[2] == (
        '{"key":"bdd/a.jpg#7","action":"move","bbox":[1.0,2.0,3.0,4.0],"width":30,"height":20,'
        '"seen":{"category":"car","bbox":[0.0,0.0,3.0,4.0]}}'
    )
    assert lines[-1] == '{"key":"bdd/b.jpg#2","action":"delete"}'


def test_order_blank_lines_and_repeated_lines_do_not_matter(tmp_path: Path) -> None:
    lines = encode(DECISIONS).splitlines()
    (tmp_path / "c.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n\r\n".join([*reversed(lines), lines[2], b""]))
    found = read_decisions(tmp_path / "c.jsonl")
    assert found.all == DECISIONS
    assert found.sha256 == hashlib.sha256(encode(DECISIONS)).hexdigest()


def test_an_empty_file_has_no_decisions(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").touch()
    assert read_decisions(tmp_path / "c.jsonl").all == ()


def test_two_different_decisions_of_one_key_and_action_are_named_by_their_lines(tmp_path: Path) -> None:
    lines = [
        {"key": "bdd/a.jpg", "action": "keep"},
        {"key": "bdd/b.jpg", "action": "reject", "reason": "dark"},
        {"key": "bdd/c.jpg", "action": "keep"},
        {"key": "bdd/b.jpg", "action": "reject", "reason": "blurred"},
    ]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(NirgenError, match=r"c\.jsonl, lines 2 and 4: two different decisions to reject 'bdd/b\.jpg'"):
        read_decisions(tmp_path / "c.jsonl")


@pytest.mark.parametrize(
    "actions",
    [
        ("bdd/a.jpg", "keep", "reject"),
        ("bdd/a.jpg", "flag", "reject"),
        ("bdd/a.jpg", "flag", "keep"),
        ("bdd/a.jpg#1", "delete", "keep"),
        ("bdd/a.jpg#1", "delete", "flag"),
        ("bdd/a.jpg#1", "delete", "relabel"),
        ("bdd/a.jpg#1", "delete", "move"),
        ("bdd/a.jpg#1", "flag", "keep"),
        ("bdd/a.jpg#+0123456789ab", "add", "delete"),
    ],
)
def test_contradictions_are_named_by_their_lines(tmp_path: Path, actions: tuple[str, str, str]) -> None:
    key, first, second = actions
    box = {"bbox": [1, 2, 3, 4], "width": 30, "height": 20}
    more = {"relabel": {"category": "car"}, "move": box, "add": box | {"category": "car"}}
    lines = [json.dumps({"key": key, "action": action, **more.get(action, {})}) for action in (second, first)]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    with pytest.raises(NirgenError, match=rf"c\.jsonl, lines 2 and 1: {first} and {second} of '{key[:9]}"):
        read_decisions(tmp_path / "c.jsonl")


def test_a_box_can_be_moved_and_relabelled_and_kept(tmp_path: Path) -> None:
    write_decisions(tmp_path / "c.jsonl", [*DECISIONS, Decision("bdd/a.jpg#7", "keep")])
    assert len(read_decisions(tmp_path / "c.jsonl").all) == len(DECISIONS) + 1


def test_contradicting_decisions_are_not_written(tmp_path: Path) -> None:
    for pair in (
        [Decision("bdd/a.jpg", "keep"), Decision("bdd/a.jpg", "reject")],
        [Decision("bdd/a.jpg", "keep"), Decision("bdd/a.jpg", "keep", author="ben")],
    ):
        with pytest.raises(NirgenError, match="keep one of them"):
            write_decisions(tmp_path / "c.jsonl", pair)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"c\.jsonl: a folder; name a file"):
        write_decisions(tmp_path / "c.jsonl", DECISIONS)
    with pytest.raises(NirgenError, match=r"none\.jsonl: can't be read"):
        read_decisions(tmp_path / "none.jsonl")


BOX = {"bbox": [1, 2, 3, 4], "width": 30, "height": 20}


def read(**values: Any) -> Decision:
    return parse(json.dumps({"key": "bdd/a.jpg#7", **values}).encode(), "c.jsonl, line 3")


def test_a_line_by_hand_needs_key_and_action_only() -> None:
    assert parse(b' {"action": "reject", "key": "bdd/n/a b#c.jpg"}\r', "") == Decision("bdd/n/a b#c.jpg", "reject")


def test_numbers_may_be_whole_or_not() -> None:
    seen = {"bbox": [0, 0.5, 3, 4], "category": "car", "sha256": "a" * 64}
    assert read(action="move", **BOX, seen=seen) == Decision(
        "bdd/a.jpg#7", "move", None, (1.0, 2.0, 3.0, 4.0), 30, 20, seen=Seen("a" * 64, "car", (0.0, 0.5, 3.0, 4.0))
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"key": "bdd/a.jpg"', r"no JSON \(.*\); correct the line"),
        ("\x80", "no JSON"),
        ('["bdd/a.jpg", "reject"]', "no JSON object"),
        ('{"key": "bdd/a.jpg", "action": "reject", "reasn": "x"}', "unknown key 'reasn'; did you mean 'reason'?"),
        ('{"key": "bdd/a.jpg", "action": "rejct"}', "no action 'rejct'; did you mean 'reject'?"),
        ('{"key": "bdd/a.jpg"}', r"no action None \(there are add, delete"),
        ('{"action": "reject"}', "None is no key of image or box"),
        ('{"key": "a.jpg", "action": "reject"}', "'a.jpg' is no key of image or box; write ORIGIN/PATH"),
        ('{"key": "bdd/a.jpg", "action": "delete"}', "delete applies to boxes, and 'bdd/a.jpg' is an image"),
    ],
)
def test_a_broken_line_is_one_line_of_error(line: str, message: str) -> None:
    with pytest.raises(NirgenError, match=f"^c.jsonl, line 3: {message}") as error:
        parse(line.encode("latin-1"), "c.jsonl, line 3")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"action": "relabel"}, "relabel needs a category"),
        ({"action": "relabel", "category": ""}, "category '' is no text"),
        ({"action": "delete", "category": "car"}, "delete takes no category"),
        ({"action": "move"}, "move needs a bbox"),
        ({"action": "keep", **BOX}, "keep takes no bbox"),
        ({"action": "move", "bbox": [1, 2, 3, 4]}, "a bbox with width None"),
        ({"action": "move", **BOX, "width": 30.5}, "a bbox with width 30.5"),
        ({"action": "keep", "width": 30, "height": 20}, "width without a bbox"),
        ({"action": "move", **BOX, "bbox": [1, 2, 3]}, "isn't four numbers"),
        ({"action": "move", **BOX, "bbox": [1, 2, 3, "4"]}, "isn't four numbers"),
        ({"action": "move", **BOX, "bbox": [1, 2, 0, 4]}, "has no width or no height"),
        ({"action": "move", **BOX, "bbox": [31, 2, 3, 4]}, "outside its image of 30x20"),
        ({"action": "add", "category": "car", **BOX}, "'bdd/a.jpg#7' is no key of an added box"),
        ({"action": "keep", "reason": 7}, "reason 7 is no text"),
        ({"action": "keep", "seen": {"sha256": "zz"}}, "'seen': the sha256 'zz' isn't 64 hex digits"),
        ({"action": "keep", "seen": {"sha": "a"}}, "'seen': unknown key 'sha'; did you mean 'sha256'?"),
        ({"action": "keep", "seen": {"bbox": [0, 0, 1, 1]}}, "a bbox with width None"),
    ],
)
def test_what_an_action_lacks_or_must_not_have_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(NirgenError, match=message):
        read(**values)
