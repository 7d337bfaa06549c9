from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np

from nirgen.report.charts import Series, histogram

EDGES = np.linspace(0, 1, 4)
BOTH = [Series("generated", np.array([0.5, 0.5, 0.0])), Series("real", np.array([0.0, 0.5, 0.5]))]


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
