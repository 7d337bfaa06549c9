from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy import ndimage

from nirgen.collection import open_collection
from nirgen.errors import NirgenError
from nirgen.scores import BOX_SCORES, Scores, score
from nirgen.scores.measures import measure
from nirgen.scores.table import finish, is_outdated, measured_rows, read_table, to_rows, write_scores
from nirgen.scores.trouble import IMAGE_SCORES
from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.collection import Collection


ROOF = (240.0, 200.0, 120.0, 80.0)


@pytest.fixture
def rows(make_item, scene, near_infrared):
    items = [
        make_item(near_infrared, scene, ROOF, (0, 0, 5, 5), key="bdd/b.jpg"),
        make_item(near_infrared, None, key="bdd/a.jpg"),
    ]
    return to_rows([(item, measure(item)) for item in items])


def test_scores_are_sorted_by_key_with_all_names(rows) -> None:
    table = finish(rows)
    assert table["key"].to_pylist() == ["bdd/a.jpg", "bdd/b.jpg"]
    assert set(IMAGE_SCORES) < set(table.column_names)
    assert table["structure"].to_pylist()[0] is None
    box, small = table["boxes"].to_pylist()[1]
    assert (box["key"], box["tags"]) == ("bdd/b.jpg#0", [])
    assert 0 <= box["trouble"] < 0.3
    assert (small["trouble"], small["fidelity"], small["tags"]) == (None, None, [])


def test_what_was_measured_comes_back_from_the_file(rows, tmp_path) -> None:
    write_scores(tmp_path, finish(rows))
    assert measured_rows(read_table(tmp_path)).sort_by("key").equals(rows.sort_by("key").combine_chunks())


def test_no_flipped_bit_is_read_as_another_score(rows, tmp_path) -> None:
    write_scores(tmp_path, finish(rows))
    whole, chance = (tmp_path / "scores.parquet").read_bytes(), random.Random(0)
    table = read_table(tmp_path)
    read = 0
    for _ in range(300):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (tmp_path / "scores.parquet").write_bytes(data)
        found = read_table(tmp_path)
        assert found is None or found.equals(table)
        read += found is not None
    assert read < 30  # the bits of the mark itself


def test_finishing_again_changes_nothing(rows) -> None:
    table = finish(rows)
    assert finish(measured_rows(table)).equals(table)


def test_no_rows_have_scores_as_well(rows) -> None:
    assert finish(rows.slice(0, 0)).num_rows == 0


def test_a_file_that_is_damaged_or_of_another_schema_is_as_if_it_were_not_there(rows, tmp_path) -> None:
    assert read_table(tmp_path) is None
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 no")
    assert read_table(tmp_path) is None
    assert not is_outdated(tmp_path)
    pq.write_table(finish(rows).replace_schema_metadata({"nirgen.schema": "99"}), tmp_path / "scores.parquet")
    assert read_table(tmp_path) is None
    assert is_outdated(tmp_path)
    write_scores(tmp_path, finish(rows))
    assert not is_outdated(tmp_path)


