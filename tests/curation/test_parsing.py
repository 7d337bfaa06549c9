from __future__ import annotations

import json
from typing import Any

import pytest

from nirgen.curation import Decision, Seen
from nirgen.curation.parsing import parse
from nirgen.errors import NirgenError

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
        ('{"action": "reject"}', "the key None is of no image"),
        ('{"key": "a.jpg", "action": "reject"}', "the key 'a.jpg' is of no image; write ORIGIN/PATH"),
        ('{"key": "bdd/a.jpg", "action": "delete"}', "delete is of boxes, and 'bdd/a.jpg' is an image"),
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
        ({"action": "move", "bbox": [1, 2, 3, 4]}, "a bbox, and width None"),
        ({"action": "move", **BOX, "width": 30.5}, "a bbox, and width 30.5"),
        ({"action": "keep", "width": 30, "height": 20}, "width without a bbox"),
        ({"action": "move", **BOX, "bbox": [1, 2, 3]}, "isn't four numbers"),
        ({"action": "move", **BOX, "bbox": [1, 2, 3, "4"]}, "isn't four numbers"),
        ({"action": "move", **BOX, "bbox": [1, 2, 0, 4]}, "has no width or no height"),
        ({"action": "move", **BOX, "bbox": [31, 2, 3, 4]}, "outside its image of 30x20"),
        ({"action": "add", "category": "car", **BOX}, "an added box can't be called 'bdd/a.jpg#7'"),
        ({"action": "keep", "reason": 7}, "reason 7 is no text"),
        ({"action": "keep", "seen": {"sha256": "zz"}}, "'seen': the sha256 'zz' isn't 64 hex digits"),
        ({"action": "keep", "seen": {"sha": "a"}}, "'seen': unknown key 'sha'; did you mean 'sha256'?"),
        ({"action": "keep", "seen": {"bbox": [0, 0, 1, 1]}}, "a bbox, and width None"),
    ],
)
def test_what_an_action_lacks_or_must_not_have_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(NirgenError, match=message):
        read(**values)
