from __future__ import annotations

import numpy as np
import pytest

from nirgen import images

INK = 30  # level of the letters; the images here are brighter


def flat(height, width, level=200):
    return np.full((height, width, 3), level, np.uint8)


def written(picture, left, right, top, bottom):
    """The columns between `left` and `right` in which letters stand, from `top` to `bottom`."""
    return np.flatnonzero((picture[top:bottom, left:right] < 100).all(axis=2).any(axis=0)) + left


def test_images_of_one_shape_stand_side_by_side_without_gutters():
    picture = images.contact_sheet([images.SheetRow((flat(30, 60), flat(30, 60)))], width=100)
    middle = picture[30, :, 0]
    assert picture.shape[1] == 12 + 100 + 6 + 100 + 12
    assert (middle[12:112] == 200).all()
    assert (middle[118:218] == 200).all()
    assert (middle[112:118] == 255).all()


@pytest.mark.parametrize("shape", [(3, 2000), (2000, 3)])
def test_a_strip_fits_into_a_sheet(shape):
    picture = images.contact_sheet([images.SheetRow((flat(*shape), flat(40, 30)))], width=90)
    assert picture.shape[1] == 12 + 90 + 6 + 90 + 12
    assert picture.shape[0] < 200


def test_a_missing_image_leaves_a_field_in_its_column():
    picture = images.contact_sheet([images.SheetRow((None, flat(60, 60)))], width=60)
    assert (picture[20:60, 12:72] == 236).all()
    assert (picture[20:60, 78:138] == 200).all()


def test_headings_and_captions_stand_above_and_below_their_images():
    row = images.SheetRow((flat(100, 200), flat(100, 200)), ("", "a.png"))
    picture = images.contact_sheet([row], headings=("RGB", "NIR"), width=200)
    assert len(written(picture, 12, 212, 0, 34))
    assert len(written(picture, 218, 418, 0, 34))
    assert not len(written(picture, 12, 212, 137, 160))
    assert len(written(picture, 218, 418, 137, 160))


def test_a_single_caption_goes_across_its_row():
    row = images.SheetRow((flat(100, 200), flat(100, 200)), ("a caption that is longer than one of its images",))
    letters = written(images.contact_sheet([row], width=200), 0, 430, 113, 136)
    assert letters.max() > 250


def test_a_caption_that_is_too_long_keeps_its_ends_and_its_column():
    def caption(name):
        picture = images.contact_sheet([images.SheetRow((flat(100, 200), flat(100, 200)), (name, ""))], width=200)
        assert written(picture, 0, 430, 113, 136).max() < 212
        return picture

    middle = "x" * 300
    assert not np.array_equal(caption(f"a{middle}1.png"), caption(f"a{middle}2.png"))
    assert not np.array_equal(caption(f"a{middle}1.png"), caption(f"b{middle}1.png"))


@pytest.mark.parametrize("name", ["写真.png", "\x1b[31m.png", "\N{GRINNING FACE}.png"])
def test_letters_that_the_font_lacks_are_told_apart(name):
    def caption(text):
        return images.contact_sheet([images.SheetRow((flat(100, 400),), (text,))], width=400)

    assert not np.array_equal(caption(name), caption("".join(chr(ord(name[0]) + 1)) + name[1:]))


def test_only_a_preview_has_a_mark(tmp_path, save):
    made = tmp_path / "preview.png"
    made.write_bytes(images.encode_preview(images.contact_sheet([images.SheetRow((flat(4, 4),))]), "0a" * 32))
    assert images.preview_mark(made) == "0a" * 32
    assert images.is_preview(made)
    assert images.read(made).shape[2] == 3
    other = save(tmp_path / "photos/preview.png")
    assert images.preview_mark(other) is None
    assert not images.is_preview(other)
    assert not images.is_preview(tmp_path / "none/preview.png")
