from __future__ import annotations

import numpy as np
import pytest
import torch

from nirgen import images
from nirgen.translate.manifest import read_manifest
from nirgen.translate.network import round_levels
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.run import translate_folder

NO_MEMORY = "DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."


@pytest.fixture
def source(tmp_path, save):
    for number in range(9):
        save(tmp_path / f"src/{number}.png", seed=number)
    return tmp_path / "src"


@pytest.fixture
def limited(red_type):
    """A translator that holds so many pixels at once; `tried` are the (N, H, W) that it was given."""

    class Limited(red_type):
        def __init__(self, pixels):
            super().__init__()
            self.pixels = pixels
            self.tried = []

        def translate(self, rgb, sizes):
            self.tried.append((rgb.shape[0], *rgb.shape[2:]))
            if rgb.shape[0] * rgb.shape[2] * rgb.shape[3] > self.pixels:
                raise RuntimeError(NO_MEMORY)
            return super().translate(rgb, sizes)

    return Limited


def rows(out):
    return {row.source: row for row in read_manifest(out).rows}


def test_a_batch_that_does_not_fit_is_halved_once_for_its_size(tmp_path, source, limited):
    model = limited(2 * 24 * 32)
    summary = translate_folder(source, tmp_path / "out", model=model, run=RunOptions(batch_size=8))
    assert summary.exit_code == 0
    assert model.tried == [(8, 24, 32), (4, 24, 32), *[(2, 24, 32)] * 4, (1, 24, 32)]


def test_an_image_that_does_not_fit_is_translated_in_tiles_and_says_so(tmp_path, source, save, photo, limited):
    save(source / "large.png", 300, 400)
    model = limited(128 * 128)
    assert translate_folder(source, tmp_path / "out", model=model).exit_code == 0
    row = rows(tmp_path / "out")["large.png"]
    assert (row.method, row.width, row.height) == ("tiled", 400, 300)
    assert row.tiles > 6
    assert row.seam == pytest.approx(1, abs=0.2)
    assert rows(tmp_path / "out")["0.png"].method == "whole"
    made = images.read(tmp_path / "out/large.png")[..., 0]
    assert np.abs(made.astype(int) - photo(300, 400)[..., 0]).max() <= 1
    assert model.tried.count((1, 304, 400)) == 1


def test_tiles_can_be_forbidden(tmp_path, source, save, limited):
    save(source / "large.png", 300, 400)
    run = RunOptions(no_tiles=True)
    summary = translate_folder(source, tmp_path / "out", model=limited(128 * 128), run=run)
    assert summary.failures[0][1].startswith("'large.png': there is not enough memory for an image of this size")


def test_tiles_that_were_asked_for_are_part_of_the_options(tmp_path, source, save, red):
    save(source / "large.png", 300, 400)
    options = TranslateOptions(tile=128)
    translate_folder(source, tmp_path / "out", model=red, options=options)
    assert {row.method for row in rows(tmp_path / "out").values()} == {"tiled"}
    assert rows(tmp_path / "out")["large.png"].options_id == options.id != TranslateOptions().id
    assert rows(tmp_path / "out")["0.png"].tiles == 1


def test_white_balance_reaches_the_model(tmp_path, save, red):
    from PIL import Image

    (tmp_path / "src").mkdir()
    Image.new("RGB", (32, 24), (200, 100, 60)).save(tmp_path / "src/a.png")
    for choice, level in (("off", 200), ("auto", 120)):
        options = TranslateOptions(white_balance=choice)
        translate_folder(tmp_path / "src", tmp_path / choice, model=red, options=options)
        with Image.open(tmp_path / choice / "a.png") as image:
            assert image.getextrema() == (level, level)


def test_what_a_translator_says_of_its_memory_is_believed_before_it_is_tried(tmp_path, source, save, limited):
    save(source / "large.png", 300, 400)
    model = limited(10**9)
    model.bytes_per_pixel = 10**15
    summary = translate_folder(source, tmp_path / "out", model=model)
    assert summary.failed == 10
    assert model.tried == []


class OnDevice:
    """A translator that leaves rounding to the device; the CPU stands in for one."""

    id, stride, header, device = "7" * 64, 8, {}, torch.device("cpu")

    def __init__(self, gain=1.0):
        self.gain = gain

    def translate(self, rgb, sizes):
        raise AssertionError("the fast form is there to be used")

    def translate_on_device(self, rgb, sizes):
        return rgb.float() * self.gain / 255


@pytest.mark.parametrize("options", [
    TranslateOptions(), TranslateOptions(channels=3), TranslateOptions(bit_depth=16),
])  # fmt: skip
def test_rounding_on_the_device_gives_the_same_bytes(tmp_path, source, red_type, options):
    class Plain(red_type):
        def translate(self, rgb, sizes):
            return rgb.float() / 255

    translate_folder(source, tmp_path / "one", model=Plain(), options=options)
    translate_folder(source, tmp_path / "two", model=OnDevice(), options=options, run=RunOptions(batch_size=4))
    for path in (tmp_path / "one").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_values_that_are_no_numbers_are_noticed_on_the_device(tmp_path, source):
    summary = translate_folder(source, tmp_path / "out", model=OnDevice(gain=float("nan")))
    assert summary.failures[0] == ("0.png", "'0.png': the model gave values that are not numbers")


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_levels_on_the_device_are_those_of_the_images_package(bit_depth, channels):
    values = np.random.default_rng(0).uniform(-0.1, 1.1, (1, 3, 50, 60)).astype(np.float32)
    levels = round_levels(torch.from_numpy(values), channels, bit_depth)[0].numpy()
    assert np.array_equal(levels, images.to_pixels(images.to_channels(values[0], channels), bit_depth))
