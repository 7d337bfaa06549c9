from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.plan import PlannedImage
from nirgen.dataset.sampling import sample
from nirgen.errors import ConfigError
from nirgen.labels.file import LabelledImage

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
    return [image.key for image in sample(images, real_training, config)]


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
