"""Shared options: their values, and the defaults that help texts read from the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from nirgen.cli.options import default_of, option, parse_all_named, parse_named, parse_size


@pytest.mark.parametrize(
    ("module", "name", "default"),
    [
        ("detect.config", "DetectConfig.learning_rate", "0.0001"),
        ("detect.config", "CompareConfig.seeds", "0,1,2"),
        ("detect.config", "DetectConfig.model", "PekingU/rtdetr_v2_r18vd"),
        ("dataset.config", "DatasetConfig.seed", "0"),
        ("labels.convert", "convert.unknown", "stop"),
    ],
)
def test_a_default_is_read_from_the_source(module: str, name: str, default: str) -> None:
    assert default_of(module, name) == default


def test_a_field_of_the_options_own_name_needs_no_mention() -> None:
    assert default_of("detect.config", "DetectConfig", "steps") == default_of("detect.config", "DetectConfig.steps")


def test_flags_and_placeholder_of_an_option_are_written_as_in_its_help() -> None:
    declared = option("File to write.", "--out -o FILE", default=...)
    assert (declared.param_decls, declared.metavar) == (("--out", "-o"), "FILE")


def test_a_default_that_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError):
        default_of("detect.config", "DetectConfig.stpes")
    with pytest.raises(LookupError):
        default_of("detect.config", "Config.steps")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bdd=photos/a", ("bdd", Path("photos/a"))),
        ("photos/a=b", (None, Path("photos/a=b"))),
        ("photos", (None, Path("photos"))),
    ],
)
def test_a_name_stands_before_the_first_sign_without_a_slash(text: str, expected: tuple[str | None, Path]) -> None:
    assert parse_named(text) == expected


@pytest.mark.parametrize("texts", [["photos"], ["=photos"], ["nir="], ["a=b", "a=c"]])
def test_names_are_needed_and_may_not_come_twice(texts: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_all_named(texts, "--sources")


def test_sizes_are_height_and_width() -> None:
    assert parse_size("720x1280") == (720, 1280)
    for text in ("0x5", "720", "720 x 1280"):
        with pytest.raises(typer.BadParameter, match="HEIGHTxWIDTH"):
            parse_size(text)
