from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from importlib.util import find_spec

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ImageError


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("image_format", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_give_their_pixels(photo, image_format, options):
    data = saved(Image.fromarray(photo()), image_format, **options)
    assert np.array_equal(images.decode(data, "x"), photo())


def test_a_progressive_jpeg_gives_what_a_baseline_jpeg_gives():
    picture = Image.linear_gradient("L").convert("RGB")
    progressive = images.decode(saved(picture, "JPEG", quality=95, progressive=True), "x")
    assert np.array_equal(progressive, images.decode(saved(picture, "JPEG", quality=95), "x"))


@pytest.mark.parametrize(
    ("image_format", "options", "codec"),
    [
        ("JPEG2000", {}, "JPEG2000"),
        ("JPEG2000", {"no_jp2": True}, "JPEG2000"),
        ("PPM", {}, "PPM"),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, "AVIF"),
    ],
)
def test_further_formats_give_their_pixels(photo, image_format, options, codec):
    data = saved(Image.fromarray(photo(32, 48)).resize((96, 64)), image_format, **options)
    expected = np.asarray(Image.fromarray(photo(32, 48)).resize((96, 64))).astype(int)
    assert np.abs(images.decode(data, "x") - expected).max() <= (8 if codec == "AVIF" else 0)
    assert (images.header_of(data, "x").codec, images.size_of(data, "x")) == (codec, (64, 96))


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (50, 70), (300, 400), (9, 513)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_jpeg_xl_gives_its_pixels_and_its_size_by_the_header(photo, size, kind):
    pixels = photo(*size)
    data = imagecodecs.jpegxl_encode(pixels.astype(kind) * (257 if kind is np.uint16 else 1), lossless=True)
    assert np.array_equal(images.decode(data, "x"), pixels)
    assert images.size_of(data, "x") == size
    with pytest.raises(ImageError, match="over the limit of 60 pixels"):
        images.decode(data, "x", pixel_limit=60)
    with pytest.raises(ImageError, match="'x' is damaged"):
        images.decode(data[:-10], "x")


def test_a_pgm_of_16_bits_is_scaled():
    data = b"P5 3 1 65535\n" + struct.pack(">3H", 0, 32896, 65535)
    assert images.decode(data, "x")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.skipif(find_spec("pi_heif") is not None, reason="the extra `heic` is installed")
def test_heic_without_its_package_names_the_remedy():
    with pytest.raises(
        ImageError, match=r"'a\.heic' is HEIC, which needs another package; pip install 'nirgen\[heic\]'"
    ):
        images.decode(b"\0\0\0\x18ftypheic" + bytes(40), "a.heic")
    assert ".heic" not in images.SUFFIXES


def test_a_grey_jpeg_has_three_equal_channels():
    rgb = images.decode(saved(Image.new("L", (8, 8), 77), "JPEG"), "x")
    assert rgb.shape == (8, 8, 3)
    assert (rgb == 77).all()


def test_a_cmyk_jpeg_is_not_inverted():
    """Pillow writes CMYK with Adobe's marker, which says that the values are inverted; no ink is white."""
    rgb = images.decode(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), "x")
    assert np.abs(rgb.astype(int) - (255, 0, 0)).max() <= 3


def test_a_palette_gives_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert images.decode(saved(image, "PNG"), "x").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_a_transparent_palette_entry_is_black():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert images.decode(saved(image, "PNG", transparency=b"\x00\xff"), "x").tolist() == [[[0, 0, 0], [200, 100, 50]]]


def test_alpha_is_composited_over_black():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(200, 100, 50, 255), (200, 100, 50, 0), (200, 100, 50, 51)])
    assert images.decode(saved(image, "PNG"), "x").tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]


def test_grey_with_alpha_is_composited_over_black():
    image = Image.new("LA", (2, 1))
    image.putdata([(200, 255), (200, 0)])
    assert images.decode(saved(image, "PNG"), "x")[0, :, 0].tolist() == [200, 0]


