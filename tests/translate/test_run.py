from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ImageError, OutputError, ShapeError
from nirgen.translate.engines import LocalEngine
from nirgen.translate.journal import Journal, journal_path, read_journal
from nirgen.translate.manifest import NAME, read_manifest
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.run import Request, look_ahead, translate_folder


@pytest.fixture
def source(tmp_path, save):
    """Twelve images in three folders, of three sizes."""
    for number in range(12):
        height, width = [(20, 30), (30, 20), (8, 8)][number // 2 % 3]
        save(tmp_path / f"src/{'abc'[number % 3]}/{number:02}.png", height, width, seed=number)
    return tmp_path / "src"


def snapshot(out):
    """The bytes of every image and of the manifest, by name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name != "run.json"
    }


def rows(out):
    return {row.source: row for row in read_manifest(out).rows}


def test_outputs_mirror_the_sources(tmp_path, source, red, photo):
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.sources, summary.translated, summary.failed, summary.exit_code) == (12, 12, 0, 0)
    with Image.open(tmp_path / "out/b/01.png") as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), photo(20, 30, seed=1)[..., 0])
    assert sorted(path.name for path in tmp_path.joinpath("out").iterdir()) == [
        ".nirgen", "a", "b", "c", NAME, "run.json",
    ]  # fmt: skip


def test_the_manifest_describes_sources_and_outputs(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    row = rows(tmp_path / "out")["a/03.png"]
    assert (row.output, row.status, row.error, row.method) == ("a/03.png", "done", None, "whole")
    assert (row.source_width, row.source_height, row.width, row.height) == (20, 30, 20, 30)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.model == red.header
    assert manifest.options == {
        "pixel_rules": 2, "format": "png", "bit_depth": 8, "channels": 1, "size": None,
    }  # fmt: skip
    assert [row.source for row in manifest.rows] == sorted(row.source for row in manifest.rows)


def test_sizes_are_those_after_exif_orientation(tmp_path, red, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "src").mkdir()
    Image.fromarray(photo(20, 30)).save(tmp_path / "src/a.jpg", exif=exif)
    translate_folder(tmp_path / "src", tmp_path / "out", model=red)
    row = rows(tmp_path / "out")["a.jpg"]
    assert (row.source_width, row.source_height, row.width, row.height) == (20, 30, 20, 30)
    assert images.read(tmp_path / "out/a.png").shape == (30, 20, 3)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (1, 4), (3, 2), (5, 1), (100, 8)])
def test_batches_and_workers_do_not_change_a_byte(tmp_path, source, red, batch_size, workers):
    translate_folder(source, tmp_path / "one", model=red, run=RunOptions(batch_size=1, workers=1))
    run = RunOptions(batch_size=batch_size, workers=workers)
    translate_folder(source, tmp_path / "two", model=red, run=run)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_a_batch_gathers_images_of_one_padded_size(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red, run=RunOptions(batch_size=3))
    assert sorted(red.batches) == [(1, 8, 8), (1, 24, 32), (1, 32, 24), (3, 8, 8), (3, 24, 32), (3, 32, 24)]


def test_the_order_of_a_listing_does_not_change_a_byte(tmp_path, source, red):
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*.png"))]
    for order, listed in {"one": names, "two": names[::-1]}.items():
        (tmp_path / "list.txt").write_text("\n".join(listed))
        translate_folder(source, tmp_path / order, model=red, listing=tmp_path / "list.txt")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_a_second_run_does_nothing(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.p*")}
    red.batches.clear()
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.translated, summary.unchanged, summary.exit_code) == (0, 12, 0)
    assert red.batches == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.p*")} == before


def test_a_changed_source_is_translated_again(tmp_path, source, save, red, photo):
    translate_folder(source, tmp_path / "out", model=red)
    save(source / "a/00.png", seed=99)
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.translated, summary.changed, summary.unchanged) == (1, 1, 11)
    assert np.array_equal(images.read(tmp_path / "out/a/00.png")[..., 0], photo(20, 30, seed=99)[..., 0])


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"edited")])
def test_a_missing_or_altered_output_is_made_again(tmp_path, source, red, damage):
    translate_folder(source, tmp_path / "out", model=red)
    before = snapshot(tmp_path / "out")
    damage(tmp_path / "out/a/00.png")
    assert translate_folder(source, tmp_path / "out", model=red).translated == 1
    assert snapshot(tmp_path / "out") == before


def test_another_model_is_refused_and_redone_on_request(tmp_path, source, red, red_type):
    translate_folder(source, tmp_path / "out", model=red)
    before = snapshot(tmp_path / "out")
    other = red_type("other", gain=0.5)
    with pytest.raises(
        OutputError, match=r"was made with another model \(726564000000, now 6f7468657200\); use another"
    ):
        translate_folder(source, tmp_path / "out", model=other)
    assert snapshot(tmp_path / "out") == before
    assert translate_folder(source, tmp_path / "out", model=other, run=RunOptions(redo=True)).translated == 12
    translate_folder(source, tmp_path / "fresh", model=other)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_other_options_are_refused_by_name(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    with pytest.raises(OutputError, match=r"other options \(channels 1, now 3\); use another OUT, or --redo"):
        translate_folder(source, tmp_path / "out", model=red, options=TranslateOptions(channels=3))


def test_a_redo_that_was_interrupted_goes_on_without_being_asked_again(tmp_path, source, red, red_type):
    translate_folder(source, tmp_path / "out", model=red)
    other = red_type("other", gain=0.5)
    with pytest.raises(KeyboardInterrupt):
        translate_folder(source, tmp_path / "out", model=other, run=RunOptions(redo=True), progress=interrupt_after(3))
    summary = translate_folder(source, tmp_path / "out", model=other)
    assert 0 < summary.unchanged < 12
    translate_folder(source, tmp_path / "fresh", model=other)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_sources_of_another_folder_are_refused(tmp_path, source, save, red):
    translate_folder(source, tmp_path / "out", model=red)
    save(tmp_path / "other/z.png")
    with pytest.raises(OutputError, match=r"other sources \('.*src', with 'a/00.png' that is not in '.*other'\)"):
        translate_folder(tmp_path / "other", tmp_path / "out", model=red)


def test_sources_that_moved_as_a_whole_are_recognised(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    source.rename(tmp_path / "moved")
    assert translate_folder(tmp_path / "moved", tmp_path / "out", model=red).unchanged == 12


def test_sources_of_another_folder_with_the_same_names_are_refused(tmp_path, save, red):
    save(tmp_path / "one/img.png", seed=1)
    save(tmp_path / "two/img.png", seed=2)
    translate_folder(tmp_path / "one", tmp_path / "out", model=red)
    before = snapshot(tmp_path / "out")
    for source in ("two", "two/img.png"):
        with pytest.raises(
            OutputError,
            match=r"other sources \('.*/one', with another 'img.png' than '.*/two'\); use another OUT, or --redo",
        ):
            translate_folder(tmp_path / source, tmp_path / "out", model=red)
    assert snapshot(tmp_path / "out") == before


def test_a_moved_folder_may_have_lost_a_source(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    source.rename(tmp_path / "moved")
    (tmp_path / "moved/a/00.png").unlink()
    summary = translate_folder(tmp_path / "moved", tmp_path / "out", model=red)
    assert (summary.unchanged, summary.dropped) == (11, 1)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
def test_without_run_json_only_equal_sources_go_on(tmp_path, save, red, damage):
    save(tmp_path / "one/img.png", seed=1)
    save(tmp_path / "two/img.png", seed=2)
    translate_folder(tmp_path / "one", tmp_path / "out", model=red)
    damage(tmp_path / "out/run.json")
    with pytest.raises(
        OutputError, match=r"other sources \(of an unknown folder, for run.json is missing or damaged, w"
    ):
        translate_folder(tmp_path / "two", tmp_path / "out", model=red)
    assert translate_folder(tmp_path / "one", tmp_path / "out", model=red).unchanged == 1


def test_a_run_json_of_another_schema_is_refused(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    (tmp_path / "out/run.json").write_text('{"schema": 2}')
    with pytest.raises(OutputError, match=r"run\.json: has schema 2, and this nirgen reads 1; use another OUT"):
        translate_folder(source, tmp_path / "out", model=red)


def test_a_source_that_is_gone_loses_its_row_and_keeps_its_output(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    (source / "a/00.png").unlink()
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.sources, summary.dropped, summary.stray, summary.exit_code) == (11, 1, 1, 0)
    assert (tmp_path / "out/a/00.png").exists()
    assert "a/00.png" not in rows(tmp_path / "out")


def test_single_files_gather_in_one_folder(tmp_path, source, red):
    translate_folder(source / "a/00.png", tmp_path / "out", model=red)
    translate_folder(source / "a/03.png", tmp_path / "out", model=red)
    assert set(rows(tmp_path / "out")) == {"00.png", "03.png"}


def test_a_redo_of_one_file_keeps_the_rows_of_the_others(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    before = snapshot(tmp_path / "out")
    (source.parent / "list.txt").write_text("a/00.png\n")
    redo = RunOptions(redo=True)
    summary = translate_folder(source, tmp_path / "out", model=red, run=redo, listing=source.parent / "list.txt")
    assert (summary.translated, summary.unchanged, summary.dropped, summary.lost) == (1, 0, 0, 0)
    assert snapshot(tmp_path / "out") == before


def test_a_redo_that_would_mix_is_refused_with_how_many(tmp_path, source, save, red, red_type):
    for name in "abc":
        save(tmp_path / f"flat/{name}.png")
        save(tmp_path / f"twin/{name}.png", seed=1)
    translate_folder(tmp_path / "flat", tmp_path / "out", model=red)
    before = snapshot(tmp_path / "out")
    redo = RunOptions(redo=True)
    mixed = [
        ("flat", red_type("other"), TranslateOptions()),
        ("flat", red, TranslateOptions(channels=3)),
        ("twin", red, TranslateOptions()),
    ]
    for folder, model, options in mixed:
        with pytest.raises(OutputError, match=r"has 2 other images, such as 'b.png', of .*; redo the whole folder, or"):
            translate_folder(tmp_path / folder / "a.png", tmp_path / "out", model=model, options=options, run=redo)
    assert snapshot(tmp_path / "out") == before
    assert translate_folder(tmp_path / "twin", tmp_path / "out", model=red, run=redo).translated == 3


def test_a_redo_of_some_that_was_interrupted_goes_on_without_being_asked_again(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    before = snapshot(tmp_path / "out")
    (tmp_path / "list.txt").write_text("a/00.png\na/03.png\n")
    arguments = {"model": red, "listing": tmp_path / "list.txt"}
    with pytest.raises(KeyboardInterrupt):
        translate_folder(source, tmp_path / "out", **arguments, run=RunOptions(redo=True), progress=interrupt_after(1))
    assert len(rows(tmp_path / "out")) == 10
    summary = translate_folder(source, tmp_path / "out", **arguments)
    assert (summary.translated, summary.unchanged) == (1, 1)
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"edited")])
def test_a_kept_row_whose_output_is_missing_or_altered_is_dropped_and_counted(tmp_path, source, red, damage):
    translate_folder(source, tmp_path / "out", model=red)
    damage(tmp_path / "out/b/01.png")
    (tmp_path / "list.txt").write_text("a/00.png\n")
    summary = translate_folder(source, tmp_path / "out", model=red, listing=tmp_path / "list.txt")
    assert (summary.unchanged, summary.lost, summary.dropped) == (1, 1, 0)
    assert "b/01.png" not in rows(tmp_path / "out")
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.translated, summary.unchanged, summary.lost) == (1, 11, 0)


def test_a_later_file_does_not_overwrite_the_output_of_an_earlier_one(tmp_path, save, red):
    save(tmp_path / "src/x.bmp")
    save(tmp_path / "src/x.jpg")
    translate_folder(tmp_path / "src/x.bmp", tmp_path / "out", model=red)
    with pytest.raises(OutputError, match=r"'x\.jpg' and 'x\.bmp', translated before, would both be 'x\.png'"):
        translate_folder(tmp_path / "src/x.jpg", tmp_path / "out", model=red)


def test_files_that_nirgen_did_not_write_are_not_overwritten(tmp_path, source, save, red):
    save(tmp_path / "out/a/00.png", seed=5)
    before = snapshot(tmp_path / "out")
    with pytest.raises(OutputError, match=r"has 'a/00\.png' that nirgen did not write; use another OUT"):
        translate_folder(source, tmp_path / "out", model=red)
    assert snapshot(tmp_path / "out") == before
    assert not (tmp_path / "out/.nirgen").exists()


def test_someone_elses_manifest_is_not_replaced_even_by_redo(tmp_path, source, red):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_bytes(b"mine")
    with pytest.raises(OutputError, match="is damaged or no manifest"):
        translate_folder(source, tmp_path / "out", model=red, run=RunOptions(redo=True))
    assert snapshot(tmp_path / "out") == {NAME: b"mine"}


@pytest.mark.parametrize("out", ["file", "file/out", "/proc/nirgen/out", "/dev/null"])
def test_an_output_folder_that_cannot_be_is_one_line(tmp_path, source, red, out):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"^OUT '.*use another OUT$") as caught:
        translate_folder(source, tmp_path / out, model=red)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_folder_of_a_running_run_is_refused(tmp_path, source, red):
    (tmp_path / "out").mkdir()
    with Journal(tmp_path / "out"), pytest.raises(OutputError, match="another run is writing"):
        translate_folder(source, tmp_path / "out", model=red)


def bad_sources(folder, save):
    """One source for each way to be bad, and what its row says."""
    save(folder / "truncated.jpg", 64, 64)
    data = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    header = b"BM" + b"\0" * 8 + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    header += (60_000).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + b"\0" * 24
    (folder / "bomb.bmp").write_bytes(header)
    return {
        "truncated.jpg": "'truncated.jpg' is damaged (",
        "empty.jpg": "'empty.jpg' is empty (0 bytes); copy it again or remove it",
        "text.jpg": "'text.jpg' is no JPEG, PNG, TIFF, WebP, BMP, GIF, AVIF, HEIC, JPEG 2000, JPEG XL or PNM image",
        "loop.jpg": "'loop.jpg' can't be read: Too many levels of symbolic links; mend or remove it",
        "dangling.jpg": "'dangling.jpg' can't be read: No such file or directory; mend or remove it",
        "pipe.jpg": "'pipe.jpg' is not a regular file; remove it",
        "bomb.bmp": "'bomb.bmp' is 60000x60000 by its header, over the limit of 100000000 pixels; raise the limit",
    }


def test_every_bad_image_is_a_row_with_its_error(tmp_path, source, save, red):
    messages = bad_sources(source, save)
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.translated, summary.failed, summary.exit_code) == (12, len(messages), 3)
    failed = {name: row for name, row in rows(tmp_path / "out").items() if row.status == "failed"}
    assert failed.keys() == messages.keys()
    for name, message in messages.items():
        assert failed[name].error.startswith(message)
        assert "\n" not in failed[name].error
        assert str(tmp_path) not in failed[name].error
        assert failed[name].output is None
    assert len([name for name in snapshot(tmp_path / "out") if name != NAME]) == 12


def test_failed_sources_are_tried_again(tmp_path, source, save, red):
    (source / "z.png").touch()
    assert translate_folder(source, tmp_path / "out", model=red).exit_code == 3
    before = snapshot(tmp_path / "out")
    assert translate_folder(source, tmp_path / "out", model=red).exit_code == 3
    assert snapshot(tmp_path / "out") == before
    save(source / "z.png")
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.translated, summary.unchanged, summary.exit_code) == (1, 12, 0)


def test_a_run_can_stop_at_the_first_error_and_be_taken_up(tmp_path, source, save, red):
    (source / "b/02.png").touch()
    with pytest.raises(ImageError, match=r"'b/02\.png' is empty .* \(stopped there; 5 of 13 were translated\)"):
        translate_folder(source, tmp_path / "out", model=red, run=RunOptions(on_error="stop"))
    (source / "b/02.png").unlink()
    assert translate_folder(source, tmp_path / "out", model=red).exit_code == 0
    translate_folder(source, tmp_path / "fresh", model=red)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (17, 1)])
def test_odd_sizes_come_back_as_they_were(tmp_path, save, red, photo, size):
    save(tmp_path / "src/a.png", *size)
    translate_folder(tmp_path / "src", tmp_path / "out", model=red)
    assert np.array_equal(images.read(tmp_path / "out/a.png")[..., 0], photo(*size)[..., 0])


NAMES = ["with space", "caf\u00e9 \u8d64\u5916", "new\nline", "n" * 246, "-dash", "*?[x]", "quote'\"", "back\\slash"]


def test_every_name_derives_from_its_source(tmp_path, save, red):
    for name in NAMES:
        save(tmp_path / f"src/{name}.jpg")
    assert translate_folder(tmp_path / "src", tmp_path / "out", model=red).exit_code == 0
    assert {row.output for row in rows(tmp_path / "out").values()} == {f"{name}.png" for name in NAMES}
    assert all((tmp_path / f"out/{name}.png").is_file() for name in NAMES)
    assert translate_folder(tmp_path / "src", tmp_path / "out", model=red).unchanged == len(NAMES)


def test_a_name_that_is_not_utf8_is_a_failed_row(tmp_path, source, save, red):
    save(source / "x.jpg")
    (source / "x.jpg").rename(source / os.fsdecode(b"caf\xe9.jpg"))
    assert translate_folder(source, tmp_path / "out", model=red).failed == 1
    assert "is not UTF-8" in rows(tmp_path / "out")[r"caf\udce9.jpg"].error


@pytest.mark.parametrize(
    ("options", "mode", "ending"),
    [
        (TranslateOptions(), "L", "png"),
        (TranslateOptions(channels=3), "RGB", "png"),
        (TranslateOptions(bit_depth=16), "I;16", "png"),
        (TranslateOptions(bit_depth=16, format="tif"), "I;16", "tif"),
        (TranslateOptions(format="jpg"), "L", "jpg"),
        (TranslateOptions(format="jpg", channels=3), "RGB", "jpg"),
    ],
)
def test_outputs_have_the_format_that_was_asked_for(tmp_path, source, red, options, mode, ending):
    translate_folder(source, tmp_path / "out", model=red, options=options)
    with Image.open(tmp_path / f"out/a/00.{ending}") as image:
        assert (image.mode, image.size) == (mode, (30, 20))


def test_a_size_resizes_every_output(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red, options=TranslateOptions(size=(24, 40)))
    row = rows(tmp_path / "out")["a/00.png"]
    assert (row.source_height, row.source_width, row.height, row.width) == (20, 30, 24, 40)
    assert {(row.height, row.width) for row in rows(tmp_path / "out").values()} == {(24, 40)}


def test_an_image_that_memory_does_not_suffice_for_is_a_failed_row(tmp_path, source, save, red_type):
    class Small(red_type):
        def translate(self, rgb, sizes):
            if rgb.numel() > 3 * 24 * 32:
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes.")
            return super().translate(rgb, sizes)

    save(source / "huge.png", 100, 100)
    summary = translate_folder(source, tmp_path / "out", model=Small(), run=RunOptions(batch_size=4))
    assert (summary.translated, summary.failed) == (12, 1)
    assert rows(tmp_path / "out")["huge.png"].error.startswith("'huge.png': there is not enough memory for an image")


def test_a_size_that_the_model_refuses_is_a_failed_row(tmp_path, source, red_type):
    class Picky(red_type):
        def translate(self, rgb, sizes):
            if (8, 8) in sizes:
                raise ShapeError("8x8 is too small; 16x16 is the least")
            return super().translate(rgb, sizes)

    summary = translate_folder(source, tmp_path / "out", model=Picky())
    assert (summary.translated, summary.failed) == (8, 4)
    assert summary.failures[0][1] == "'b/04.png': 8x8 is too small; 16x16 is the least"


def test_values_that_are_not_numbers_are_a_failed_row(tmp_path, save, red_type):
    save(tmp_path / "src/a.png")
    summary = translate_folder(tmp_path / "src", tmp_path / "out", model=red_type(gain=float("nan")))
    assert summary.failures == (("a.png", "'a.png': the model gave values that are not numbers"),)


def test_a_bug_in_a_model_keeps_its_traceback(tmp_path, source, red_type):
    class Broken(red_type):
        def translate(self, rgb, sizes):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        translate_folder(source, tmp_path / "out", model=Broken())


def test_looking_ahead_tells_what_would_be_done_and_writes_nothing(tmp_path, source, save, red):
    states = look_ahead(Request(source, tmp_path / "out", LocalEngine(None), red))
    assert {state for _, state in states} == {"new"}
    assert not (tmp_path / "out").exists()
    (source / "a/empty.png").touch()
    translate_folder(source, tmp_path / "out", model=red)
    save(source / "a/00.png", seed=50)
    save(source / "b/04.jpg")
    (tmp_path / "out/c/05.png").unlink()
    before = snapshot(tmp_path / "out")
    states = look_ahead(Request(source, tmp_path / "out", LocalEngine(None), red))
    assert {item.source: state for item, state in states if state != "done"} == {
        "a/00.png": "changed",
        "a/empty.png": "retry",
        "b/04.jpg": "new",
        "b/04.png": "renamed",
        "c/05.png": "missing",
    }
    assert snapshot(tmp_path / "out") == before


def test_run_json_tells_where_and_when(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert (run["schema"], run["state"], run["source"]) == (1, "ended", str(source))
    assert run["summary"]["translated"] == 12
    assert {"started", "seconds", "host", "device", "model_id", "options", "run_options"} <= run.keys()


def interrupt_after(count):
    def report(stage, done, _total):
        if stage == "translate" and done == count:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("count", [1, 5, 12])
def test_an_interrupted_run_is_taken_up(tmp_path, source, red, count):
    with pytest.raises(KeyboardInterrupt):
        translate_folder(source, tmp_path / "out", model=red, progress=interrupt_after(count))
    assert len(list(read_journal(tmp_path / "out"))) == count
    summary = translate_folder(source, tmp_path / "out", model=red)
    assert (summary.translated, summary.unchanged) == (12 - count, count)
    translate_folder(source, tmp_path / "fresh", model=red)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_a_run_killed_between_manifest_and_journal_has_nothing_to_do(tmp_path, source, red):
    with pytest.raises(KeyboardInterrupt):
        translate_folder(source, tmp_path / "out", model=red, progress=interrupt_after(12))
    journal = journal_path(tmp_path / "out").read_bytes()
    translate_folder(source, tmp_path / "out", model=red)
    before = snapshot(tmp_path / "out")
    journal_path(tmp_path / "out").write_bytes(journal)
    assert translate_folder(source, tmp_path / "out", model=red).unchanged == 12
    assert snapshot(tmp_path / "out") == before
    assert not journal_path(tmp_path / "out").exists()


def test_temporary_files_of_killed_runs_are_removed(tmp_path, source, red):
    translate_folder(source, tmp_path / "out", model=red)
    (tmp_path / "out/a/.nirgen-0123abcd.tmp").write_bytes(b"half an image")
    translate_folder(source, tmp_path / "out", model=red)
    assert not list((tmp_path / "out").rglob("*.tmp"))


SLOW_RUN = """
import resource, sys, time
from nirgen.translate.options import RunOptions
from nirgen.translate.run import translate_folder

class Slow:
    id, stride, header = "5" * 64, 8, {}
    def translate(self, rgb, sizes):
        time.sleep(0.02)
        return rgb[:, :1].float() / 255

if sys.argv[3:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
translate_folder(sys.argv[1], sys.argv[2], model=Slow(), run=RunOptions(workers=2))
"""


def start_slow_run(source, out, *limit):
    return subprocess.Popen([sys.executable, "-c", SLOW_RUN, source, out, *limit], stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def test_runs_that_are_killed_end_with_the_bytes_of_an_undisturbed_one(tmp_path, save):
    for number in range(40):
        save(tmp_path / f"src/{number % 3}/{number}.png", 64, 64 + number, seed=number)
    (tmp_path / "src/bad.png").write_bytes(b"bad")
    assert finish(start_slow_run(tmp_path / "src", tmp_path / "undisturbed")) == (0, "")
    for lines in (3, 15, 30):
        process = start_slow_run(tmp_path / "src", tmp_path / "out")
        while len(list(read_journal(tmp_path / "out"))) < lines and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        assert finish(process)[0] == -signal.SIGKILL
        assert not (tmp_path / "out" / NAME).exists()
    assert finish(start_slow_run(tmp_path / "src", tmp_path / "out")) == (0, "")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "undisturbed")
    assert len(snapshot(tmp_path / "out")) == 41


def test_a_disk_that_takes_no_more_stops_the_run_with_one_line(tmp_path, save):
    """A limit on the size of files stands in for a full disk."""
    for number in range(6):
        save(tmp_path / f"src/{number}.png", 16, 16 if number < 4 else 400, seed=number)
    code, errors = finish(start_slow_run(tmp_path / "src", tmp_path / "out", "4000"))
    assert code == 1
    last = errors.strip().splitlines()[-1]
    assert last.endswith("/4.png' can't be written: File too large; what is done stays, mend this and run again")
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert finish(start_slow_run(tmp_path / "src", tmp_path / "out")) == (0, "")
    shutil.copytree(tmp_path / "src", tmp_path / "copy")
    assert finish(start_slow_run(tmp_path / "copy", tmp_path / "fresh")) == (0, "")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")
