"""Errors that the user can fix."""

from __future__ import annotations

import pytest

from nirgen import errors

KINDS = [
    errors.ConfigError,
    errors.ImageError,
    errors.DamagedError,
    errors.ModelError,
    errors.OutputError,
    errors.FullError,
    errors.ShapeError,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_caught_as_a_nirgen_error_with_exit_code_1(kind: type[errors.NirgenError]) -> None:
    with pytest.raises(errors.NirgenError) as caught:
        raise kind("a.png: broken")
    assert caught.value.exit_code == 1
    assert str(caught.value) == "a.png: broken"


def test_the_tree_in_the_docstring_names_every_error() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert defined == {"NirgenError", *(kind.__name__ for kind in KINDS)}
    assert [name for name in sorted(defined) if name not in (errors.__doc__ or "")] == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [("compct", "; did you mean 'compact'?"), ("PAPER", ""), ("", ""), ("relased", "; did you mean 'released'?")],
)
def test_the_nearest_name_is_hinted_if_one_is_near(name: str, hint: str) -> None:
    assert errors.nearest(name, ["paper", "released", "compact"]) == hint


def test_the_hint_does_not_depend_on_the_order_of_names() -> None:
    assert errors.nearest("ax", ["ay", "az"]) == errors.nearest("ax", ["az", "ay"])
