from __future__ import annotations

import io

import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ImageError


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (20, 30)), (3, (20, 30)), (6, (30, 20)), (8, (30, 20))])
def test_the_header_tells_the_upright_size(photo, image_format: str, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(photo(20, 30)), image_format, exif=exif)
    assert images.size_of(data, "x") == size == images.decode(data, "x").shape[:2]


def test_the_size_needs_no_pixels(photo) -> None:
    data = saved(Image.fromarray(photo(20, 30)), "PNG")
    assert images.size_of(data[: len(data) // 2], "x") == (20, 30)
    with pytest.raises(ImageError, match="'x' is damaged"):
        images.size_of(b"\xff\xd8\xff", "x")


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "upright"), [(None, True), (0, True), (1, True), (3, False), (6, False)])
def test_the_header_tells_whether_pixels_are_stored_upright(photo, image_format, orientation, upright) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    data = saved(Image.fromarray(photo(20, 30)), image_format, exif=exif)
    assert images.header_of(data, "x").upright is upright


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("1", True), ("I;16", True), ("P", False), ("RGB", False)])
def test_the_header_tells_whether_there_is_one_channel(mode: str, grey: bool) -> None:
    assert images.header_of(saved(Image.new(mode, (30, 20)), "PNG"), "x").grey is grey
