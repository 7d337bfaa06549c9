"""What `nirgen browse` refuses before it looks for FiftyOne; tests/browse has the rest."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from nirgen.cli.browse import _tracking_is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]


def test_a_folder_that_is_none_of_ours_is_refused(nirgen: Command, tmp_path: Path) -> None:
    code, _, said = nirgen("browse", tmp_path, "--no-launch")
    assert code == 1
    assert said.startswith(f"error: {tmp_path}: neither a dataset")


def test_a_folder_that_is_gone_is_said_to_be(nirgen: Command, tmp_path: Path) -> None:
    code, _, said = nirgen("browse", tmp_path / "D", "--no-launch")
    assert (code, said.startswith(f"error: {tmp_path / 'D'}: not there;")) == (1, True)


def test_a_port_that_is_taken_is_said_to_be_before_anything_is_loaded(nirgen: Command, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, _, said = nirgen("browse", tmp_path, "--port", other.getsockname()[1])
    assert code == 1
    assert "another program listens there" in said


@pytest.mark.parametrize(
    ("given", "config", "wanted"),
    [
        (None, None, False),
        ("true", '{"do_not_track": false}', False),
        ("false", None, True),
        ("0", '{"do_not_track": true}', True),
        (None, '{"do_not_track": false}', True),
        (None, '{"do_not_track": true}', False),
        (None, "broken", False),
    ],
)
def test_fiftyone_is_told_to_track_only_by_the_user(
    tmp_path: Path, given: str | None, config: str | None, wanted: bool
) -> None:
    path = tmp_path / "config.json"
    if config is not None:
        path.write_text(config)
    environment = {"FIFTYONE_CONFIG_PATH": str(path)}
    if given is not None:
        environment["FIFTYONE_DO_NOT_TRACK"] = given
    assert _tracking_is_wanted(environment) is wanted
