from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError, OutputError
from nirgen.report import ReportOptions, write_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_same_dataset_gives_the_same_bytes_wherever_it_lies(dataset: Path, tmp_path: Path) -> None:
    first = write_report(dataset, tmp_path / "a.html")
    copy = tmp_path / "elsewhere" / "D"
    shutil.copytree(dataset, copy)
    write_report(copy, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert first.size_bytes == (tmp_path / "a.html").stat().st_size


def test_the_page_names_no_place_of_this_machine(dataset: Path, tmp_path: Path) -> None:
    written = write_report(dataset, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert str(dataset.parent) not in text
    assert "/home" not in text
    assert str(dataset.parent) not in json.dumps(written.numbers)


def test_the_page_refers_to_nothing_outside_of_itself(dataset: Path, tmp_path: Path) -> None:
    write_report(dataset, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text) == []
    assert re.findall(r"(?:https?:)?//[a-z]", re.sub(r"base64,[^\"]*", "", text)) == []
    assert "@import" not in text


def test_what_a_name_holds_is_shown_and_never_markup(dataset: Path, tmp_path: Path, evil: str) -> None:
    write_report(dataset, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "bdd/&lt;img src=x onerror=&#34;alert(1)&#34;&gt;&amp;&#39;é木.jpg" in text
    assert evil not in text


def test_more_is_shown_only_if_asked_for(dataset: Path, tmp_path: Path) -> None:
    write_report(dataset, tmp_path / "none.html", ReportOptions(images=0, boxes=0, frames=0, sampled=0))
    text = (tmp_path / "none.html").read_text(encoding="utf-8")
    assert "data:image" not in text
    assert "No image could be measured." in text


def test_the_numbers_are_those_of_the_dataset(dataset: Path, tmp_path: Path) -> None:
    numbers = write_report(dataset, tmp_path / "a.html", ReportOptions(title="Ours")).numbers
    assert numbers["title"] == "Ours"
    assert numbers["totals"] == {"images": 5, "generated": 3, "real": 2, "empty": 1, "unlabelled": 0} | {
        "boxes": 7,
        "ignored": 3,
    }
    assert numbers["counts"][0] == {
        "split": "train",
        "origin": "bdd",
        "kind": "generated",
        "images": 3,
        "empty": 0,
        "unlabelled": 0,
        "boxes": {"person": 3, "bicycle": 0, "car": 3},
        "ignored": 3,
    }
    assert numbers["statistics"]["generated"]["images"] == 3
    assert numbers["statistics"]["real"]["images"] == 2
    assert numbers["missing"] == {"nir": {"count": 0, "examples": []}, "rgb": {"count": 0, "examples": []}}
    assert {name for each in numbers["compared"] for name in each["as"]} >= {"median", "night", "car"}


def test_files_that_are_gone_are_said_on_the_page(make_dataset: Callable[[Path], Path], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "made")
    (dataset / "images/bdd/b.png").unlink()
    (tmp_path / "made/rgb/b.jpg").unlink()
    (dataset / "images/cam/other.png").write_bytes(b"no image")
    written = write_report(dataset, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    for sentence in (
        "NIR files missing: 1 (bdd/b.jpg). These images have no scores and no pictures here.",
        "RGB files missing: 1 (bdd/b.jpg). Scores that need them are unknown, unless computed before.",
    ):
        assert sentence in written.short
        assert sentence in text


def test_a_translation_folder_has_a_page_too(dataset: Path, tmp_path: Path) -> None:
    written = write_report(dataset.parent / "nir", tmp_path / "a.html")
    assert written.numbers["kind"] == "translation"
    assert written.numbers["totals"]["images"] == 3
    assert written.short[0] == "3 translated images, without labels."


def test_a_page_in_the_folder_itself_is_refused(dataset: Path) -> None:
    with pytest.raises(NirgenError, match="in the folder that it is about"):
        write_report(dataset, dataset / "images" / "report.html")
    assert not (dataset / "images" / "report.html").exists()


def test_a_page_that_cannot_be_written_leaves_the_old_one(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="a folder; name a file"):
        write_report(dataset, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_the_dataset_itself_is_not_touched_but_for_its_scores(dataset: Path, tmp_path: Path) -> None:
    def hashes() -> dict[str, str]:
        files = [path for path in sorted(dataset.rglob("*")) if path.is_file() and path.name != "scores.parquet"]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = hashes()
    write_report(dataset, tmp_path / "a.html")
    assert hashes() == before


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
