"""Frozen configuration, and errors that name the key."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from nirgen.config import FrozenConfig
from nirgen.errors import ConfigError


class Inner(FrozenConfig):
    width: int = Field(default=8, gt=0)


class Outer(FrozenConfig):
    learning_rate: float = 1e-4
    inner: Inner = Inner()


def test_values_are_read_and_defaults_filled_in() -> None:
    assert Outer.read({"inner": {"width": 16}}, where="run.yaml") == Outer(learning_rate=1e-4, inner=Inner(width=16))


def test_a_configuration_can_not_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Outer().learning_rate = 1.0  # type: ignore[misc]


def test_reading_does_not_change_what_is_read() -> None:
    values = {"inner": {"width": 16}}
    Outer.read(values, where="run.yaml")
    assert values == {"inner": {"width": 16}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rte": 1}, "run.yaml: unknown key 'learning_rte'; did you mean 'learning_rate'?"),
        ({"inner": {"widht": 1}}, "run.yaml: unknown key 'inner.widht'; did you mean 'width'?"),
        ({"zzz": 1}, "run.yaml: unknown key 'zzz'"),
        ({"inner": {"width": 0}}, "run.yaml: 'inner.width': Input should be greater than 0 (it is 0)"),
    ],
)
def test_the_error_names_the_file_the_key_and_the_nearest_known_one(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Outer.read(values, where="run.yaml")
    assert str(caught.value) == message


def test_a_mistake_in_python_is_an_error_of_ours_too() -> None:
    with pytest.raises(ConfigError) as caught:
        Outer(inner=Inner(), learning_rte=1)  # type: ignore[call-arg]
    assert str(caught.value) == "Outer: unknown key 'learning_rte'; did you mean 'learning_rate'?"
    with pytest.raises(ConfigError, match=r"Inner: 'width': Input should be greater than 0 \(it is 0\)"):
        Outer(inner=Inner(width=0))


def test_every_error_is_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        Outer.read({"learning_rate": "fast", "inner": 3, "more": 1}, where="run.yaml")
    assert "\n" not in str(caught.value)


class Deep(FrozenConfig):
    rates: tuple[float, ...] = (0.5, 0.25)
    inner: Inner = Inner()
    seed: int = 0


def test_assignments_are_laid_over_values_and_options_over_these() -> None:
    read = Deep.overlay({"seed": 1}, ["inner.width=16", "rates.1=2", "seed=2"], {"seed": 3}, where="run.yaml")
    assert read == Deep(rates=(0.5, 2.0), inner=Inner(width=16), seed=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed", "--set seed: no value; write it as --set NAME=VALUE"),
        ("seed=[", "--set seed=[: '[' is no YAML value"),
        ("seed.x=1", "--set seed.x: 'seed' is a value and has no 'x'"),
        ("rates.2=1", "--set rates.2: 'rates' has the positions 0 to 1"),
        ("sed=1", "run.yaml with --set: unknown key 'sed'; did you mean 'seed'?"),
    ],
)
def test_an_assignment_that_can_not_be_made_is_named(change: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Deep.overlay({}, [change], {}, where="run.yaml")
    assert str(caught.value) == message
