from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.curation import Decision, added_key, write_decisions
from nirgen.dataset.build import build
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.planning import make_plan
from nirgen.errors import NirgenError
from nirgen.explain import explain
from nirgen.explain.telling import lines

if TYPE_CHECKING:
    from pathlib import Path

PERSON = (1.0, 2.0, 4.0, 8.0)
ADDED = added_key("ranus/b.png", "person", PERSON, 48, 32)


@pytest.fixture
def curate(dataset: Path, tmp_path: Path):
    """Build the dataset again with decisions."""
    inputs = json.loads((dataset / "run.json").read_text())["inputs"]

    def rebuild(*decisions: Decision) -> Path:
        write_decisions(tmp_path / "c.jsonl", decisions)
        settings = {
            "generated": [{"origin": "bdd", **inputs["bdd"]}],
            "real": [{"origin": "ranus", **inputs["ranus"]}],
            "curation": tmp_path / "c.jsonl",
        }
        return build(make_plan(DatasetConfig.read(settings, where="test")), tmp_path / "D").out

    return rebuild


def test_what_was_decided_is_among_the_steps(curate) -> None:
    folder = curate(
        Decision("bdd/seq/a.jpg", "flag", author="anna"),
        Decision("bdd/seq/a.jpg#7", "relabel", "bicycle", reason="two wheels", author="anna"),
        Decision(ADDED, "add", "person", PERSON, 48, 32),
    )
    assert explain(folder, "bdd/seq/a.jpg#7").steps == (
        "image: translated by model 55555555",
        "image: scaled 0.5x0.5",
        "image: decision: flag (anna)",
        "label: class truck -> car",
        "label: scaled 0.5x0.5",
        "label: decision: relabel car -> bicycle (anna: two wheels)",
    )
    added = explain(folder, ADDED)
    assert (added.labels, added.steps) == (None, ("label: decision: add person",))
    assert ("labels", "none: a curator added it") in list(lines(added))


def test_what_was_taken_out_says_who_did_it_and_why(curate) -> None:
    folder = curate(
        Decision("bdd/seq/a.jpg#8", "delete", author="anna", reason="no person"), Decision("ranus/b.png", "reject")
    )
    with pytest.raises(NirgenError) as error:
        explain(folder, "bdd/seq/a.jpg#8")
    assert str(error.value) == (
        f"{folder}: 'bdd/seq/a.jpg#8' is not in the dataset: decision: delete (anna: no person); curation.jsonl has it"
    )
    with pytest.raises(NirgenError, match=r"'ranus/b\.png' is not in the dataset: decision: reject; curation\.jsonl"):
        explain(folder, "ranus/b.png")
    with pytest.raises(NirgenError, match=r"'ranus/b\.png#4' is not in the dataset, for its image isn't: decision"):
        explain(folder, "ranus/b.png#4")
    with pytest.raises(NirgenError, match="no image 2; ids count from 1, with gaps where decisions took something out"):
        explain(folder, "2", image=True)
    with pytest.raises(NirgenError, match=r"nothing is called 'bdd/seq/a\.jpg#77'; near it are"):
        explain(folder, "bdd/seq/a.jpg#77")