def test_a_bilevel_image_is_black_and_white():
    image = Image.new("1", (2, 1))
    image.putdata([0, 255])
    assert images.decode(saved(image, "PNG"), "x")[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(image_format):
    samples = np.array([[0, 257, 32896, 65535]], np.uint16)
    rgb = images.decode(saved(Image.fromarray(samples), image_format), "x")
    assert rgb[0].tolist() == [[0, 0, 0], [1, 1, 1], [128, 128, 128], [255, 255, 255]]


def test_16_bit_big_endian_tiff_is_scaled():
    samples = np.array([[0, 32896, 65535]], ">u2")
    data = saved(Image.frombytes("I;16B", (3, 1), samples.tobytes()), "TIFF")
    assert images.decode(data, "x")[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)])
def test_16_bit_colour_is_scaled(colour, channels):
    """The third row has 0x8000: half of the range."""
    rows = b"".join(
        b"\0" + struct.pack(f">{channels}H", *[value] * 3, *[65535] * (channels - 3)) for value in (0, 65535, 0x8000)
    )
    assert images.decode(png(1, 3, 16, colour, rows), "x")[:, 0].tolist() == [[0] * 3, [255] * 3, [128] * 3]


def grey_tiff(width: int, bits: int, photometric: int, samples: bytes) -> bytes:
    entries = [(256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 1)]
    tags = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in [*entries, (279, len(samples))]]
    data = samples + b"\0" * (len(samples) % 2)
    ifd = struct.pack("<H", len(tags)) + b"".join(tags) + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + ifd


def test_a_tiff_whose_zero_is_white_is_inverted():
    data = grey_tiff(2, 16, 0, struct.pack("<HH", 0, 65535))
    assert images.decode(data, "x")[0, :, 0].tolist() == [255, 0]


