"""References, order and command lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import ConfigError
from nirgen.recipe.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.recipe.commands import Commands
    from nirgen.recipe.recipe import Recipe


OUT = Path("/run")


def test_stages_come_behind_what_they_need(recipe: Callable[..., Recipe], commands: Commands, tmp_path: Path) -> None:
    made = recipe(
        {
            "train": {"run": "train", "with": {"config": "compact", "pairs": "${pairs.out}"}},
            "pairs": {"run": "pairs list", "with": {"root": "${data.rig}"}},
        },
        data={"rig": {"about": "pairs"}},
    )
    stages = resolve(made, commands, OUT, {"rig": tmp_path})
    assert [(stage.name, stage.needs) for stage in stages] == [("pairs", ()), ("train", ("pairs",))]
    assert stages[0].words == ("pairs", "list", "--out", "/run/stages/pairs/pairs.csv", str(tmp_path))
    assert stages[0].inputs == {"${data.rig}": tmp_path}
    assert stages[1].words == ("train", "--pairs", "/run/stages/pairs/pairs.csv", "compact", "/run/stages/train/model")


def test_a_name_in_front_is_no_part_of_the_input(
    recipe: Callable[..., Recipe], commands: Commands, tmp_path: Path
) -> None:
    made = recipe({"d": {"run": "build-dataset", "with": {"real": f"ranus={tmp_path}"}}})
    (stage,) = resolve(made, commands, OUT, {})
    assert stage.inputs == {f"ranus={tmp_path}": tmp_path}
    assert "--yes" in stage.words


def test_a_folder_and_its_labels_are_two_inputs(
    recipe: Callable[..., Recipe], commands: Commands, tmp_path: Path
) -> None:
    (tmp_path / "nir").mkdir()
    (tmp_path / "ranus.json").touch()
    options = {"real": "ranus=${data.nir}:${data.labels}", "generated": "${t.out}:${data.labels}"}
    about = {name: {"about": name} for name in ("nir", "labels")}
    translate = {"run": "translate", "with": {"source": "${data.nir}"}}
    made = recipe({"t": translate, "d": {"run": "build-dataset", "with": options}}, data=about)
    stage = resolve(made, commands, OUT, {"nir": tmp_path / "nir", "labels": tmp_path / "ranus.json"})[1]
    assert stage.inputs == {"ranus=${data.nir}": tmp_path / "nir", "${data.labels}": tmp_path / "ranus.json"}
    assert f"ranus={tmp_path / 'nir'}:{tmp_path / 'ranus.json'}" in stage.words


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        ({"a": {"run": "lables"}}, "stage 'a': no command 'lables'; did you mean 'labels'?"),
        ({"a": {"run": "doctor"}}, "stage 'a': 'doctor' can't be a stage"),
        ({"a": {"run": "labels"}}, "stage 'a': 'inputs' is missing"),
        ({"a": {"run": "translate", "with": {}}}, "stage 'a': 'source' is missing"),
        (
            {"a": {"run": "translate", "with": {"modle": "x"}}},
            "stage 'a': 'nirgen translate' has no option 'modle'; did you mean 'model'?",
        ),
        ({"a": {"run": "labels", "with": {"inputs": "/none/x.json"}}}, "stage 'a': /none/x.json: no such file"),
        (
            {"a": {"run": "translate", "with": {"source": "s3://bucket/rgb"}}},
            "stage 'a': s3:/bucket/rgb: recipes read local files; copy it to a folder first (s3://bucket/rgb)",
        ),
        ({"a": {"run": "labels", "with": {"inputs": "${b.out}"}}}, "stage 'a': ${b.out}: no such data or output"),
        ({"a": {"run": "labels", "with": {"inputs": "${data.x}"}}}, "stage 'a': ${data.x}: no such data or output"),
        (
            {"a": {"run": "labels", "with": {"inputs": "x", "out": "/x.json"}}},
            "stage 'a': out: '/x.json' must be a name",
        ),
        ({"a": {"run": "build-dataset", "with": {"yes": True}}}, "stage 'a': 'yes' is not for recipes"),
        (
            {
                "a": {"run": "labels", "with": {"inputs": "${b.out}"}},
                "b": {"run": "labels", "with": {"inputs": "${a.ouput}"}},
            },
            "stage 'b': ${a.ouput}: no such data or output; did you mean 'a.out'? (there are a.out, b.out)",
        ),
        (
            {
                "a": {"run": "labels", "with": {"inputs": "${b.out}"}},
                "b": {"run": "labels", "with": {"inputs": "${a.out}"}},
            },
            "stages need each other: a -> b -> a",
        ),
    ],
)
def test_mistakes_are_refused_before_anything_starts(
    stages: dict[str, Any], text: str, recipe: Callable[..., Recipe], commands: Commands
) -> None:
    with pytest.raises(ConfigError) as error:
        resolve(recipe(stages), commands, OUT, {})
    assert text in str(error.value)


def test_data_that_is_not_given_is_asked_for(recipe: Callable[..., Recipe], commands: Commands) -> None:
    made = recipe({"a": {"run": "labels", "with": {"inputs": "${data.x}"}}}, data={"x": {"about": "labels"}})
    with pytest.raises(ConfigError, match=r"its data 'x' \(labels\) isn't given; say --data x=PATH"):
        resolve(made, commands, OUT, {})
    with pytest.raises(ConfigError, match="--data y: made has no such data"):
        resolve(made, commands, OUT, {"y": Path("/y")})
