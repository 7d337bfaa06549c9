from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from nirgen.errors import OutputError
from nirgen.translate.manifest import NAME, read_manifest, write_manifest
from nirgen.translate.merge import merge_shards
from nirgen.translate.options import Shard, TranslateOptions
from nirgen.translate.run import translate_folder


@pytest.fixture
def source(tmp_path, save):
    for number in range(20):
        save(tmp_path / f"src/{number % 2}/{number:02}.png", seed=number)
    (tmp_path / "src/bad.png").touch()
    return tmp_path / "src"


@pytest.fixture
def parts(tmp_path, source, red):
    red.header = {**red.header, "training": {"pairs": [{"name": "01", "rgb_sha256": "1" * 64}], "steps": 7}}
    folders = [tmp_path / f"part{index}" for index in (1, 2, 3)]
    for index, folder in enumerate(folders, start=1):
        translate_folder(source, folder, model=red, shard=Shard(index, 3))
    return folders


def snapshot(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name != "run.json"
    }


def test_merged_shards_equal_a_run_of_the_whole_byte_for_byte(tmp_path, source, parts, red):
    translate_folder(source, tmp_path / "whole", model=red)
    merged = merge_shards(parts[::-1], tmp_path / "out")
    assert (merged.sources, merged.failed, merged.exit_code) == (21, 1, 3)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")
    assert translate_folder(source, tmp_path / "out", model=red).unchanged == 20


def test_shards_of_an_older_version_are_merged_with_newer_ones(tmp_path, source, parts, red, age_manifest):
    translate_folder(source, tmp_path / "whole", model=red)
    age_manifest(parts[0])
    age_manifest(parts[2])
    merge_shards(parts, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")
    assert "training_pairs.json" in snapshot(tmp_path / "out")


def test_a_shard_s_manifest_says_which_part_it_is_of_what(parts):
    shards = [read_manifest(part).shard for part in parts]
    assert [(shard["index"], shard["count"], shard["sources"]) for shard in shards] == [
        (1, 3, 21),
        (2, 3, 21),
        (3, 3, 21),
    ]
    assert len({shard["listing_sha256"] for shard in shards}) == 1


def test_another_shard_does_not_go_into_the_same_folder(source, parts, red):
    with pytest.raises(OutputError, match=r"was made with another shard \(1/3, now 2/3\); use another OUT"):
        translate_folder(source, parts[0], model=red, shard=Shard(2, 3))


def test_a_missing_shard_is_named(tmp_path, parts):
    with pytest.raises(OutputError, match=r"^shard 2/3 is missing; translate it, and give its folder as well$"):
        merge_shards([parts[0], parts[2]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_shard_given_twice_is_named(tmp_path, parts):
    with pytest.raises(OutputError, match=r"shard 1/3 was given twice"):
        merge_shards([*parts, parts[0]], tmp_path / "out")


def test_a_source_that_no_shard_has_is_named_where_the_sources_are_given(tmp_path, source, parts):
    manifest = read_manifest(parts[0])
    lost = manifest.rows[0].source
    (parts[0] / NAME).unlink()
    write_manifest(parts[0], replace(manifest, rows=manifest.rows[1:]))
    with pytest.raises(OutputError, match=rf"have 20 sources of the 21 that were listed \(missing: '{lost}'\)"):
        merge_shards(parts, tmp_path / "out", source=source)
    with pytest.raises(OutputError, match="--source SRC names what is missing"):
        merge_shards(parts, tmp_path / "out")


def test_a_source_that_two_shards_have_is_named(tmp_path, parts):
    first, second = map(read_manifest, parts[:2])
    doubled = first.rows[0]
    write_manifest(parts[1], replace(second, rows=(*second.rows, doubled)))
    with pytest.raises(OutputError, match=rf"'{doubled.source}' in more than one shard"):
        merge_shards(parts, tmp_path / "out")


def test_mixed_models_and_options_are_refused(tmp_path, source, parts, red, red_type):
    shutil.rmtree(parts[2])
    translate_folder(source, parts[2], model=red, shard=Shard(3, 3), options=TranslateOptions(channels=3))
    with pytest.raises(OutputError, match="was made with other options than"):
        merge_shards(parts, tmp_path / "out")
    shutil.rmtree(parts[2])
    translate_folder(source, parts[2], model=red_type("other", gain=0.5), shard=Shard(3, 3))
    with pytest.raises(OutputError, match="was made with another model than"):
        merge_shards(parts, tmp_path / "out")


def test_shards_of_different_listings_are_refused(tmp_path, source, save, parts, red):
    save(source / "later.png")
    shutil.rmtree(parts[2])
    translate_folder(source, parts[2], model=red, shard=Shard(3, 3))
    with pytest.raises(OutputError, match="was made with another listing of the sources than"):
        merge_shards(parts, tmp_path / "out")


def test_an_output_that_was_altered_is_named_and_the_merge_goes_on_later(tmp_path, source, parts, red):
    output = next(row.output for row in read_manifest(parts[2]).rows if row.output)
    before = (parts[2] / output).read_bytes()
    (parts[2] / output).write_bytes(b"altered")
    with pytest.raises(OutputError, match="is missing or altered; run that shard again, then merge"):
        merge_shards(parts, tmp_path / "out")
    (parts[2] / output).write_bytes(before)
    assert merge_shards(parts, tmp_path / "out").sources == 21
