"""Measured numbers beside expected ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nirgen.recipe.recipe import Expectation
from nirgen.recipe.run import measured

if TYPE_CHECKING:
    from pathlib import Path


def test_a_number_is_found_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"methods": [{"name": "a", "psnr": 1}, {"name": "b c", "psnr": 20.5}]}))
    outputs = {"judge.out": tmp_path}
    wanted = Expectation(what="PSNR", value=20, file="${judge.out}/s.json", at="methods.name=b c.psnr")
    assert measured(wanted, outputs) == 20.5
    assert measured(wanted.model_copy(update={"at": "methods"}), outputs) == 2
    assert measured(wanted.model_copy(update={"at": "methods.name=d.psnr"}), outputs) is None
    assert measured(wanted.model_copy(update={"file": None}), outputs) is None
