"""How sources are read: what is said of them in the manifest and the summary, and options of reading."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nirgen import images
from nirgen.translate.manifest import NAME, read_manifest
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.run import translate_folder


@pytest.fixture
def source(tmp_path, photo):
    """A sound JPEG, one that lacks a piece of its scan, and one that lacks its end marker."""
    folder = tmp_path / "src"
    folder.mkdir()
    file = io.BytesIO()
    Image.fromarray(photo(24, 32)).resize((256, 192)).save(file, "JPEG")
    data = file.getvalue()
    (folder / "good.jpg").write_bytes(data)
    (folder / "lost.jpg").write_bytes(data[:3000] + data[3300:])
    (folder / "no_end.jpg").write_bytes(data[:-2])
    return folder


def rows(out):
    return {row.source: row for row in read_manifest(out).rows}


def test_damaged_sources_fail_or_are_kept_and_are_counted(tmp_path, source, red):
    out = tmp_path / "out"
    summary = translate_folder(source, out, model=red)
    assert (summary.translated, summary.failed, summary.damaged, summary.damaged_kept) == (2, 1, 1, 0)
    assert summary.notes == (("its end marker is missing", 1),)
    lost = rows(out)["lost.jpg"]
    assert (lost.status, lost.damage) == ("failed", "Corrupt JPEG data: premature end of data segment")
    assert (rows(out)["no_end.jpg"].note, rows(out)["good.jpg"].damage) == ("its end marker is missing", None)
    kept = translate_folder(source, out, model=red, run=RunOptions(damaged="keep"))
    assert (kept.translated, kept.unchanged, kept.failed, kept.damaged_kept) == (1, 2, 0, 1)
    assert (rows(out)["lost.jpg"].status, rows(out)["lost.jpg"].damage) == ("done", lost.damage)
    assert translate_folder(source, out, model=red).damaged == 1  # kept no longer


def test_a_manifest_of_an_older_version_goes_on(tmp_path, source, red):
    (source / "lost.jpg").unlink()
    out = tmp_path / "out"
    translate_folder(source, out, model=red)
    table = pq.read_table(out / NAME)
    old = table.drop_columns(["damage", "note", "brightest", "captured", "latitude", "longitude"])
    metadata = {key: value for key, value in old.schema.metadata.items() if key != b"nirgen.seal"}
    pq.write_table(old.replace_schema_metadata(metadata), out / NAME)
    summary = translate_folder(source, out, model=red)
    assert (summary.translated, summary.unchanged, summary.failed) == (0, 2, 0)
    assert TranslateOptions().id == "a01f39251ec51db0f950ca3b2e7ecc537cc11285d039bb1beac4221f28db79f5"


def test_the_white_level_and_opacity_decide_the_pixels(tmp_path, red):
    folder = tmp_path / "src"
    folder.mkdir()
    Image.fromarray(np.full((8, 8), 2048, np.uint16)).save(folder / "deep.png")
    Image.new("RGBA", (8, 8), (100, 0, 0, 0)).save(folder / "clear.png")
    half = Image.new("RGBA", (8, 8), (100, 0, 0, 51))
    half.putpixel((0, 0), (100, 0, 0, 255))
    half.save(folder / "half.png")
    plain = translate_folder(folder, tmp_path / "plain", model=red)
    assert plain.notes == (("its opacity is 0 everywhere, and is ignored", 1), (images.DARK_NOTE, 1))
    options = TranslateOptions(white_level=4095, alpha="ignore")
    chosen = translate_folder(folder, tmp_path / "chosen", model=red, options=options)
    assert chosen.notes == ()
    levels = {
        name: [images.read(tmp_path / name / f"{image}.png")[4, 4, 0] for image in ("deep", "clear", "half")]
        for name in ("plain", "chosen")
    }
    assert levels == {"plain": [8, 100, 20], "chosen": [128, 100, 100]}


def test_capture_time_and_place_are_in_the_manifest(tmp_path, red, photo):
    folder = tmp_path / "src"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update({0x9003: "2026:05:01 12:30:00", 0x9011: "+02:00"})
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)})
    for ending in ("jpg", "png", "tif", "webp"):
        Image.fromarray(photo(16, 16)).save(folder / f"{ending}.{ending}", exif=exif.tobytes())
    Image.fromarray(photo(16, 16)).save(folder / "none.jpg")
    translate_folder(folder, tmp_path / "out", model=red)
    found = {name: (row.captured, row.latitude, row.longitude) for name, row in rows(tmp_path / "out").items()}
    assert found.pop("none.jpg") == (None, None, None)
    assert found == {
        f"{ending}.{ending}": ("2026-05-01T12:30:00+02:00", -33.86, 151.2) for ending in ("jpg", "png", "tif", "webp")
    }


def test_metadata_are_kept_on_request(tmp_path, red, photo):
    folder = tmp_path / "src"
    folder.mkdir()
    exif = Image.Exif()
    exif.update({0x0110: "Camera 1", 0x0112: 6})
    Image.fromarray(photo(16, 24)).save(folder / "a.jpg", exif=exif)
    for name, options in (("plain", {}), ("kept", {"keep_metadata": True})):
        translate_folder(folder, tmp_path / name, model=red, options=TranslateOptions(**options))
    found = {}
    for name in ("plain", "kept"):
        with Image.open(tmp_path / name / "a.png") as image:
            image.load()
            found[name] = image.size, dict(image.getexif())
    assert found == {"plain": ((16, 24), {}), "kept": ((16, 24), {0x0110: "Camera 1", 0x0112: 1})}
