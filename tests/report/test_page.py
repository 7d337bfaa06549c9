from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from nirgen.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

_VOID = {"meta", "link", "img", "br", "input", "path", "rect", "use"}


class Reader(HTMLParser):
    """Sees that what is opened is closed, and keeps the names of places and the links to them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.names: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in _VOID:
            self.open.append(tag)
        self.names += [str(given["id"])] if "id" in given else []
        self.links += [str(given["href"])[1:]] if str(given.get("href")).startswith("#") else []
        self.handlers += [name for name in given if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names += [str(value) for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def text(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(dataset, path)
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_its_links_lead_somewhere(text: str) -> None:
    reader = Reader()
    reader.feed(text)
    assert (reader.open, reader.wrong) == ([], [])
    assert len(reader.names) == len(set(reader.names))
    assert reader.links
    assert set(reader.links) <= set(reader.names)
    assert reader.handlers == []


def test_the_page_allows_no_script_but_its_own(text: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_page_begins_as_html_and_has_its_sections(text: str) -> None:
    assert text.startswith("<!doctype html>\n")
    assert re.findall(r"<h2>(.*?)</h2>", text)[0] == "RGB beside NIR"
    assert {"Counts", "Real and generated NIR", "Scores", "Facts", "About the numbers"} <= set(
        re.findall(r"<h2>(.*?)</h2>", text)
    )