def test_12_bit_tiff_is_scaled_by_its_own_range():
    data = grey_tiff(2, 12, 1, bytes([0x00, 0x0F, 0xFF]))
    assert images.decode(data, "x")[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_without_a_stated_range_are_refused(mode):
    with pytest.raises(ImageError, match=r"'a\.tif' is .* grey.*, which isn't supported; save it as 8- or 16-bit RGB"):
        images.decode(saved(Image.new(mode, (2, 2)), "TIFF"), "a.tif")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "bright_corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_images_come_upright_by_their_exif_orientation(image_format, orientation, bright_corner):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    rgb = images.decode(saved(Image.fromarray(pixels), image_format, exif=exif), "x")
    assert rgb.shape == ((16, 32, 3) if orientation <= 4 else (32, 16, 3))
    corners = {corner: int(rgb[corner].min()) for corner in [(0, 0), (0, -1), (-1, 0), (-1, -1)]}
    assert max(corners, key=lambda corner: corners[corner]) == bright_corner


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_taken(image_format):
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = saved(first, image_format, save_all=True, append_images=[second], **options)
    assert images.decode(data, "x")[0, 0].tolist() == [255, 0, 0]


def test_an_empty_file_is_named_with_a_remedy():
    with pytest.raises(ImageError, match=r"'a\.jpg' is empty \(0 bytes\); copy it again or remove it"):
        images.decode(b"", "a.jpg")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_a_truncated_file_is_damaged(photo, image_format):
    data = saved(Image.fromarray(photo(64, 64)), image_format)
    with pytest.raises(ImageError, match="'a' is damaged"):
        images.decode(data[: len(data) // 2], "a")


@pytest.mark.parametrize("length", [2, 3, 4, 8, 12, 30, 60])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_a_file_cut_in_its_header_is_an_image_error(photo, image_format, length):
    with pytest.raises(ImageError):
        images.decode(saved(Image.fromarray(photo(64, 64)), image_format)[:length], "a")


def test_text_called_jpg_is_no_image():
    with pytest.raises(ImageError, match=r"'a\.jpg' is no JPEG, PNG"):
        images.decode(b"<html>404</html>", "a.jpg")


def test_a_name_with_a_newline_stays_on_one_line():
    with pytest.raises(ImageError) as caught:
        images.decode(b"", "a\nb.jpg")
    assert "\n" not in str(caught.value)
    assert r"'a\nb.jpg'" in str(caught.value)


def test_a_bomb_is_refused_from_its_header():
    bomb = png(60_000, 60_000, 8, 2, b"\0" * 100)
    with pytest.raises(ImageError, match=r"'b\.png' is 60000x60000 by its header, over the limit of 100000000 pixels"):
        images.decode(bomb, "b.png")


def test_the_pixel_limit_is_the_callers(photo):
    data = saved(Image.fromarray(photo(10, 10)), "PNG")
    assert images.decode(data, "x", pixel_limit=100).shape == (10, 10, 3)
    with pytest.raises(
        ImageError, match=r"over the limit of 99 pixels; raise the limit \(--max-pixels, in Python pixel_limit\)"
    ):
        images.decode(data, "x", pixel_limit=99)


def test_damaged_exif_data_does_not_lose_the_image(photo):
    data = saved(Image.fromarray(photo(8, 8)), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(images.decode(data, "x"), photo(8, 8))


def test_a_large_jpeg_is_decoded_small_and_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.linear_gradient("L").resize((800, 400)), "JPEG", exif=exif)
    small = images.decode_small(data, "x", 64)
    assert small.shape == (200, 100, 3)
    assert np.abs(small.astype(int) - images.resize(images.decode(data, "x"), (200, 100))).max() <= 2


def test_other_formats_and_small_images_are_decoded_as_they_are(photo) -> None:
    for image_format in ("PNG", "JPEG"):
        data = saved(Image.fromarray(photo()), image_format)
        assert (images.decode_small(data, "x", 64) == images.decode(data, "x")).all()


@pytest.mark.parametrize("subsampling", [0, 1, 2, "4:1:1"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (9, 7), (50, 33)])
def test_a_plain_jpeg_gives_exactly_what_pillow_gives(photo, subsampling, progressive, mode, size):
    image = Image.fromarray(photo()).resize(size).convert(mode)
    for quality in (5, 75, 100):
        data = saved(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
        with Image.open(io.BytesIO(data)) as pillow:
            assert np.array_equal(images.decode(data, "x"), np.asarray(pillow.convert("RGB")))


def test_photographs_give_exactly_what_pillow_gives(shared_data):
    paths = sorted((shared_data / "bdd100k" / "images").rglob("*.jpg"))[:5]
    assert paths
    for path in paths:
        with Image.open(path) as pillow:
            assert np.array_equal(images.read(path), np.asarray(pillow.convert("RGB")))


def test_a_jpeg_in_rgb_is_pillow_s_to_decode(photo):
    data = saved(Image.fromarray(photo()), "JPEG", quality=100, keep_rgb=True)
    assert np.abs(images.decode(data, "x").astype(int) - photo()).max() <= 3


def test_a_jpeg_that_lacks_its_end_is_damaged_for_both_decoders(photo):
    data = saved(Image.fromarray(photo(64, 64)), "JPEG")
    with pytest.raises(ImageError, match=r"'x' is damaged \(.*\); copy it again or remove it"):
        images.decode(data[:-200], "x")


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (20, 30)), (3, (20, 30)), (6, (30, 20)), (8, (30, 20))])
def test_the_header_tells_the_upright_size(photo, image_format: str, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(photo(20, 30)), image_format, exif=exif)
    assert images.size_of(data, "x") == size == images.decode(data, "x").shape[:2]


def test_the_size_needs_no_pixels(photo) -> None:
    data = encoded(Image.fromarray(photo(20, 30)), "PNG")
    assert images.size_of(data[: len(data) // 2], "x") == (20, 30)
    with pytest.raises(ImageError, match="'x' is damaged"):
        images.size_of(b"\xff\xd8\xff", "x")


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "upright"), [(None, True), (0, True), (1, True), (3, False), (6, False)])
def test_the_header_tells_whether_pixels_are_stored_upright(photo, image_format, orientation, upright) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    data = encoded(Image.fromarray(photo(20, 30)), image_format, exif=exif)
    assert images.header_of(data, "x").upright is upright


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("1", True), ("I;16", True), ("P", False), ("RGB", False)])
def test_the_header_tells_whether_there_is_one_channel(mode: str, grey: bool) -> None:
    assert images.header_of(encoded(Image.new(mode, (30, 20)), "PNG"), "x").grey is grey


