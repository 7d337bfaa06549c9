"""How FiftyOne finds the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nirgen.browse.plugins import PLUGIN, install
from nirgen.errors import OutputError


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
    with pytest.raises(OutputError, match=f"^{link} isn't nirgen's; move it away"):
        install()
    assert link.is_symlink() == (kind == "link")


def test_a_folder_that_can_not_be_made_is_one_line(link: Path) -> None:
    link.parent.write_text("a file")
    with pytest.raises(OutputError, match=f"^{link}: the plugin can't be linked there: "):
        install()
