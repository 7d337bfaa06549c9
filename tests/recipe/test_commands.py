"""Options as the command line defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import ConfigError
from nirgen.recipe.commands import ROLES

if TYPE_CHECKING:
    from nirgen.recipe.commands import Commands


def words(commands: Commands, command: str, option: str, value: Any) -> list[str]:
    return commands[command][option].words(value, "x")


def test_values_become_words_of_the_command_line(commands: Commands) -> None:
    assert words(commands, "translate", "batch", 2) == ["--batch", "2"]
    assert words(commands, "translate", "profile", True) == ["--profile"]
    assert words(commands, "translate", "profile", False) == []
    assert words(commands, "browse", "launch", False) == ["--no-launch"]
    assert words(commands, "build-dataset", "real", ["a=b", "c"]) == ["--real", "a=b", "--real", "c"]
    assert words(commands, "labels", "inputs", "a.json") == ["a.json"]


@pytest.mark.parametrize(
    ("command", "option", "value", "text"),
    [
        ("translate", "batch", "two", "x: 'two' is no whole number"),
        ("translate", "batch", True, "x: True is no whole number"),
        ("translate", "batch", 0, "x: 0 is less than 1"),
        ("translate", "format", "pgn", "x: 'pgn' is none of png, jpg, tif; did you mean 'png'?"),
        ("translate", "profile", "yes", "x: 'yes' is neither true nor false"),
        ("translate", "model", ["a", "b"], "x: a list, but 'model' takes one value"),
    ],
)
def test_wrong_values_are_refused(commands: Commands, command: str, option: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        words(commands, command, option, value)
    assert str(error.value).startswith(text)


def test_what_asks_for_no_work_is_not_for_recipes(commands: Commands) -> None:
    assert not {"dry-run", "json", "help"} & commands["translate"].keys()


def test_every_role_names_an_option_that_exists(commands: Commands) -> None:
    there = ROLES.keys() & commands.keys()
    assert {"pairs list", "train", "translate", "build-dataset"} <= there
    for name in there:
        known = {*commands[name], *ROLES[name].before}
        assert {*ROLES[name].inputs, *ROLES[name].outputs, *ROLES[name].fixed} <= known, name
