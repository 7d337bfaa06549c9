from __future__ import annotations

import json
import random

import pytest

from nirgen.translate import ordered
from nirgen.translate.manifest import Row
from nirgen.translate.plan import Item


def row(source, output=None):
    return Row(source, "m", "o", "done", output=output)


def line(source, output=None):
    return json.dumps(
        {"source": source, "model_id": "m", "options_id": "o", "status": "done", "output": output}
    ).encode()


@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
def test_lines_are_sorted_and_the_last_of_a_source_counts_whatever_fits_into_memory(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(ordered, "_CHUNK_LINES", chunk)
    lines = [line(f"{name:02}", "old") for name in range(20)] + [line(f"{name:02}", "new") for name in range(0, 20, 3)]
    random.Random(0).shuffle(lines[:20])
    rows = list(ordered.sort_lines([*lines, b"[torn"], tmp_path))
    assert rows == [row(f"{name:02}", "old" if name % 3 else "new") for name in range(20)]
    assert list(tmp_path.iterdir()) == []


def test_of_an_older_and_a_newer_row_the_newer_counts():
    older = [row("a", "1"), row("b", "1"), row("d", "1")]
    newer = [row("b", "2"), row("c", "2")]
    assert list(ordered.merge_rows(older, newer)) == [row("a", "1"), row("b", "2"), row("c", "2"), row("d", "1")]


def test_items_and_rows_stand_side_by_side(tmp_path):
    items = [Item(name, tmp_path / name, name) for name in ("a", "b", "d")]
    pairs = [(item and item.source, row and row.source) for item, row in ordered.join(items, [row("b"), row("c")])]
    assert pairs == [("a", None), ("b", "b"), (None, "c"), ("d", None)]
