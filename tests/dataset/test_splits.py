from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.folder import Looked
from nirgen.dataset.inputs import RealImage
from nirgen.dataset.plan import PlannedImage
from nirgen.dataset.splits import assign_splits, most_generated, sample
from nirgen.errors import ConfigError, NirgenError
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
    asked = config(**settings)
    splits = assign_splits(images, [image.name in locked for image in images], asked.splits, asked.split_by, asked.seed)
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
        "8 of 8 real images, such as 'ranus/0.png', are of no known recording, and splits don't cut recordings; give "
        "each recording a folder or a 'sequence' in the labels, name the list of pairs with --real-pairs, or, if no "
        "two images show the same place, split them with --split-by frame"
    )
    assert Counter(assign(images, splits=SHARES, split_by="frame").values()) == {"train": 4, "val": 2, "test": 2}


def test_a_split_that_no_recording_is_left_for_is_refused() -> None:
    images = [real(f"{folder:02}/0.png") for folder in range(4)]
    with pytest.raises(NirgenError, match=r"0 recording\(s\) of 0 real image\(s\) .* can't fill the split\(s\) val"):
        assign(images, locked={image.name for image in images}, splits=SHARES)


PERSON, BICYCLE, CAR = 1, 2, 3


def generated(name: str, *categories: int, crowd: bool = False, **attributes: str) -> PlannedImage:
    raws = tuple(
        msgspec.Raw(msgspec.json.encode({"image_id": 1, "category_id": category, "iscrowd": int(crowd)}))
        for category in categories
    )
    labels = LabelledImage(name, 30, 20, None, None, attributes, {}, raws)
    return PlannedImage(
        f"bdd/{name}", "bdd", "generated", "train", Path(name), "0" * 64, 9, 30, 20, f"images/bdd/{name}", labels, 0
    )


def choose(images: list[PlannedImage], real_training: int = 0, **settings: object) -> list[str]:
    given = {"generated": [{"origin": "bdd", "folder": "/bdd", "labels": "/bdd.json"}]}
    config = DatasetConfig.read(given | settings, where="the test")
    limit = most_generated(config.limit, config.generated_per_real, real_training)
    chosen = sample(images, limit, config.balance, config.seed)
    return [image.key for image in chosen]


def boxes(images: list[PlannedImage], keys: list[str]) -> Counter[int]:
    chosen = [image for image in images if image.key in keys]
    return Counter(
        msgspec.json.decode(raw)["category_id"] for image in chosen if image.labels for raw in image.labels.annotations
    )


@pytest.fixture
def street() -> list[PlannedImage]:
    """A thousand images as BDD100K has them: cars everywhere, a bicycle on every twentieth."""
    return [
        generated(f"{number:04}.jpg", CAR, CAR, CAR, *[PERSON] * (number % 3 == 0), *[BICYCLE] * (number % 20 == 0))
        for number in range(1000)
    ]


def test_all_are_taken_unless_there_is_a_limit(street: list[PlannedImage]) -> None:
    assert choose(street) == [image.key for image in street]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"limit": 10}, 10),
        ({"limit": 2000}, 1000),
        ({"generated_per_real": 2.5}, 100),
        ({"generated_per_real": 2, "limit": 30}, 30),
        ({"limit": 0}, 0),
    ],
)
def test_as_many_are_taken_as_the_smaller_limit_says(street, settings: dict[str, float], count: int) -> None:
    assert len(choose(street, real_training=40, **settings)) == count


@pytest.mark.parametrize("balance", [None, "class", "weather"])
def test_the_choice_does_not_depend_on_the_order_of_images(balance: str | None) -> None:
    images = [generated(f"{number}.jpg", number % 3 + 1, weather=f"w{number % 4}") for number in range(200)]
    chosen = choose(images, limit=20, balance=balance)
    assert chosen == choose(images[::-1], limit=20, balance=balance) == sorted(chosen)
    assert chosen != choose(images, limit=20, balance=balance, seed=1)


@pytest.mark.parametrize("balance", [None, "class", "weather"])
def test_a_larger_limit_adds_to_a_smaller_one(balance: str | None) -> None:
    images = [generated(f"{number}.jpg", number % 3 + 1, weather=f"w{number % 4}") for number in range(200)]
    assert set(choose(images, limit=20, balance=balance)) < set(choose(images, limit=50, balance=balance))


def test_the_choice_does_not_follow_the_names(street: list[PlannedImage]) -> None:
    chosen = choose(street, limit=100)
    assert 20 < sum(key > "bdd/0500" for key in chosen) < 80


def test_balance_by_class_raises_the_share_of_the_rare_class(street: list[PlannedImage]) -> None:
    plain, balanced = (boxes(street, choose(street, limit=100, balance=balance)) for balance in (None, "class"))
    assert plain[BICYCLE] < 15
    assert balanced[BICYCLE] == 50  # all there are
    assert balanced[PERSON] > plain[PERSON]


def test_balance_by_class_serves_the_class_with_the_fewest_boxes() -> None:
    images = [generated(f"c{number}.jpg", CAR, CAR, CAR) for number in range(9)]
    images += [generated(f"b{number}.jpg", BICYCLE) for number in range(9)]
    chosen = choose(images, limit=8, balance="class")
    assert boxes(images, chosen) == {CAR: 6, BICYCLE: 6}


def test_regions_to_ignore_are_no_boxes_and_empty_images_come_last() -> None:
    images = [generated("empty.jpg"), generated("ignored.jpg", BICYCLE, crowd=True), generated("car.jpg", CAR)]
    assert choose(images, limit=1, balance="class") == ["bdd/car.jpg"]
    assert len(choose(images, limit=3, balance="class")) == 3


def test_balance_by_an_attribute_lets_its_values_take_turns() -> None:
    images = [generated(f"{number:03}.jpg", CAR, timeofday="daytime") for number in range(90)]
    images += [generated(f"n{number}.jpg", CAR, timeofday="night") for number in range(8)]
    images += [generated(f"u{number}.jpg", CAR) for number in range(2)]
    chosen = choose(images, limit=20, balance="timeofday")
    assert Counter(key[4] if key[4] in "nu" else "d" for key in chosen) == {"d": 10, "n": 8, "u": 2}


def test_an_attribute_that_nothing_has_is_refused() -> None:
    with pytest.raises(ConfigError, match="no label entry has the attribute 'scene'; balance by class, or not at all"):
        choose([generated("a.jpg", CAR, weather="clear")], limit=1, balance="scene")
