from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nirgen.dataset.site import site_for
from nirgen.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_new_folder_takes_the_old_ones_place(tmp_path) -> None:
    for text in ("first", "second"):
        with site_for(tmp_path / "a/d") as site:
            site.new.mkdir()
            (site.new / "file").write_text(text)
            site.change_places()
        assert names(tmp_path / "a") == ["d"]
        assert (tmp_path / "a/d/file").read_text() == text


def test_what_fails_leaves_nothing_and_the_old_folder_as_it_was(tmp_path) -> None:
    (tmp_path / "d").mkdir()

    def build_until_stopped() -> None:
        with site_for(tmp_path / "d") as site:
            site.new.mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_until_stopped()
    assert names(tmp_path) == ["d"]


def test_the_old_folder_comes_back_if_the_new_one_can_not_take_its_place(tmp_path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").touch()
    message = r"No such file or directory\); the dataset that was there is as it was"
    with pytest.raises(OutputError, match=message), site_for(tmp_path / "d") as site:
        site.change_places()  # there is no new one
    assert names(tmp_path) == ["d"]
    assert names(tmp_path / "d") == ["file"]


def test_what_killed_builds_left_is_removed(tmp_path) -> None:
    for leftover in (".d.nirgen-building", ".d.nirgen-old", "d"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "file").touch()
    with site_for(tmp_path / "d"):
        assert names(tmp_path) == [".d.nirgen-lock", "d"]


def test_an_old_folder_that_lost_its_place_to_no_new_one_comes_back(tmp_path) -> None:
    (tmp_path / ".d.nirgen-old").mkdir()
    (tmp_path / ".d.nirgen-building").mkdir()
    with site_for(tmp_path / "d"):
        pass
    assert names(tmp_path) == ["d"]


def test_a_link_to_a_folder_stays_one(tmp_path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with site_for(tmp_path / "link") as site:
        site.new.mkdir()
        site.change_places()
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path) == ["link", "real"]


def test_a_second_build_of_one_dataset_is_refused(tmp_path) -> None:
    script = (
        "import sys, pathlib; from nirgen.dataset.site import site_for; site_for(pathlib.Path(sys.argv[1])).__enter__()"
    )
    with site_for(tmp_path / "d"):
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "d"], capture_output=True, text=True, check=False
        )
    assert f"OutputError: {tmp_path}/d: another process builds this dataset; wait for it" in done.stderr


def test_a_place_that_is_no_folder_is_one_line(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be made a folder"), site_for(tmp_path / "file/d"):
        pass


def test_a_name_that_is_too_long_is_one_line(tmp_path) -> None:
    with pytest.raises(OutputError, match="File name too long"), site_for(tmp_path / ("n" * 250)):
        pass
