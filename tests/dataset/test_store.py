from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.dataset.store import Store, place, place_all, site_for
from nirgen.errors import NirgenError, OutputError
from nirgen.images import read

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.dataset.plan import PlannedImage


def test_every_file_has_its_hash(tmp_path) -> None:
    store = Store(tmp_path)
    store.write("a/b.txt", b"one")
    with store.stream("c.txt") as file:
        file.write(b"t")
        file.write(b"wo")
    store.link("d/e.txt", "a/b.txt")
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))
    assert store.hashes == {"a/b.txt": one, "c.txt": two, "d/e.txt": one}
    assert (tmp_path / "c.txt").read_bytes() == b"two"
    assert (tmp_path / "d/e.txt").samefile(tmp_path / "a/b.txt")


def test_a_second_name_is_a_copy_where_there_are_no_hard_links(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    store = Store(tmp_path)
    store.write("a", b"one")
    store.link("b", "a")
    assert (tmp_path / "b").read_bytes() == b"one"
    assert not (tmp_path / "b").samefile(tmp_path / "a")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\x", "C:/x", "", "a\0b"])
def test_no_name_leads_out_of_the_dataset(tmp_path, name: str) -> None:
    with pytest.raises(NirgenError, match="write a path relative to"):
        Store(tmp_path / "inside").claim(name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_given_once(tmp_path) -> None:
    store = Store(tmp_path)
    store.write("a", b"")
    with pytest.raises(OutputError, match=r"^a: two files of the dataset would have this name"):
        store.write("a", b"")


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


def test_samples_of_fewer_bits_and_damaged_images_are_written_anew(small_plan, store, photo) -> None:
    real = next(image for image in small_plan.images if image.kind == "real")
    deep = saved(real, Image.fromarray(np.full((20, 30), 2048, np.uint16)))
    assert place(replace(deep, target="images/as_it_is.png"), store, small_plan.config).encoded is None
    placed = place(deep, store, asked(small_plan, white_level=4095))
    assert placed.encoded == "encoded anew as png, 1 channel"
    with Image.open(store.root / deep.target) as opened:
        assert (opened.mode, opened.getextrema()) == ("L", (128, 128))
    lost = saved(real, Image.fromarray(photo(90, 120)), ".jpg")
    data = lost.path.read_bytes()
    lost.path.write_bytes(data[:2000] + data[3000:])
    lost = replace(lost, sha256=hashlib.sha256(lost.path.read_bytes()).hexdigest())
    assert place(lost, store, asked(small_plan, damaged="keep")).encoded == "encoded anew as jpg, 3 channels"
    assert read(store.root / lost.target).shape == (90, 120, 3)  # sound


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
        "import sys, pathlib; from nirgen.dataset.store import site_for; "
        "site_for(pathlib.Path(sys.argv[1])).__enter__()"
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
