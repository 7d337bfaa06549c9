"""`nirgen translate` as a person meets it: arguments, output, exit codes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from nirgen import images
from nirgen.translate.journal import read_journal

# The command with a small translator in the place of models. Shells start background jobs deaf to Ctrl-C: the handler.
COMMAND = """
import signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)

class Red:
    id, stride, header = "5" * 64, 8, {}
    def translate(self, rgb, sizes):
        time.sleep(%f)
        return rgb[:, :1].float() / 255

from nirgen.translate import engines
engines.LocalEngine.describe = lambda self: Red()
from nirgen.cli import main
main()
"""


def start(*arguments, seconds_per_image=0.0):
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND % seconds_per_image, "translate", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments):
    process = start(*arguments)
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, re.sub(r"(?m)^(reading sources \.\.\.|next: .*)\n", "", errors)


@pytest.fixture
def source(tmp_path, save):
    for number in range(3):
        save(tmp_path / f"src/{number}.png", seed=number)
    return tmp_path / "src"


def test_a_folder_is_translated_and_what_was_done_is_printed(tmp_path, source):
    code, output, errors = run(source, tmp_path / "out")
    assert code == 0
    assert output.startswith("3 translated, 0 done already; ")
    assert output.endswith(f"wrote: {tmp_path}/out (images, manifest.parquet, preview.png)\n")
    assert "translate: 3/3" in errors
    assert "\r" not in errors


def test_a_bad_image_exits_3_with_its_error_and_a_count(tmp_path, source):
    (source / "a\nb.jpg").touch()
    code, output, errors = run(source, tmp_path / "out", "--quiet")
    assert (code, output) == (3, "")
    assert errors == (
        "failed: 'a\\nb.jpg' is empty (0 bytes); copy it again or remove it\n"
        "1 of 4 failed; the manifest has every error\n"
    )


def test_a_bad_image_can_stop_the_run(tmp_path, source):
    (source / "1.png").write_bytes(b"")
    code, _, errors = run(source, tmp_path / "out", "--on-error", "stop", "--quiet")
    assert code == 1
    assert errors.startswith("error: '1.png' is empty (0 bytes); copy it again or remove it (stopped there;")


def test_a_mistake_is_one_line_and_exits_1(tmp_path, source):
    code, output, errors = run(tmp_path / "scr", tmp_path / "out")
    assert (code, output) == (1, "")
    assert errors == f"error: '{tmp_path}/scr' does not exist; did you mean 'src'?\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["one"], ["a", "b", "out", "--list", "c"], ["a", "b", "--size", "12"], ["a", "b", "--format", "gif"]]
)
def test_wrong_usage_exits_2(arguments):
    code, _, errors = run(*arguments)
    assert code == 2
    assert errors.startswith("Usage: ")


def test_a_machine_gets_one_json_object(tmp_path, source):
    code, output, errors = run(source, tmp_path / "out", "--json")
    summary = json.loads(output)
    assert (code, errors) == (0, "")
    assert (summary["sources"], summary["translated"], summary["failed"], summary["exit_code"]) == (3, 3, 0, 0)


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, source, save):
    save(source / "0.jpg")
    code, output, _ = run(source, tmp_path / "out", "--dry-run")
    assert code == 0
    assert output.splitlines() == [
        "new      0.jpg -> 0.jpg.png",
        "new      0.png -> 0.png.png",
        "new      1.png -> 1.png",
        "new      2.png -> 2.png",
        "4 to translate, 0 done already; nothing was written",
    ]
    assert not (tmp_path / "out").exists()


def test_a_dry_run_tells_which_sources_will_fail_and_why(tmp_path, source):
    long = "n" * 252
    (source / "list.txt").write_text(f"0.png\n{long}.gif\n")
    arguments = ("--list", source / "list.txt", tmp_path / "out", "--format", "tif", "--dry-run")
    problem = f"'{long}.gif' gives an output name of 256 bytes, over the limit of 255; rename it"
    code, output, _ = run(*arguments)
    assert code == 0
    assert output.splitlines() == [
        "new      0.png -> 0.tif",
        f"fails    {problem}",
        "1 to translate, 0 done already, 1 will fail; nothing was written",
    ]
    _, output, _ = run(*arguments, "--json")
    assert [(item["state"], item["problem"]) for item in json.loads(output)["items"]] == [
        ("new", None),
        ("fails", problem),
    ]


def test_a_listing_needs_no_source(tmp_path, source):
    (source / "list.txt").write_text("2.png\n")
    assert run("--list", source / "list.txt", tmp_path / "out", "--quiet") == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["2.png", "preview.png"]


def test_options_reach_the_pixels(tmp_path, source):
    run(source, tmp_path / "out", "--format", "tif", "--channels", "3", "--size", "8x16", "--quiet")
    assert images.read(tmp_path / "out/0.tif").shape == (8, 16, 3)


def test_a_preview_shows_sources_beside_outputs(tmp_path, source, photo):
    code, output, _ = run(source, tmp_path / "out", "--preview", tmp_path / "look.png")
    assert code == 0
    assert output.endswith(f", {tmp_path}/look.png\n")
    assert not (tmp_path / "out/preview.png").exists()
    picture = images.read(tmp_path / "look.png")
    rgb = images.resize(photo(20, 30, seed=0), (320, 480))
    assert picture.shape[1] == 12 + 480 + 6 + 480 + 12
    assert np.array_equal(picture[36:356, 12:492], rgb)
    assert np.abs(picture[36:356, 498:978, 0].astype(int) - rgb[..., 0]).max() <= 1


@pytest.mark.parametrize("arguments", [["--no-preview"], ["--shard", "1/1"], ["--dry-run"]])
def test_shards_and_who_wants_none_get_no_preview(tmp_path, source, arguments):
    code, output, _ = run(source, tmp_path / "out", *arguments)
    assert (code, "preview.png" in output) == (0, False)
    assert not (tmp_path / "out/preview.png").exists()


def test_a_preview_that_another_file_is_in_the_place_of_is_told(tmp_path, source):
    run(source, tmp_path / "out", "--quiet", "--no-preview")
    (tmp_path / "out/preview.png").write_bytes(b"mine")
    code, output, errors = run(source, tmp_path / "out", "--quiet")
    assert (code, output) == (0, "")
    assert errors == (
        f"note: '{tmp_path}/out/preview.png' is no preview, so that none was written; --preview names another place\n"
    )
    assert (tmp_path / "out/preview.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("preview", "remedy"),
    [
        ("look.gif", "is written as PNG; give it a name that ends in .png"),
        ("nowhere/look.png", "does not exist; make it first"),
        ("src/folder.png", "is a folder; name a file"),
        ("out/0.png", "put it outside of it"),
    ],
)
def test_a_preview_that_cannot_be_written_is_refused_before_anything_is_translated(tmp_path, source, preview, remedy):
    (source / "folder.png").mkdir()
    code, output, errors = run(source, tmp_path / "out", "--preview", tmp_path / preview)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("error: the preview")
    assert errors.endswith(f"{remedy}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("one", [False, True])
def test_a_preview_never_takes_a_photos_place(tmp_path, source, one):
    before = (source / "2.png").read_bytes()
    code, _, errors = run(source / "2.png" if one else source, tmp_path / "out", "--preview", source / "2.png")
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.endswith("put it outside of it\n")
    assert (source / "2.png").read_bytes() == before


def test_a_preview_may_lie_beside_a_new_output_folder(tmp_path, source):
    code, _, errors = run(source, tmp_path / "new/out", "--preview", tmp_path / "new/look.png", "--quiet")
    assert (code, errors) == (0, "")
    assert (tmp_path / "new/look.png").exists()


def test_a_preview_shows_the_images_of_out_that_are_there(tmp_path, source):
    run(source, tmp_path / "out", "--quiet")
    (tmp_path / "out/0.png").unlink()
    code, output, errors = run(
        source / "2.png", tmp_path / "out", "--preview", tmp_path / "look.png", "--max-pixels", 600
    )
    assert (code, errors) == (0, "")
    assert "1 rows dropped because the output is missing or altered" in output
    assert output.splitlines()[-1].endswith(f"(images, manifest.parquet), {tmp_path}/look.png")
    assert images.read(tmp_path / "look.png").shape[0] == 12 + 24 + 2 * (320 + 24) + 6


def test_a_preview_with_nothing_to_show_leaves_the_summary_and_the_exit_code(tmp_path, source):
    code, output, errors = run(
        source, tmp_path / "out", "--preview", tmp_path / "look.png", "--max-pixels", 599, "--json"
    )
    assert (code, json.loads(output)["failed"]) == (3, 3)
    assert errors == f"warning: there is nothing to show side by side; '{tmp_path}/look.png' was not written\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_exits_130_and_is_taken_up(tmp_path, save, number):
    for name in range(30):
        save(tmp_path / f"src/{name:02}.png", seed=name)
    process = start(tmp_path / "src", tmp_path / "out", "--quiet", seconds_per_image=0.05)
    while len(list(read_journal(tmp_path / "out"))) < 3 and process.poll() is None:  # which ends by itself
        time.sleep(0.01)
    process.send_signal(number)
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (130, "")
    assert errors == "interrupted: what is done stays; run the same command again to go on\n"
    code, output, _ = run(tmp_path / "src", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(output)["unchanged"] >= 3


def test_a_profile_names_the_bottleneck(tmp_path, source):
    code, output, _ = run(source, tmp_path / "out", "--profile")
    assert code == 0
    stages = ["read", "decode", "model", "encode", "write"]
    rows = [line.strip(" │┃|") for line in output.splitlines()]
    assert [row.split()[0] for row in rows if row.startswith(tuple(stages))] == stages
    assert "bottleneck: " in output
    profile = json.loads((tmp_path / "out/run.json").read_text())["summary"]["profile"]
    assert {stage["name"]: stage["images"] for stage in profile["stages"]}["write"] == 3


def test_shards_and_tiles_that_are_none_are_refused(tmp_path, source):
    code, _, errors = run(source, tmp_path / "out", "--shard", "4/3")
    assert (code, errors) == (1, "error: shard '4/3' is not I/N with I from 1 to N, such as 3/8\n")
    assert run(source, tmp_path / "out", "--tile", "-1")[0] == 2
    assert not (tmp_path / "out").exists()


def test_what_is_left_aside_is_named_by_its_ending(tmp_path, source, save):
    for name in ("a.heix", "b.HEIX", "c.txt", "d"):
        (source / name).touch()
    (source / "@eaDir").mkdir()
    save(source / "@eaDir/thumb.jpg")
    save(source / "more.jfif.jpg").rename(source / "more.jfif")
    code, output, _ = run(source, tmp_path / "out", "--dry-run")
    named = "left aside: 2 .heix, 1 .txt, 1 folder @eaDir, 1 without ending"
    assert (code, output.splitlines()[-1]) == (0, f"4 to translate, 0 done already, {named}; nothing was written")
    planned = json.loads(run(source, tmp_path / "out", "--dry-run", "--json")[1])
    assert planned["left_aside"] == {".heix": 2, ".txt": 1, "folder @eaDir": 1, "without ending": 1}
    code, output, _ = run(source, tmp_path / "out")
    assert code == 0
    assert output.startswith(f"4 translated, 0 done already, {named}; ")
    assert "more.png" in [path.name for path in (tmp_path / "out").iterdir()]


def test_one_image_is_translated_to_the_file_that_is_named(tmp_path, source):
    target = tmp_path / "nir.tif"
    assert run(source / "0.png", target)[:2] == (0, f"{target}\n")
    assert images.header_of(target.read_bytes(), "nir.tif").codec == "TIFF"
    assert np.array_equal(images.read(target)[..., 0], images.read(source / "0.png")[..., 0])
    code, _, errors = run(source / "1.png", target)
    assert (code, errors) == (
        1,
        f"error: OUT '{target}' exists already; name another file, or replace it with --redo\n",
    )
    assert run(source / "1.png", target, "--redo")[0] == 0
    assert np.array_equal(images.read(target)[..., 0], images.read(source / "1.png")[..., 0])
    (source / "empty.jpg").touch()
    code, output, errors = run(source / "empty.jpg", tmp_path / "none.png")
    assert (code, output) == (3, "")
    assert errors == "failed: 'empty.jpg' is empty (0 bytes); copy it again or remove it\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nir.tif", "src"]


@pytest.mark.parametrize(
    ("sources", "out", "message"),
    [
        ("src", "nir.png", "OUT 'nir.png' is named as an image, and SRC 'src' is no image file; name a folder as OUT"),
        (
            "src/0.png",
            "nir.webp",
            "OUT 'nir.webp': images are written as png, jpg or tif; give it one of these endings",
        ),
        (
            "src/0.png src/1.png",
            "src/2.png",
            "OUT 'src/2.png' is named as an image, and there are several sources; give a folder as the last path",
        ),
        ("src/0.png", "gone/nir.png", "the folder 'gone' of OUT does not exist; make it first"),
        ("src/0.png src", "out", "'src' is a folder; give one folder, or image files alone, and then OUT"),
        ("src/*.jpg", "out", "no file matches 'src/*.jpg'; name a folder or image files"),
    ],
)
def test_paths_that_do_not_go_together_are_refused(tmp_path, source, monkeypatch, sources, out, message):
    monkeypatch.chdir(tmp_path)
    code, output, errors = run(*sources.split(), out)
    assert (code, output, errors) == (1, "", f"error: {message}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["src"]


def test_several_images_and_quoted_patterns_are_sources(tmp_path, source):
    code, output, _ = run(source / "0.png", source / "2.png", tmp_path / "out")
    assert (code, output[:25]) == (0, "2 translated, 0 done alre")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["0.png", "2.png", "preview.png"]
    code, output, _ = run(f"{source}/[01].png", tmp_path / "out")
    assert (code, output[:29]) == (0, "1 translated, 1 done already;")