@pytest.mark.parametrize("size", [(1, 65_501), (65_501, 1)])
def test_a_side_over_the_limit_is_refused_by_the_header_alone(size):
    with pytest.raises(ImageError, match=r"65501.* by its header, over the limit of 65500 pixels of a side; cut it up"):
        images.decode(png(*size, 8, 0, b""), "x")


def test_a_tile_over_the_limits_is_refused_by_the_header_alone():
    data = bytearray(saved(Image.new("L", (64, 64)), "TIFF", compression="tiff_lzw", tile=(64, 64)))
    with Image.open(io.BytesIO(data)) as image:
        assert 322 not in image.tag_v2  # Pillow writes strips: their tags become those of tiles
    entries = int.from_bytes(data[4:8], "little")
    for entry in range(entries + 2, entries + 2 + 12 * int.from_bytes(data[entries : entries + 2], "little"), 12):
        tag = int.from_bytes(data[entry : entry + 2], "little")
        if tag == 278:  # rows of a strip
            data[entry : entry + 12] = struct.pack("<HHII", tag + 45, 4, 1, 1_000_000)
    with pytest.raises(ImageError, match="1x1000000 by its header, over the limit"):
        images.decode(bytes(data), "x")


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times."""
    data = saved(Image.new("RGB", (64, 64), (90, 120, 30)), "JPEG", progressive=True)
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:last] + data[last:end] * count + data[end:]


KEEPING = images.Reading(damaged="keep")  # libjpeg calls repeated scans inconsistent


@pytest.mark.parametrize("decode", [images.decode, lambda data, name, how: images.decode_small(data, name, 8, how)])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(decode):
    assert decode(with_scans(90), "x", KEEPING).shape[2] == 3
    with pytest.raises(ImageError, match="'x' has over 100 scans, which take minutes to decode; save it as baseline"):
        decode(with_scans(3000), "x", KEEPING)


def test_a_thumbnail_s_scans_are_not_those_of_the_image():
    data = with_scans(60)
    assert images.decode(data[:2] + b"\xff\xe5\x01\x02" + b"\xff\xda" * 128 + data[2:], "x", KEEPING).shape == (
        64,
        64,
        3,
    )


def test_what_decoding_takes_is_said_before_it_is_taken(photo):
    asked = []
    for kind in ("JPEG", "PNG"):
        images.decode(saved(Image.fromarray(photo()), kind), "x", admit=lambda *each: asked.append(each))
    assert asked == [((20, 30), 14 * 600), ((20, 30), 28 * 600)]


def test_what_libtiff_finds_names_the_file_and_is_no_pixel(tmp_path):
    """In a process of its own, whose standard error is libtiff's."""
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8)
    for compression, mode in (("group4", "1"), ("tiff_lzw", "RGB"), ("tiff_adobe_deflate", "RGB")):
        data = bytearray(saved(Image.fromarray(pixels).convert(mode), "TIFF", compression=compression))
        (tmp_path / f"good {compression}.tif").write_bytes(data)
        data[60:300] = bytes(each ^ 0x5A for each in data[60:300])
        (tmp_path / f"bad {compression}.tif").write_bytes(data)
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from nirgen import images
from nirgen.errors import ImageError
def state(path):
    try:
        return f"{path.stem}: {images.read(path).shape}"
    except ImageError as error:
        return f"{path.stem}: {error}"
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(state, sorted(Path(sys.argv[1]).iterdir())), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all(f"{line.split(':')[0]}.tif' is damaged (libtiff: " in line for line in lines[:3]), done.stdout
    assert all(line.endswith("(64, 64, 3)") for line in lines[3:]), done.stdout
    assert done.stderr == ""
