from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from nirgen.dataset.planfile import apply_plan, write_plan
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def planned(dataset_inputs, plan_dataset, tmp_path: Path) -> Callable[..., Path]:
    """Write the plan of the small inputs."""

    def make(**settings: object) -> Path:
        write_plan(tmp_path / "plan.json", plan_dataset(dataset_inputs(), **settings))
        return tmp_path / "plan.json"

    return make


def test_a_plan_comes_back_from_its_file(planned, plan_dataset, dataset_inputs) -> None:
    settings = {"limit": 2, "balance": "class", "seed": 3, "near_duplicates": False, "formats": ["yolo"]}
    plan = apply_plan(planned(**settings))
    assert plan == plan_dataset(dataset_inputs(), **settings)


def test_a_plan_file_has_relative_paths_and_no_clock(planned, tmp_path: Path) -> None:
    path = planned()
    first = path.read_bytes()
    values = json.loads(first)
    assert str(tmp_path).encode() not in first
    assert values["config"]["generated"] == [
        {"origin": "bdd", "folder": "bdd/nir", "labels": "bdd.json", "sources": "bdd/rgb"}
    ]
    assert sorted(values["inputs"]) == [
        "bdd: images",
        "bdd: labels",
        "bdd: manifest.parquet",
        "ranus: images",
        "ranus: labels",
    ]
    assert planned().read_bytes() == first


def test_a_plan_is_carried_out_where_its_inputs_were_moved_together(planned, tmp_path: Path) -> None:
    path = planned()
    digest = json.loads(path.read_bytes())["digest"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("plan.json", "bdd", "ranus", "bdd.json", "ranus.json"):
        shutil.move(tmp_path / name, moved / name)
    assert apply_plan(moved / "plan.json").digest == digest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("an output", "bdd: images"),
        ("a real image", "ranus: images"),
        ("another real image", "ranus: what stays out"),
        ("labels", "ranus: labels"),
        ("a policy", "policy"),
    ],
)
def test_a_plan_whose_inputs_changed_is_refused_naming_them(
    planned, save, write_labels, tmp_path: Path, change: str, named: str
) -> None:
    if change == "a policy":
        (tmp_path / "own.yaml").write_text("classes: [{name: car, take: [car]}]\n")
    path = planned(policy=str(tmp_path / "own.yaml")) if change == "a policy" else planned()
    if change == "an output":
        (tmp_path / "bdd/nir/b.png").write_bytes((tmp_path / "bdd/nir/a.png").read_bytes())
    elif change == "a real image":
        save(tmp_path / "ranus/02/y.png", seed=77)
    elif change == "another real image":
        save(tmp_path / "ranus/02/new.png", seed=77)
    elif change == "labels":
        values = json.loads((tmp_path / "ranus.json").read_text())
        values["annotations"][0]["bbox"] = [0, 0, 1, 1]
        (tmp_path / "ranus.json").write_text(json.dumps(values))
    else:
        (tmp_path / "own.yaml").write_text("classes: [{name: car, take: [car, van]}]\n")
    with pytest.raises(NirgenError) as error:
        apply_plan(path)
    assert str(error.value) == (f"{path}: not what it was any more: {named}; plan again with --plan, and look at it")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read (No such file or directory); '--plan FILE' writes a plan"),
        ("{", "no plan of nirgen's; '--plan FILE' writes one"),
        ("[]", "no plan of nirgen's; '--plan FILE' writes one"),
        (
            '{"schema": 9, "digest": "", "config": {}, "inputs": {}, "summary": {}}',
            "has schema 9, and this nirgen reads 1",
        ),
    ],
)
def test_other_files_are_no_plans(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NirgenError) as error:
        apply_plan(path)
    assert message in str(error.value)
