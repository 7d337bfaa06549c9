"""Changed image files of every format are read or refused in one line, in short time."""

from __future__ import annotations

import io
import random
import time

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from nirgen import images
from nirgen.errors import ImageError

COUNT, SECONDS = 300, 20
RGB = np.asarray(Image.fromarray(np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)).resize((64, 48)))
DEEP = RGB.astype(np.uint16) * 257


def by_pillow(image_format: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(file, image_format, **options)
    return file.getvalue()


def tiff(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **{"photometric": "rgb", "metadata": None, **options})
    return file.getvalue()


SOUND = {
    "jpeg": by_pillow("JPEG"),
    "progressive": by_pillow("JPEG", progressive=True),
    "cmyk": by_pillow("JPEG", "CMYK"),
    "png": by_pillow("PNG"),
    "palette": by_pillow("PNG", "P"),
    "webp": by_pillow("WEBP"),
    "gif": by_pillow("GIF"),
    "bmp": by_pillow("BMP"),
    "jpeg 2000": by_pillow("JPEG2000"),
    "avif": by_pillow("AVIF"),
    "ppm": by_pillow("PPM"),
    "jpeg xl": imagecodecs.jpegxl_encode(RGB),
    "tiff": by_pillow("TIFF"),
    "tiff of lzw": by_pillow("TIFF", compression="tiff_lzw"),
    "tiff of jpeg": by_pillow("TIFF", compression="jpeg"),
    "tiff of planes": tiff(np.ascontiguousarray(np.moveaxis(DEEP, -1, 0)), planarconfig="separate", compression="zlib"),
    "tiff of tiles": tiff(DEEP, tile=(16, 16), compression="lzw", predictor=2),
    "tiff of jpeg 2000": tiff(RGB, compression="jpeg2000"),
    "tiff of webp": tiff(RGB, compression="webp"),
}


def mutate(data: bytes, chance: random.Random) -> bytes:
    changed, start = bytearray(data), chance.randrange(len(data))
    end = start + chance.randrange(1, 200)
    kind = chance.randrange(6)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:start] + data[start:end] * 2 + data[end:]
    for _ in range(chance.choice((1, 2, 8))):  # anywhere, or in the header
        changed[chance.randrange(len(data) if kind < 5 else min(len(data), 400))] = chance.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.filterwarnings("ignore")
def test_changed_files_are_read_or_refused_in_one_line(name):
    chance, counts = random.Random(f"nirgen {name}"), {"read": 0, "refused": 0}
    for _ in range(COUNT):
        data, begun = mutate(SOUND[name], chance), time.monotonic()
        try:
            found = images.decode_noted(data, "a", images.Reading(damaged=chance.choice(("fail", "keep"))))
            assert found.rgb.dtype == np.uint8
            assert found.rgb.shape == (*images.size_of(data, "a"), 3)
            assert not any("\n" in text for text in (*found.notes, found.damage or ""))
            counts["read"] += 1
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017
            counts["refused"] += 1
        images.metadata_in(data, "a")
        assert time.monotonic() - begun < SECONDS
    assert sum(counts.values()) == COUNT
    assert counts["refused"] > COUNT / 10
