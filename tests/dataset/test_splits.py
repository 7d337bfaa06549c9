from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.reading import Looked
from nirgen.dataset.real import RealImage
from nirgen.dataset.splits import assign_splits
from nirgen.errors import NirgenError
from nirgen.labels.file import LabelledImage
from nirgen.pairs import Pair

SHARES = {"train": 0.5, "val": 0.25, "test": 0.25}


def real(name: str, *, split: str | None = None, sequence: str | None = None, pair: Pair | None = None) -> RealImage:
    labels = LabelledImage(name, 30, 20, sequence, split, {}, {}, ())
    file = Looked("0" * 64, 9, (20, 30))
    return RealImage("ranus", name, Path("/ranus") / name, file, f"images/ranus/{name}", labels, 0, pair, None)


def pair_of(split: str, sequence: str) -> Pair:
    return Pair("p", "p.jpg", "p.png", sequence, split, "", "1" * 64, "2" * 64)


def config(**settings: object) -> DatasetConfig:
    given = {"real": [{"origin": "ranus", "folder": "/ranus", "labels": "/ranus.json"}]}
    return DatasetConfig.read(given | settings, where="the test")


def assign(images: list[RealImage], locked: set[str] = frozenset(), **settings: object) -> dict[str, str]:
    splits = assign_splits(images, [image.name in locked for image in images], config(**settings))
    return {image.name: split for image, split in zip(images, splits, strict=True)}


def test_labels_say_the_split_before_the_list_of_pairs() -> None:
    images = [
        real("a", split="test", pair=pair_of("train", "s")),
        real("b", pair=pair_of("val", "s")),
        real("c", split="valid"),
    ]
    assert assign(images, splits=SHARES) == {"a": "test", "b": "val", "c": "val"}


def test_without_splits_and_without_shares_nothing_is_guessed() -> None:
    with pytest.raises(NirgenError) as error:
        assign([real("a/1.png", split="val"), real("b/1.png"), real("b/0.png")])
    assert str(error.value) == (
        "2 of 3 real images, such as 'ranus/b/0.png', have no split; divide them with "
        "--split train=0.8,val=0.1,test=0.1, or name their list of pairs with --real-pairs"
    )


def test_recordings_are_dealt_whole_and_near_to_the_shares() -> None:
    images = [real(f"{folder:02}/{frame}.png") for folder in range(20) for frame in range(5)]
    splits = assign(images, splits=SHARES)
    folders = {(name.split("/")[0], split) for name, split in splits.items()}
    assert len(folders) == 20
    assert Counter(splits.values()) == {"train": 50, "val": 25, "test": 25}


def test_the_order_of_images_does_not_matter_and_the_seed_does() -> None:
    images = [real(f"{folder:02}/0.png") for folder in range(12)]
    assert assign(images, splits=SHARES) == assign(images[::-1], splits=SHARES)
    assert assign(images, splits=SHARES) != assign(images, splits=SHARES, seed=1)


def test_a_recording_is_known_from_labels_then_pairs_then_folders() -> None:
    same = [
        real("x/1.png", sequence="drive"),
        real("y/1.png", pair=pair_of("", "drive")),
        real("drive/1.png"),
    ]
    others = [real(f"{folder}/1.png") for folder in range(9)]
    splits = assign(same + others, splits=SHARES)
    assert len({splits[image.name] for image in same}) == 1


def test_recordings_that_trained_a_generator_are_dealt_into_train_first() -> None:
    images = [real(f"{folder:02}/{frame}.png") for folder in range(8) for frame in range(2)]
    for seed in range(5):
        splits = assign(images, locked={"02/1.png", "05/0.png"}, splits=SHARES, seed=seed)
        assert {split for name, split in splits.items() if name[:2] in {"02", "05"}} == {"train"}
        assert Counter(splits.values()) == {"train": 8, "val": 4, "test": 4}


def test_more_locked_recordings_than_train_may_have_leave_the_rest_to_the_others() -> None:
    images = [real(f"{folder:02}/0.png") for folder in range(8)]
    splits = assign(images, locked={image.name for image in images[:6]}, splits=SHARES)
    assert sorted(splits.values()) == ["test", *["train"] * 6, "val"]


def test_frames_follow_the_split_that_others_of_their_recording_have() -> None:
    images = [real("a/1.png", split="val"), real("a/2.png"), real("b/1.png"), real("c/1.png"), real("d/1.png")]
    for seed in range(5):
        assert assign(images, splits=SHARES, seed=seed)["a/2.png"] == "val"


def test_frame_wise_division_has_to_be_asked_for() -> None:
    images = [real(f"{number}.png") for number in range(8)]
    with pytest.raises(NirgenError) as error:
        assign(images, splits=SHARES)
    assert str(error.value) == (
        "/ranus/0.png: of no known recording, and splits don't cut recordings; name its list of pairs with "
        "--real-pairs, or ask for a frame-wise split with --split-by frame"
    )
    assert Counter(assign(images, splits=SHARES, split_by="frame").values()) == {"train": 4, "val": 2, "test": 2}


def test_a_split_that_no_recording_is_left_for_is_refused() -> None:
    images = [real(f"{folder:02}/0.png") for folder in range(4)]
    with pytest.raises(NirgenError, match=r"0 recording\(s\) of 0 real image\(s\) .* can't fill the split\(s\) val"):
        assign(images, locked={image.name for image in images}, splits=SHARES)
