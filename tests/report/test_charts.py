from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np

from nirgen.report.charts import content_charts, histogram, score_charts, statistics_charts
from nirgen.report.survey import Statistics, survey
from nirgen.scores import BoxScores

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.dataset.read import Image


EDGES = np.linspace(0, 1, 4)
BOTH = {"generated": np.array([0.5, 0.5, 0.0]), "real": np.array([0.0, 0.5, 0.5])}


def draw(title: str = "Noise <b>", caption: str = 'It says "much" & more') -> str:
    return histogram(title, caption, EDGES, BOTH, label="x < y", of="images", marks=(0.5,)).svg


def test_a_chart_is_well_formed_and_says_what_it_shows() -> None:
    root = ET.fromstring(draw().replace("xlink:href", "href"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'Noise <b>: It says "much" & more'
    assert "x < y" in [text.text for text in root.iter("text")]
    assert "share of images" in [text.text for text in root.iter("text")]


def test_a_chart_has_the_pages_colours_and_letters_and_none_of_its_own() -> None:
    svg = draw()
    assert set(re.findall(r"var\(--\w+\)", svg)) == {"var(--generated)", "var(--real)", "var(--line)"}
    assert "currentColor" in svg
    assert re.findall(r"(?:fill|stroke): #\w+", svg) == []
    assert "font-family" not in svg


def test_a_chart_brings_nothing_that_a_page_may_have_only_once() -> None:
    svg = draw()
    assert [word for word in ("<?xml", "<!DOCTYPE", "<metadata", "<style", "http:", "xmlns") if word in svg] == []
    names = re.findall(r'id="([^"]+)"', svg)
    assert len(names) == len(set(names))
    assert set(names).isdisjoint(re.findall(r'id="([^"]+)"', draw("Other")))


def test_the_same_chart_has_the_same_bytes() -> None:
    assert draw() == draw()


def test_boxes_are_told_by_their_median_of_each_kind(
    item: Callable[..., Image], given_items: type, given_scores: type
) -> None:
    items = given_items(
        [item("a/1", [("car", 0, 0, 20, 20)]), item("b/1", [("car", 0, 0, 50, 50)] * 2, generated=False)]
    )
    sizes, counts = content_charts(survey(items, given_scores({}), sampled=0))
    assert sizes.caption.startswith(
        "Median: generated 20 px, real 50 px. Each dot is one of 1 generated or of 2 real. Dotted: COCO's borders"
    )
    assert counts.caption == "Median: generated 1, real 2. Each dot is one of 1 generated or of 1 real."


def test_without_boxes_and_scores_there_is_nothing_to_draw(
    item: Callable[..., Image], given_items: type, given_scores: type
) -> None:
    found = survey(given_items([item("a/1")]), given_scores({}), sampled=0)
    assert content_charts(found) == []
    assert score_charts(found) == []
    assert statistics_charts({}) == []


def test_every_score_that_is_known_has_a_chart_that_says_what_it_means(
    item: Callable[..., Image], given_items: type, given_scores: type
) -> None:
    items = given_items([item(f"a/{number}", [("car", 0, 0, 20, 20)]) for number in range(4)])
    scores = given_scores({"a/1": {"noise": 2.0}, "a/2": {"noise": 2.0}}, {"a/3#1": BoxScores(0.5, 0.5)})
    noise, fidelity = score_charts(survey(items, scores, sampled=0))
    assert noise.title == "Noise, high is bad"
    assert "noise in flat areas that RGB lacks" in noise.svg
    assert noise.caption == "Median: generated 2. Each dot is one of 2 generated."
    assert "1: the object is as visible in NIR as in RGB" in fidelity.svg


def test_a_kind_with_few_images_is_drawn_as_a_dot_for_each(
    item: Callable[..., Image], given_items: type, given_scores: type
) -> None:
    keys = [f"a/{number}" for number in range(30)] + [f"b/{number}" for number in range(7)]
    items = given_items([item(key, generated=key < "b") for key in keys])
    scores = given_scores({key: {"noise": float(number % 5)} for number, key in enumerate(keys)}, {})
    (noise,) = score_charts(survey(items, scores, sampled=0))
    assert len(re.findall(r"<use [^>]*var\(--real\)", noise.svg)) == 7
    assert not re.findall(r"<use [^>]*var\(--generated\)", noise.svg)
    assert noise.caption == "Median: generated 2, real 1. Each dot is one of 7 real."


def test_what_both_kinds_share_is_said_in_percent() -> None:
    one = Statistics(3, np.eye(64)[0], np.eye(21)[0], {})
    other = Statistics(3, (np.eye(64)[0] + np.eye(64)[1]) / 2, np.eye(21)[0], {})
    levels, slopes = statistics_charts({True: one, False: other})
    assert levels.caption == "Generated and real share 50 % of this distribution."
    assert slopes.caption == "Generated and real share 100 % of this distribution."
    alone, _ = statistics_charts({True: one})
    assert alone.caption == "Of generated images only: there are none of the other kind."
