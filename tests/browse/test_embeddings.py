"""Features of images: computed once, and shown in FiftyOne's panels, fields and views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from nirgen.browse.neighbours import NEIGHBOURS, covered, duplicates, normalized, outliers
from nirgen.curation import Decision, write_decisions
from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

_SIZE = 64


def _circles() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:_SIZE, :_SIZE]
    return (127 + 127 * np.sin(np.hypot(rows - 32, columns - 32))).astype(np.uint8)


def _steps() -> NDArray[np.uint8]:
    return np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16, 16, axis=0), 16, axis=1)


@pytest.fixture
def translated(tmp_path: Path, red: Any) -> Path:
    """A translation of three photos: circles, the same ones a bit brighter, and steps."""
    (tmp_path / "photos").mkdir()
    pixels = {"a.png": _circles(), "b.png": np.minimum(_circles(), 250) + 3, "c.png": _steps()}
    for name, grey in pixels.items():
        Image.fromarray(np.stack([grey, grey // 2, grey // 3], axis=2)).save(tmp_path / "photos" / name)
    translate_folder(tmp_path / "photos", tmp_path / "nir", model=red)
    return tmp_path / "nir"


def test_near_duplicates_are_named_and_the_panels_filled(
    nirgen: Callable[..., tuple[int, str, str]], fo: Any, translated: Path, name: str
) -> None:
    command = ("browse", translated, "--embeddings", "--no-launch", "--no-scores", "--name", name)
    code, said, _ = nirgen(*command)
    found = "near-duplicates: 1; outliers: 0 (saved views, and the App's panel Embeddings)\n"
    assert (code, said) == (0, f"{name}: 3 images, 6 samples with RGB; 6 added\n{found}")
    dataset = fo.load_dataset(name)
    nir = dataset.select_group_slices("nir")
    assert nir.values("duplicate_of") == [None, "nir/a.png", None]
    assert nir.values("nearest") == ["nir/b.png", "nir/a.png", nir.values("nearest")[2]]
    assert dataset.load_saved_view("near-duplicates").values("key") == ["nir/b.png"]
    everything = dataset.load_saved_view("all slices")
    assert len(everything) == 6
    assert sorted(dataset.load_brain_results("embeddings").sample_ids) == sorted(everything.values("id"))
    first = nir.first()
    similar = nir.sort_by_similarity(first.id, brain_key="similarity", k=2)
    assert similar.values("key") == ["nir/a.png", "nir/b.png"]

    kept = translated / "embeddings.parquet"
    before = kept.read_bytes()
    assert nirgen(*command)[1] == f"{name}: 3 images, 6 samples with RGB; nothing has changed\n{found}"
    kept.write_bytes(before[:-200])  # damaged
    nirgen(*command)
    assert kept.read_bytes() == before


def test_known_features_are_not_computed_again_and_a_file_that_cannot_be_read_is_named(
    nirgen: Callable[..., tuple[int, str, str]], fo: Any, translated: Path, name: str
) -> None:
    command = ("browse", translated, "--embeddings", "--no-launch", "--no-scores")
    (translated / "c.png").write_bytes(b"no image")
    code, said, warned = nirgen(*command, "--name", name)
    assert (code, said.splitlines()[1][:18]) == (0, "near-duplicates: 1")
    assert "warning: 1 image can't be read, such as nir/c.png\n" in warned
    for photo in (translated.parent / "photos").iterdir():
        photo.unlink()
    for generated in translated.glob("[ab].png"):
        generated.write_bytes(b"no image either")
    code, said, warned = nirgen(*command, "--name", f"{name}-again")
    assert (code, said.splitlines()[1][:18]) == (0, "near-duplicates: 1")
    assert "warning: 1 image can't be read, such as nir/c.png\n" in warned


def test_embeddings_of_an_earlier_state_are_told(
    nirgen: Callable[..., tuple[int, str, str]],
    fo: Any,
    dataset_folder: Callable[..., Path],
    name: str,
    tmp_path: Path,
) -> None:
    folder = dataset_folder("D")
    command = ("browse", folder, "--no-launch", "--no-scores", "--name", name)
    assert nirgen(*command, "--embeddings")[0] == 0
    assert "earlier state" not in nirgen(*command)[1]
    write_decisions(tmp_path / "curation.jsonl", [Decision("bdd/a.jpg", "reject", author="ben")])
    dataset_folder("D", curation=tmp_path / "curation.jsonl")
    assert (folder / "embeddings.parquet").is_file()
    assert "its embeddings are of an earlier state; --embeddings updates them\n" in nirgen(*command)[1]
    nirgen(*command, "--embeddings")
    assert "earlier state" not in nirgen(*command)[1]


def _unit(*degrees: float) -> NDArray[np.float32]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_of_a_slow_recording_an_image_is_kept_whenever_the_scene_has_changed_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = _unit(0, 8, 16, 24, 32, 90)  # 18.2 degrees are the distance 0.05
    expected = [-1, 0, 0, -1, 3, -1]
    assert duplicates(recording).tolist() == expected
    monkeypatch.setattr("nirgen.browse.neighbours._VALUES_AT_ONCE", 6)  # a row at once
    assert duplicates(recording).tolist() == expected


def test_a_real_image_is_covered_by_a_generated_one_that_is_as_near_as_its_fifth_neighbour() -> None:
    assert NEIGHBOURS == 5
    real = _unit(0, 1, 2, 3, 4, 5, 6, 90)
    within = covered(real, _unit(9))
    assert within is not None
    # from 0 the fifth neighbour is 5 degrees away and the generated image 9; from 6, 5 and 3; from 90, 88 and 81
    assert within.tolist() == [False, False, False, False, False, True, True, True]
    assert covered(real, np.zeros((0, 2), np.float32)) is None
    assert covered(real[:7], _unit(9)) is None


def test_few_images_have_no_outliers_and_zeros_stay_zeros() -> None:
    assert not outliers(np.array([1, 1, 1, 99], np.float32)).any()
    assert (
        normalized(np.array([[0, 0], [3, 4]], np.float32)).round(1).tolist()
        == np.float32([[0, 0], [0.6, 0.8]]).tolist()
    )
