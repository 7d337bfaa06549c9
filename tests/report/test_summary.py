from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nirgen.report.facts import Fact, Facts
from nirgen.report.statistics import Statistics
from nirgen.report.summary import class_totals, in_short, totals
from nirgen.report.survey import survey
from nirgen.scores import BoxScores

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.collection import Item
    from nirgen.report.survey import Survey


@pytest.fixture
def found(item: Callable[..., Item], given_items: type, given_scores: type) -> Survey:
    items = [
        item("a/1", [("car", 0, 0, 9, 9), ("person", 0, 0, 9, 9), ("ignore", 0, 0, 9, 9)]),
        item("b/1", generated=False, rgb_name="1.jpg"),
    ]
    return survey(given_items(items), given_scores({}, {"a/1#1": BoxScores(0.1, 0.9, ("vanished",))}), sampled=0)


class Dataset:
    kind = "dataset"


def sentences(found: Survey, statistics: Any = None, facts: Facts | None = None, unreadable: int = 0) -> list[str]:
    given = facts or Facts((), (), {})
    return list(in_short(Dataset(), given, found, statistics or {}, unreadable))  # type: ignore[arg-type]


def test_totals_are_counted_over_all_places(found: Survey) -> None:
    assert totals(found) == {"images": 2, "generated": 1, "real": 1, "empty": 1, "boxes": 2, "ignored": 1}
    assert class_totals(found, ["person", "bicycle", "car"]) == {"person": 1, "bicycle": 0, "car": 1}


def test_the_first_sentences_say_how_much_there_is_what_to_look_at_and_what_is_missing(found: Survey) -> None:
    assert sentences(found) == [
        "2 boxes on 2 images: 1 generated, 1 real; without labels: 1.",
        "The scores could judge 1 box; look at these first: 1 vanished.",
        "NIR files missing: 2 (a/1, b/1). These images have no scores and no pictures here.",
        "RGB files missing: 1 (b/1). Scores that need them are unknown, unless made before.",
    ]


def test_what_both_kinds_share_and_what_to_beware_of_is_said(found: Survey) -> None:
    same = Statistics(1, np.eye(4)[0], np.eye(4)[1], {})
    facts = Facts((Fact("Leaks", "7 images", warning=True), Fact("Digest", "abc")), (), {})
    told = sentences(found, {True: same, False: same}, facts, unreadable=2)
    assert told[2] == (
        "Generated and real NIR share 100 % of their distribution of intensities and 100 % of that of gradients."
    )
    assert told[-2:] == ["Of 2 images a file is there and can't be read.", "Leaks: 7 images."]
