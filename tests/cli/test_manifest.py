"""`nirgen manifest` as a person meets it."""

from __future__ import annotations

import json

import pytest

from nirgen.translate.options import Shard
from nirgen.translate.run import translate_folder


@pytest.fixture
def parts(tmp_path, save, red):
    for number in range(6):
        save(tmp_path / f"src/{number}.png", seed=number)
    for index in (1, 2):
        translate_folder(tmp_path / "src", tmp_path / f"part{index}", model=red, shard=Shard(index, 2))
    return tmp_path / "part1", tmp_path / "part2"


def test_shards_are_joined(tmp_path, parts, nirgen):
    code, output, _ = nirgen("manifest", "merge", *parts, "-o", tmp_path / "out")
    assert (code, output) == (0, f"2 shards cover 6 sources once; images and manifest: {tmp_path}/out\n")
    assert len(list((tmp_path / "out").glob("*.png"))) == 6


def test_a_machine_gets_one_json_object(tmp_path, parts, nirgen):
    code, output, _ = nirgen("manifest", "merge", *parts, "-o", tmp_path / "out", "--json")
    assert (code, json.loads(output)) == (
        0, {"out": str(tmp_path / "out"), "shards": 2, "sources": 6, "failed": 0, "exit_code": 0},
    )  # fmt: skip


def test_a_missing_shard_is_one_line(tmp_path, parts, nirgen):
    code, output, errors = nirgen("manifest", "merge", parts[0], "-o", tmp_path / "out")
    assert (code, output) == (1, "")
    assert errors == "error: shard 2/2 is missing; translate it, and give its folder as well\n"
