from __future__ import annotations

import os

import pytest

from nirgen.errors import NirgenError, OutputError
from nirgen.translate.manifest import Manifest, write_manifest
from nirgen.translate.plan import make_plan


def names(plan):
    return [(item.source, item.output) for item in plan]


def test_a_folder_is_listed_recursively_and_in_order(tmp_path, save):
    for name in ["b/z.jpg", "b/a.png", "a.bmp", "B.JPG", "c.webp", "d.TIFF"]:
        save(tmp_path / "src" / name)
    assert names(make_plan(tmp_path / "src", tmp_path / "out", ".png")) == [
        ("B.JPG", "B.png"),
        ("a.bmp", "a.png"),
        ("b/a.png", "b/a.png"),
        ("b/z.jpg", "b/z.png"),
        ("c.webp", "c.png"),
        ("d.TIFF", "d.png"),
    ]


def test_other_and_hidden_files_are_counted(tmp_path, save):
    save(tmp_path / "src/a.jpg")
    save(tmp_path / "src/.hidden.jpg")
    save(tmp_path / "src/.cache/b.jpg")
    (tmp_path / "src/labels.json").write_text("{}")
    plan = make_plan(tmp_path / "src", tmp_path / "out", ".png")
    tally = plan.survey().tally
    assert (len(list(plan)), tally.other_files, tally.hidden) == (1, 1, 2)


def test_a_single_file_is_named_as_in_its_folder(tmp_path, save):
    save(tmp_path / "src/a.jpg")
    plan = make_plan(tmp_path / "src/a.jpg", tmp_path / "src/out", ".tif")
    assert plan.root == tmp_path / "src"
    assert names(plan) == [("a.jpg", "a.tif")]


def test_a_listing_is_relative_to_its_own_folder(tmp_path, save):
    save(tmp_path / "src/sub/a.jpg")
    save(tmp_path / "src/b c.jpg")
    (tmp_path / "src/list.txt").write_bytes(b"sub/a.jpg\r\n\nb c.jpg\nsub/../b c.jpg\n")
    plan = make_plan(None, tmp_path / "out", ".png", listing=tmp_path / "src/list.txt")
    assert names(plan) == [("b c.jpg", "b c.png"), ("sub/a.jpg", "sub/a.png")]


def test_a_listing_is_relative_to_the_source_folder_where_one_is_given(tmp_path, save):
    save(tmp_path / "src/sub/a.jpg")
    (tmp_path / "list.txt").write_text(f"a.jpg\n{tmp_path}/src/sub/b.jpg\n")
    plan = make_plan(tmp_path / "src/sub", tmp_path / "out", ".png", listing=tmp_path / "list.txt")
    assert names(plan) == [("a.jpg", "a.png"), ("b.jpg", "b.png")]


def test_a_listed_path_outside_the_folder_is_refused(tmp_path, save):
    save(tmp_path / "src/a.jpg")
    (tmp_path / "src/list.txt").write_text("../b.jpg\n")
    with pytest.raises(
        NirgenError, match=r"'\.\./b\.jpg' in .* is not in .*; give the folder that has all of them as SRC"
    ):
        make_plan(None, tmp_path / "out", ".png", listing=tmp_path / "src/list.txt")


def test_an_image_given_as_a_listing_is_refused(tmp_path, save):
    save(tmp_path / "src/a.png")
    with pytest.raises(NirgenError, match="is not a text file with one path a line"):
        make_plan(None, tmp_path / "out", ".png", listing=tmp_path / "src/a.png")


def test_a_missing_listing_is_named(tmp_path):
    with pytest.raises(NirgenError, match=r"list\.txt' can't be read \(No such file"):
        make_plan(None, tmp_path / "out", ".png", listing=tmp_path / "list.txt")


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/notes.txt").touch()
    with pytest.raises(NirgenError, match=r"no images in .*src' \(1 \.txt, 0 hidden\); known endings: \.apng \.avif"):
        make_plan(tmp_path / "src", tmp_path / "out", ".png")


def test_a_missing_source_is_named_with_the_nearest(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(NirgenError, match=r"imagse' does not exist; did you mean 'images'\?"):
        make_plan(tmp_path / "imagse", tmp_path / "out", ".png")


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("src", "src/out", "lies inside SRC .*; use a folder outside of it"),
        ("src", "src", "is SRC itself; use another folder"),
        ("src", "src/../src", "is SRC itself"),
        ("src", ".", "lies inside OUT .*; use another OUT"),
        ("src", "link/out", "lies inside SRC"),
        ("src/a.jpg", "src", "the sources in .* lie inside OUT"),
    ],
)
def test_overlapping_folders_are_refused(tmp_path, save, source, out, message):
    save(tmp_path / "src/a.jpg")
    (tmp_path / "link").symlink_to("src")
    with pytest.raises(OutputError, match=message):
        make_plan(tmp_path / source, tmp_path / out, ".png")


