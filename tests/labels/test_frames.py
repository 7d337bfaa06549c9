from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError
from nirgen.labels.frames import ImageLookup, ReadOptions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train/1/a.jpg", "train/1/a.jpg"),
        ("1/a", "train/1/a.jpg"),
        ("elsewhere/2/a.jpg", "train/2/a.jpg"),
        ("b", "b_rgb.png"),
        ("b_rgb", "b_rgb.png"),
        ("c.jpg", None),
    ],
)
def test_an_image_is_found_by_the_most_folders_that_agree(tmp_path: Path, save, name: str, found: str | None) -> None:
    for path in ("train/1/a.jpg", "train/2/a.jpg", "b_rgb.png"):
        save(tmp_path / path)
    assert ImageLookup(ReadOptions(images=tmp_path)).find(name) == found


def test_two_images_that_fit_alike_are_refused(tmp_path: Path, save) -> None:
    save(tmp_path / "1" / "a.jpg")
    save(tmp_path / "2" / "a.jpg")
    with pytest.raises(NirgenError, match=r"'a' may be '1/a.jpg' or '2/a.jpg'; give the folder of one"):
        ImageLookup(ReadOptions(images=tmp_path)).find("a")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no folder; give the folder of the images with --images"):
        ImageLookup(ReadOptions(images=tmp_path / "none"))
