"""Names of sources, folder by folder."""

from __future__ import annotations

import os

import pytest

from nirgen.errors import ImageError, OutputError
from nirgen.translate.sources import Disk, Names, Tally, has_sources, refuse_translation
from nirgen.translate.url import Url


@pytest.fixture
def root(tmp_path):
    for name in (
        "b.PNG",
        "a.jpg",
        "notes.txt",
        ".hidden.png",
        "sub/c.webp",
        "sub/.git/d.png",
        "empty/e.txt",
        "e.png/f",
    ):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).touch()
    return tmp_path / "src"


def entries(tree, prefix=""):
    """The names in a folder, sorted, and what was left aside."""
    tally = Tally()
    files, folders = tree.entries(prefix, tally)
    return sorted(files), sorted(folders), tally


def test_a_folder_has_images_by_their_endings_and_folders(root):
    files, folders, tally = entries(Disk(root, None))
    assert (files, folders) == (["a.jpg", "b.PNG"], ["e.png", "empty", "sub"])
    assert tally == Tally(other_files=1, hidden=1)


def test_only_the_folder_that_is_asked_for_is_read(root):
    assert entries(Disk(root, None), "sub/") == (["c.webp"], [], Tally(hidden=1))


def test_a_folder_has_sources_if_one_below_it_has(root):
    tree = Disk(root, None)
    assert [has_sources(tree, prefix) for prefix in ("", "sub/", "empty/", "e.png/")] == [True, True, False, False]
    (root / "empty/deep/deeper").mkdir(parents=True)
    (root / "empty/deep/deeper/g.png").touch()
    assert has_sources(tree, "empty/")


def test_a_folder_that_is_gone_has_nothing(root):
    assert entries(Disk(root, None), "gone/") == ([], [], Tally())


def test_a_link_to_a_folder_above_is_told_and_not_followed(root):
    (root / "sub/up").symlink_to(root)
    (root / "sub/beside").symlink_to(root / "empty")
    tree = Disk(root, None)
    assert entries(tree, "sub/up/") == ([], [], Tally(loops=["sub/up"]))
    assert entries(tree, "sub/beside/") == ([], [], Tally(other_files=1))


def test_a_link_to_itself_is_a_file(root):
    (root / "x.png").symlink_to(root / "x.png")
    assert "x.png" in entries(Disk(root, None))[0]


def test_a_link_into_out_is_refused(root, tmp_path):
    (tmp_path / "out").mkdir()
    (root / "sub/nir").symlink_to(tmp_path / "out")
    with pytest.raises(OutputError, match="a link at 'sub/nir' leads from the sources into OUT"):
        entries(Disk(root, tmp_path / "out"), "sub/nir/")


def test_a_translation_folder_is_refused_where_it_is_met(root):
    (root / "sub/.nirgen").mkdir()
    tree = Disk(root, None)
    entries(tree)
    with pytest.raises(OutputError, match=r"sub/?' is a translation folder, and its images are NIR already; move it"):
        entries(tree, "sub/")


def test_a_manifest_of_somebody_else_makes_no_translation_folder(root):
    (root / "manifest.parquet").write_bytes(b"PAR1 of somebody else")
    refuse_translation(root)


def test_a_folder_that_cannot_be_listed_is_named(root):
    (root / "sub").chmod(0)
    try:
        if os.access(root / "sub", os.R_OK):
            pytest.skip("this user may list every folder")
        with pytest.raises(ImageError, match=r"the folder '.*sub/?' can't be listed \(Permission denied\)"):
            entries(Disk(root, None), "sub/")
    finally:
        (root / "sub").chmod(0o755)


def test_named_sources_have_the_folders_on_their_way(tmp_path):
    tree = Names(tmp_path, ["a/b/c.png", "d.png", "a/b/c.png", "a/e.png"], tmp_path / "../out")
    assert entries(tree) == (["d.png"], ["a"], Tally())
    assert entries(tree, "a/") == (["e.png"], ["b"], Tally())
    assert entries(tree, "a/b/") == (["c.png"], [], Tally())
    assert list(tree.folders()) == [tmp_path, tmp_path / "a", tmp_path / "a/b"]
    assert has_sources(tree, "a/b/")


def test_named_sources_in_out_are_refused(tmp_path):
    tree = Names(tmp_path, ["out/a.png"], tmp_path / "out")
    with pytest.raises(OutputError, match=r"the sources in '.*out/?' lie inside OUT '.*out'; use another OUT"):
        entries(tree, "out/")


def test_named_sources_may_be_in_a_store():
    tree = Names(Url("s3://bucket"), ["a/b.png"], Url("s3://bucket/nir"))
    assert list(tree.folders()) == [Url("s3://bucket"), Url("s3://bucket/a")]
    with pytest.raises(OutputError, match="'s3://bucket/nir/a' lie inside OUT 's3://bucket/nir'"):
        entries(Names(Url("s3://bucket"), ["nir/a/b.png"], Url("s3://bucket/nir")), "nir/a/")
