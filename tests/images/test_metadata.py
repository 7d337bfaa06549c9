"""Time, place and camera of a source, and the place of a map's pixels, in an output that takes them over."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from nirgen import images

GREY = (np.arange(600) // 3).astype(np.uint8).reshape(20, 30)
PLACE = {1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)}


def photo_with_exif() -> bytes:
    exif = Image.Exif()
    exif.update({0x010F: "Maker", 0x0110: "Camera 1", 0x0112: 6, 0x0131: "Editor"})
    exif.get_ifd(0x8769).update({0x9003: "2026:05:01 12:30:00", 0x9011: "+02:00", 0x9291: "25", 0xA434: "35mm"})
    exif.get_ifd(0x8825).update(PLACE)
    file = io.BytesIO()
    profile = b"profile"
    Image.new("RGB", (30, 20)).save(file, "JPEG", exif=exif, icc_profile=profile)
    return file.getvalue()


def stored(data: bytes) -> tuple[dict, dict, dict]:
    exif = Image.Exif()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert "icc_profile" not in image.info
        if image.format == "TIFF":
            exif.load_from_fp(io.BytesIO(data))
        else:
            exif = image.getexif()
        base = {tag: value for tag, value in exif.items() if tag in {0x010F, 0x0110, 0x0112, 0x0131}}
        return base, dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(0x8825))


@pytest.mark.parametrize("image_format", ["png", "jpg", "tif"])
@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 257, np.stack([GREY] * 3, axis=2)])
def test_camera_capture_and_place_are_kept_and_the_output_is_upright(image_format, pixels):
    if image_format == "jpg" and pixels.dtype == np.uint16:
        return
    metadata = images.metadata_in(photo_with_exif(), "a.jpg")
    data = images.encode(pixels, image_format, metadata)
    base, capture, place = stored(data)
    assert base == {0x010F: "Maker", 0x0110: "Camera 1", 0x0112: 1}
    assert capture == {0x9003: "2026:05:01 12:30:00", 0x9011: "+02:00", 0x9291: "25", 0xA434: "35mm"}
    assert place == PLACE
    assert data == images.encode(pixels, image_format, metadata)
    found = images.decode_noted(data, "a")
    assert np.abs(found.rgb.astype(int) - GREY[..., np.newaxis]).max() <= (3 if image_format == "jpg" else 0)
    assert found.capture == images.Capture("2026-05-01T12:30:00+02:00", -33.86, 151.2)


def test_a_map_keeps_its_place_in_tiff_alone():
    keys = (1, 1, 0, 1, 3072, 0, 1, 32633)
    file = io.BytesIO()
    tags = [(33550, 12, 3, (0.5, 0.5, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True)]
    tags += [(34735, 3, len(keys), keys, True), (34737, 2, 0, "WGS 84 / UTM zone 33N|", True)]
    tifffile.imwrite(file, np.stack([GREY] * 3, axis=2), photometric="rgb", extratags=tags, metadata=None)
    metadata = images.metadata_in(file.getvalue(), "map.tif")
    with tifffile.TiffFile(io.BytesIO(images.encode(GREY, "tif", metadata))) as written:
        found = {tag: written.pages[0].tags[tag].value for tag in (33550, 33922, 34735, 34737)}
        assert np.array_equal(written.pages[0].asarray(), GREY)
    assert found == {
        33550: (0.5, 0.5, 0.0),
        33922: (0.0, 0.0, 0.0, 4e5, 5e6, 0.0),
        34735: keys,
        34737: "WGS 84 / UTM zone 33N|",
    }
    moved = images.encode(GREY, "tif", metadata.without_map())
    assert moved == images.encode(GREY, "tif")
    assert images.encode(GREY, "png", metadata) == images.encode(GREY, "png")


@pytest.mark.parametrize("data", [b"", b"text", photo_with_exif()[:40], photo_with_exif().replace(b"MM\0*", b"XX\0*")])
def test_a_source_without_readable_tags_gives_none(data):
    assert images.metadata_in(data, "a") == images.Metadata()
