"""The page opened from disk in a real Chromium."""

from __future__ import annotations

import importlib.util
import io
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from nirgen.report import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Opened:
    """A page that is open, with all that it asked for and complained of."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self.url = page, path.as_uri()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.url)

    def shown_of(self, slider: Any) -> tuple[float, float]:
        """Where a slider says that it is, in percent, and where its line is drawn."""
        where = slider.evaluate(
            """element => {
                const frame = element.getBoundingClientRect();
                const line = element.querySelector(".line").getBoundingClientRect();
                return 100 * (line.left + line.width / 2 - frame.left) / frame.width;
            }"""
        )
        return float(slider.get_attribute("aria-valuenow")), float(where)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if path is None:
        pytest.skip(f"there is none of {', '.join(_CHROMIUMS)} on the PATH; install one")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright isn't installed; install the extra 'dev'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(dataset, path)
    return path


@pytest.fixture
def opened(chromium: Any, report: Path) -> Iterator[Opened]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    yield Opened(page, report)
    page.close()


def test_the_page_opens_without_a_complaint_or_a_request_to_anything_else(opened: Opened) -> None:
    assert opened.page.title() == "D: report by nirgen"
    broken = opened.page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")
    assert opened.page.evaluate("document.images.length") > 5
    assert broken == 0
    assert opened.complaints == []
    assert {url for url in opened.requests if not url.startswith("data:")} == {opened.url}


def test_a_slider_follows_the_mouse(opened: Opened) -> None:
    slider = opened.page.locator(".slider").first
    slider.scroll_into_view_if_needed()
    assert opened.shown_of(slider) == (50, pytest.approx(50, abs=0.5))
    frame = slider.bounding_box()
    middle = frame["y"] + frame["height"] / 2
    opened.page.mouse.move(frame["x"] + frame["width"] / 2, middle)
    opened.page.mouse.down()
    opened.page.mouse.move(frame["x"] + 0.2 * frame["width"], middle, steps=4)
    assert opened.shown_of(slider) == (pytest.approx(20, abs=0.5), pytest.approx(20, abs=0.5))
    opened.page.mouse.move(frame["x"] - 50, middle)
    opened.page.mouse.up()
    assert opened.shown_of(slider)[0] == 0
    opened.page.mouse.move(frame["x"] + 0.9 * frame["width"], middle)
    assert opened.shown_of(slider)[0] == 0
    assert opened.complaints == []


def test_a_slider_obeys_the_keyboard(opened: Opened) -> None:
    slider = opened.page.locator(".slider").first
    slider.focus()
    seen = []
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "Shift+ArrowRight", "End", "Home"):
        opened.page.keyboard.press(key)
        seen.append(opened.shown_of(slider)[0])
    assert seen == [52, 50, 48, 58, 100, 0]
    assert slider.get_attribute("aria-valuetext") == "0 % RGB"


def test_a_slider_follows_a_finger(chromium: Any, report: Path) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    opened = Opened(context.new_page(), report)
    slider = opened.page.locator(".slider").first
    slider.scroll_into_view_if_needed()
    frame = slider.bounding_box()
    opened.page.touchscreen.tap(frame["x"] + 0.75 * frame["width"], frame["y"] + frame["height"] / 2)
    assert opened.shown_of(slider)[0] == pytest.approx(75, abs=0.5)
    context.close()


def test_a_slider_shows_colour_on_the_left_and_grey_on_the_right(opened: Opened) -> None:
    slider = opened.page.locator(".slider").first
    opened.page.locator(".toggle").first.uncheck()
    slider.focus()
    colourful = []
    for key in ("Home", "End"):
        opened.page.keyboard.press(key)
        with Image.open(io.BytesIO(slider.screenshot())) as shot:
            pixels = np.asarray(shot.convert("RGB")).astype(int)
        inner = pixels[pixels.shape[0] // 4 : pixels.shape[0] // 3, pixels.shape[1] // 4 : pixels.shape[1] // 3]
        colourful.append(bool(np.ptp(inner, axis=2).max() > 20))
    assert colourful == [False, True]


def test_boxes_can_be_hidden_and_shown(opened: Opened) -> None:
    boxes = opened.page.locator(".boxes").first
    assert boxes.is_visible()
    opened.page.locator(".toggle").first.uncheck()
    assert not boxes.is_visible()
    opened.page.locator(".toggle").first.check()
    assert boxes.is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_never_wider_than_the_screen(chromium: Any, report: Path, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_in_charts_have_the_pages_colour(chromium: Any, report: Path, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(report.as_uri())
    letters = page.evaluate("getComputedStyle(document.querySelector('.chart text')).fill")
    assert letters == page.evaluate("getComputedStyle(document.body).color")
    assert letters == {"light": "rgb(27, 31, 36)", "dark": "rgb(230, 233, 237)"}[scheme]
    context.close()