@pytest.fixture
def translation(tmp_path, scene, red) -> Path:
    """Nine crops of a photograph, translated."""
    (tmp_path / "rgb").mkdir()
    for number in range(9):
        crop = scene[40 * (number // 3) :, 60 * (number % 3) :][:256, :320]
        Image.fromarray(crop).save(tmp_path / f"rgb/{number}.png")
    translate_folder(tmp_path / "rgb", tmp_path / "nir", model=red)
    return tmp_path / "nir"


@dataclass
class Watched:
    """Calls of a report."""

    calls: list[tuple[str, int, int]] = field(default_factory=list)
    stop_at: int = -1

    def __call__(self, what: str, done: int, total: int) -> None:
        self.calls.append((what, done, total))
        if done == self.stop_at:
            raise KeyboardInterrupt


def test_all_images_are_scored_once_and_kept(translation) -> None:
    watched = Watched()
    collection = open_collection(translation)
    scores = score(collection, watched)
    assert scores.measured == 9
    assert watched.calls[-1] == ("score", 9, 9)
    content = (translation / "scores.parquet").read_bytes()
    again = score(open_collection(translation))
    assert again.measured == 0
    assert (translation / "scores.parquet").read_bytes() == content
    for item in collection.items():
        assert scores.of(item) == again.of(item) == Scores.read(translation).of(item)
        assert list(scores.of(item).image) == list(IMAGE_SCORES)


def test_threads_do_not_change_the_file(translation) -> None:
    score(open_collection(translation), workers=1)
    content = (translation / "scores.parquet").read_bytes()
    (translation / "scores.parquet").unlink()
    score(open_collection(translation), workers=4)
    assert (translation / "scores.parquet").read_bytes() == content


def test_only_what_changed_is_measured_again(translation, tmp_path, red, scene) -> None:
    score(open_collection(translation))
    Image.fromarray(scene[100:356, 100:420]).save(tmp_path / "rgb/4.png")
    (tmp_path / "rgb/8.png").unlink()
    translate_folder(tmp_path / "rgb", translation, model=red)
    scores = score(open_collection(translation))
    assert scores.measured == 1
    assert [key for key, _ in sorted(scores.worst_images())] == [f"nir/{number}.png" for number in range(8)]


def test_what_was_done_before_an_interruption_is_kept(translation) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(open_collection(translation), Watched(stop_at=4), workers=1)
    assert 4 <= len(Scores.read(translation).worst_images()) < 9
    scores = score(open_collection(translation))
    assert scores.measured <= 5
    assert len(scores.worst_images()) == 9


def test_an_interruption_does_not_cost_what_was_known(translation, tmp_path, red, scene) -> None:
    score(open_collection(translation))
    Image.fromarray(scene[100:356, 100:420]).save(tmp_path / "rgb/0.png")
    translate_folder(tmp_path / "rgb", translation, model=red)
    with pytest.raises(KeyboardInterrupt):
        score(open_collection(translation), Watched(stop_at=1), workers=1)
    assert score(open_collection(translation)).measured <= 1


def test_scores_beside_rgb_stay_when_rgb_is_gone(translation, tmp_path) -> None:
    before = score(open_collection(translation))
    shutil.move(tmp_path / "rgb", tmp_path / "photos")
    collection = open_collection(translation)
    after = score(collection)
    assert after.measured == 0
    item = next(iter(collection.items()))
    assert item.rgb is None
    assert after.of(item) == before.of(item)


def test_an_image_that_is_gone_is_null_with_a_note_and_tried_again(translation) -> None:
    lost = translation / "3.png"
    content = lost.read_bytes()
    lost.unlink()
    collection = open_collection(translation)
    item = list(collection.items())[3]
    scores = score(collection)
    assert scores.of(item).note == "NIR image missing"
    assert set(scores.of(item).image.values()) == {None}
    lost.write_bytes(content)
    assert score(collection).measured == 1
    assert Scores.read(translation).of(item).image["structure"] > 0.8


def test_the_worst_come_first(translation, tmp_path, red) -> None:
    spoiled = translation / "5.png"
    with Image.open(spoiled) as image:
        pixels = ndimage.gaussian_filter(np.asarray(image).astype(float), 3)
    Image.fromarray(pixels.astype(np.uint8)).save(spoiled)
    worst = score(open_collection(translation)).worst_images()
    assert worst[0][0] == "nir/5.png"
    assert worst == sorted(worst, key=lambda pair: (-pair[1], pair[0]))


def black_blot(pixels: np.ndarray) -> np.ndarray:
    pixels[100:124, 150:174] = 2
    return pixels


def blocks_of_8(pixels: np.ndarray) -> np.ndarray:
    return pixels + np.kron(np.random.default_rng(0).normal(0, 2, (32, 40)), np.ones((8, 8)))


def grey_for_black(pixels: np.ndarray) -> np.ndarray:
    return 50 + pixels * (205 / 255)


@pytest.mark.parametrize(("fault", "name"), [(black_blot, "blots"), (blocks_of_8, "blocks"), (grey_for_black, "lift")])
def test_a_planted_artefact_comes_first_by_its_own_score(translation, fault, name) -> None:
    spoiled = translation / "5.png"
    with Image.open(spoiled) as image:
        pixels = fault(np.asarray(image).astype(float))
    Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8)).save(spoiled)
    collection = open_collection(translation)
    scores = score(collection)
    assert scores.worst_images()[0][0] == "nir/5.png"
    values = {item.key: scores.of(item).image[name] for item in collection.items()}
    assert max(values, key=values.get) == "nir/5.png"


def test_images_that_were_never_scored_have_none(translation) -> None:
    item = next(iter(open_collection(translation).items()))
    scores = Scores.read(translation)
    assert set(scores.of(item).image.values()) == {None}
    assert scores.worst_images() == scores.worst_boxes() == []


@dataclass
class InMemory:
    """A collection of items that a test made."""

    folder: Path
    made: list

    @property
    def count(self) -> int:
        return len(self.made)

    def items(self):
        return iter(self.made)

    def check(self):
        """It is always there."""


def test_boxes_get_scores_by_their_keys_and_the_worst_is_the_erased_one(
    make_item, scene, near_infrared, tmp_path
) -> None:
    erased = near_infrared.copy()
    erased[200:280, 240:360] = 120
    items = [
        make_item(near_infrared, scene, ROOF, (20, 150, 60, 60), (0, 0, 5, 5), key="bdd/a.jpg"),
        make_item(erased, scene, ROOF, (20, 150, 60, 60), key="bdd/b.jpg"),
    ]
    collection: Collection = InMemory(tmp_path, items)
    scores = score(collection)
    assert scores.worst_boxes()[0][0] == "bdd/b.jpg#0"
    sound, other, small = scores.of(items[0]).boxes
    faulty, _ = scores.of(items[1]).boxes
    assert faulty.tags == ("vanished",)
    assert faulty.fidelity < 0.3 < sound.fidelity
    assert (small.fidelity, small.trouble, small.tags) == (None, None, ())
    assert other.tags == ()
    assert set(BOX_SCORES) == {"trouble", "fidelity"}


def test_a_folder_that_can_not_be_written_is_one_line(translation) -> None:
    (translation / "scores.parquet").mkdir()
    with pytest.raises(NirgenError, match=r"scores.parquet: a folder; name a file"):
        score(open_collection(translation))
