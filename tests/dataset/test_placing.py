from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.dataset.placing import place, place_all
from nirgen.dataset.store import Store
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.dataset.plan import PlannedImage


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "d").mkdir()
    return Store(tmp_path / "d")


def asked(plan, **settings: object):
    return plan.config.model_copy(update=settings)


def saved(image: PlannedImage, pixels: Image.Image, suffix: str = ".png", **options: object) -> PlannedImage:
    """The image with other content."""
    path = image.path.with_suffix(suffix)
    pixels.save(path, **options)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(image, path=path, sha256=sha256, target=f"images/x/new{suffix}")


def test_files_are_linked_copied_or_pointed_to(small_plan, store) -> None:
    hows = ("hardlink", "symlink", "copy")
    for how, image in zip(hows, small_plan.images, strict=False):
        placed = place(image, store, asked(small_plan, files=how))
        path = store.root / image.target
        assert (placed.how, placed.sha256, placed.encoded) == (how, image.sha256, None)
        assert path.read_bytes() == image.path.read_bytes()
        assert path.samefile(image.path) is (how != "copy")
        assert path.is_symlink() is (how == "symlink")
        assert store.hashes[image.target] == image.sha256


def test_a_link_to_another_file_system_becomes_a_copy(small_plan, store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr("os.link", refuse)
    assert place(small_plan.images[0], store, small_plan.config).how == "copy"


def test_a_link_in_place_of_a_file_is_followed(small_plan, store, tmp_path) -> None:
    image = small_plan.images[0]
    (tmp_path / "link.png").symlink_to(image.path)
    place(replace(image, path=tmp_path / "link.png"), store, small_plan.config)
    assert not (store.root / image.target).is_symlink()
    assert (store.root / image.target).samefile(image.path)


@pytest.mark.parametrize("change", ["content", "gone"])
def test_an_image_that_changed_since_the_plan_stops_the_build(small_plan, store, change: str) -> None:
    path = small_plan.images[3].path
    path.unlink() if change == "gone" else path.write_bytes(b"other")
    with pytest.raises(NirgenError, match="can't be read" if change == "gone" else r"d\.png: changed since the plan"):
        place_all(small_plan.images, store, small_plan.config)


@pytest.mark.parametrize(("codec", "channels", "layout"), [("png", 1, "L"), ("jpg", 3, "RGB"), ("png", None, "L")])
def test_real_and_generated_images_are_encoded_alike(
    small_plan, store, codec: str, channels: int | None, layout: str
) -> None:
    images = [replace(image, target=f"images/{number}.{codec}") for number, image in enumerate(small_plan.images)]
    placed = place_all(images, store, asked(small_plan, codec=codec, channels=channels))
    words = f"encoded anew as {codec}, {'1 channel' if layout == 'L' else '3 channels'}"
    assert {each.encoded for each in placed} == {words}
    for image, each in zip(images, placed, strict=True):
        path = store.root / image.target
        with Image.open(path) as opened:
            assert (opened.mode, opened.format) == (layout, {"png": "PNG", "jpg": "JPEG"}[codec])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == each.sha256 == store.hashes[image.target]


def test_three_channels_are_equal_even_of_an_image_in_colour(small_plan, store, photo) -> None:
    image = saved(small_plan.images[0], Image.fromarray(photo()))
    place(image, store, asked(small_plan, channels=3))
    with Image.open(store.root / image.target) as opened:
        pixels = np.asarray(opened)
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_an_image_that_only_exif_turns_is_written_upright(small_plan, store, photo) -> None:
    exif = Image.Exif()
    exif[274] = 6
    image = saved(small_plan.images[0], Image.fromarray(photo(20, 30)), exif=exif)
    placed = place(image, store, small_plan.config)
    assert (placed.how, placed.encoded) == ("encoded", "turned upright, encoded anew as png, 3 channels")
    with Image.open(store.root / image.target) as opened:
        assert np.array_equal(np.asarray(opened), np.rot90(photo(20, 30), k=-1))
        assert 274 not in opened.getexif()


def test_an_ending_that_nothing_is_encoded_as_is_refused(small_plan, store) -> None:
    image = saved(small_plan.images[0], Image.new("L", (30, 20)), ".webp")
    with pytest.raises(NirgenError, match=r"no image is encoded as \.webp; say --codec png"):
        place(image, store, asked(small_plan, channels=1))