def test_a_link_from_the_sources_into_the_output_is_refused(tmp_path, save):
    save(tmp_path / "src/a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "src/sub").symlink_to(tmp_path / "out")
    with pytest.raises(OutputError, match="a link at 'sub' leads from the sources into OUT"):
        make_plan(tmp_path / "src", tmp_path / "out", ".png")


@pytest.mark.parametrize("mark", [".nirgen", "manifest.parquet"])
@pytest.mark.parametrize("way", ["folder", "list", "file"])
def test_a_translation_folder_among_the_sources_is_refused(tmp_path, save, mark, way):
    save(tmp_path / "src/sub/deep/a.png")
    if mark == ".nirgen":
        (tmp_path / "src/sub/.nirgen").mkdir()
    else:
        write_manifest(tmp_path / "src/sub", Manifest((), "1", {}, {}))
    (tmp_path / "list.txt").write_text("src/sub/deep/a.png\n")
    source, listing = {
        "folder": (tmp_path / "src", None),
        "list": (None, tmp_path / "list.txt"),
        "file": (tmp_path / "src/sub/b.png", None),
    }[way]
    save(tmp_path / "src/sub/b.png")
    with pytest.raises(OutputError, match=r"src/sub' is a translation folder, .*; move it out of the sources"):
        make_plan(source, tmp_path / "out", ".png", listing=listing)


def test_someone_elses_manifest_beside_the_sources_is_another_file(tmp_path, save):
    save(tmp_path / "src/a.png")
    (tmp_path / "src/manifest.parquet").write_bytes(b"PAR1 of someone else's")
    assert make_plan(tmp_path / "src", tmp_path / "out", ".png").survey().tally.other_files == 1


def test_links_are_followed_and_loops_are_not(tmp_path, save):
    save(tmp_path / "elsewhere/b.jpg")
    save(tmp_path / "src/sub/a.jpg")
    (tmp_path / "src/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "src/sub/up").symlink_to(tmp_path / "src")
    (tmp_path / "elsewhere/round").symlink_to(tmp_path / "src")
    plan = make_plan(tmp_path / "src", tmp_path / "out", ".png")
    assert [item.source for item in plan] == ["linked/b.jpg", "sub/a.jpg"]
    assert plan.survey().tally.loops == ["linked/round", "sub/up"]


def test_a_link_to_itself_is_a_source_that_will_fail(tmp_path, save):
    save(tmp_path / "src/a.jpg")
    (tmp_path / "src/self.jpg").symlink_to("self.jpg")
    plan = make_plan(tmp_path / "src", tmp_path / "out", ".png")
    assert [item.source for item in plan] == ["a.jpg", "self.jpg"]


def test_an_output_name_over_the_limit_is_a_problem_of_that_source(tmp_path, save):
    long = "n" * 247
    save(tmp_path / f"src/{long}.jpg")
    save(tmp_path / f"src/{long}.bmp")
    save(tmp_path / "src" / ("m" * 246 + ".bmp"))
    plan = make_plan(tmp_path / "src", tmp_path / "out", ".png")
    assert [item.problem for item in plan] == ["", "", ""]
    assert [len(item.output) for item in plan] == [250, 255, 255]
    save(tmp_path / "src" / ("o" * 251 + ".bmp"))
    save(tmp_path / "src" / ("o" * 251 + ".jpg"))
    plan = make_plan(tmp_path / "src", tmp_path / "out", ".png")
    assert list(plan)[-1].problem.endswith("gives an output name of 259 bytes, over the limit of 255; rename it")


def test_a_name_that_is_not_utf8_is_a_problem_of_that_source(tmp_path, save):
    save(tmp_path / "src/a.jpg")
    (tmp_path / "src/a.jpg").rename(tmp_path / "src" / os.fsdecode(b"caf\xe9.jpg"))
    (item,) = make_plan(tmp_path / "src", tmp_path / "out", ".png")
    assert item.source == r"caf\udce9.jpg"
    assert item.problem == r"'caf\udce9.jpg' has a name that is not UTF-8; rename it"
