"""Ports of the App, and the link to the plugin."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from nirgen.browse.app import PLUGIN, check_port, install
from nirgen.errors import NirgenError, OutputError


def test_a_port_that_is_taken_is_said_to_be_and_a_free_one_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            NirgenError, match=rf"127\.0\.0\.1:{port}: another program listens there; .*--port \d+ is free"
        ):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


@pytest.mark.parametrize("address", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_refused(address: str) -> None:
    with pytest.raises(
        NirgenError, match=rf"{address}: not an address of this machine \(.*\); give one with --address"
    ):
        check_port(address, 5151)


@pytest.fixture
def link(fo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fo.config, "plugins_dir", str(tmp_path / "plugins"))
    return tmp_path / "plugins" / "nirgen-curation"


def test_fiftyone_finds_the_plugin_that_is_installed_twice(fo: Any, link: Path) -> None:
    install()
    made = link.lstat()
    install()
    assert link.lstat() == made
    from fiftyone.plugins import list_plugins

    (found,) = list_plugins()
    assert (found.name, Path(found.directory).resolve()) == ("@nirgen/curation", PLUGIN)


def test_a_link_to_another_installation_is_turned_to_this_one(link: Path, tmp_path: Path) -> None:
    link.parent.mkdir()
    link.symlink_to(tmp_path / "gone" / "nirgen" / "browse" / "plugin")
    install()
    assert link.readlink() == PLUGIN
    assert [path.name for path in link.parent.iterdir()] == ["nirgen-curation"]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_the_user_has_put_there_is_left_alone(kind: str, link: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    link.parent.mkdir()
    if kind == "link":
        link.symlink_to(own)
    else:
        link.mkdir()
    with pytest.raises(OutputError, match=f"^{link}: not nirgen's; move it away"):
        install()
    assert link.is_symlink() == (kind == "link")


def test_a_folder_that_can_not_be_made_is_one_line(link: Path) -> None:
    link.parent.write_text("a file")
    with pytest.raises(OutputError, match=f"^{link}: the plugin can't be linked there: "):
        install()
