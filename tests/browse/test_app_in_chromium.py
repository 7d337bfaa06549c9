"""The way of a decision, from a click in FiftyOne's App to the rebuilt dataset, in a real browser."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path


_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_PLUGIN = "@nirgen/curation/"
_SECONDS_TO_START = 300
_MILLISECONDS = 90_000  # until a state of the App must have come
_TO_SHOW_A_DATASET = 20_000
_TO_TAKE_A_CLICK = 2_000
_TO_SHOW_A_FORM = 5_000

# FiftyOne's page has style sheets that name these fonts; without a network it takes the system's.
_FONTS = "fonts.googleapis.com"

_GREEN, _ORANGE = (0x00, 0x7D, 0x5C), (0xB8, 0x5C, 0x00)  # of the third and the first class


class App:
    """FiftyOne's App in a browser, and what one does there.

    Args:
        page: A page of the browser.
        too_late: What is raised if something hasn't come in time.

    Attributes:
        hosts: Every host that the page has asked for something.
        media: The names of the images that it has asked for.
        executed: The operators of nirgen's that the user has run, in order.
        stored: The number of edits in FiftyOne's own tab that its server has taken.
    """

    def __init__(self, page: Any, too_late: type[Exception]) -> None:
        self.page = page
        self.too_late = too_late
        self.hosts: set[str | None] = set()
        self.media: set[str] = set()
        self.executed: list[str] = []
        self.stored = 0
        page.set_default_timeout(_MILLISECONDS)
        page.on("request", self._note)
        page.on("response", self._note_edit)
        advert = page.get_by_text("Dismiss", exact=True)
        page.add_locator_handler(advert, lambda: advert.dispatch_event("click"))
        self.tiles = page.locator('[data-cy="fo-grid"] [data-cy="looker"]')
        self.modal = page.locator('[data-cy="modal"]')
        self.form = page.locator('[data-cy="operators-prompt-modal"]')

    def _note(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https"}:
            self.hosts.add(parts.hostname)
        if parts.path.endswith("/media"):
            self.media.add(parse_qs(parts.query)["filepath"][0])
        if parts.path.endswith("/operators/execute"):
            operator = str(request.post_data_json["operator_uri"])
            if operator.startswith(_PLUGIN) and operator != f"{_PLUGIN}opened":
                self.executed.append(operator.removeprefix(_PLUGIN))

    def _note_edit(self, response: Any) -> None:
        self.stored += response.request.method == "PATCH" and response.status == 200

    def open(self, url: str) -> None:
        """Open the App, once more if it was opened before its server had heard which dataset to show."""

        def opened() -> bool:
            self.page.goto(url)
            with suppress(self.too_late):
                self.tiles.first.wait_for(timeout=_TO_SHOW_A_DATASET)
            return self.tiles.count() > 0

        self.until(opened, "a dataset")
        self.button("reject").wait_for()
        self.says("Keys: D reject, A keep")

    def button(self, operator: str) -> Any:
        return self.page.locator(f'[data-item-id="{_PLUGIN}{operator}"]')

    def button_of_image(self, icon: str) -> Any:
        """A button above the opened image, by its icon: FiftyOne gives it no other name."""
        return self.modal.locator(".material-icons").get_by_text(icon, exact=True)

    def show_slice(self, name: str, image: Path) -> None:
        """Choose a slice in the App's own control, and wait until it asks for an image of it."""
        control = self.page.locator('[data-cy="selector-slice"]')
        control.click()
        control.fill(name)
        control.press("Enter")
        self.until(lambda: control.input_value() == name and str(image) in self.media, f"{image} of {name}")
        self.tiles.first.wait_for()

    def select(self, tile: Any) -> None:
        tile.hover()
        tile.locator('[data-cy="looker-checkbox-"]').click(position={"x": 5, "y": 5})
        self.page.locator('[data-cy="action-manage-selected"]').wait_for()

    def open_tile(self, tile: Any) -> None:
        """Open an image that has a car, and wait until its boxes are drawn."""
        tile.click()
        image = self.modal.locator('[data-cy="modal-looker-container"]').first
        self.until(lambda: _coloured(image.screenshot(), _GREEN) > 300, "the boxes of the opened image")

    def click_box(self, bbox: tuple[float, float, float, float], size: tuple[int, int]) -> None:
        """Click into a box of the opened image.

        Args:
            bbox: COCO xywh in pixels.
            size: Width and height of the image in pixels.
        """
        x, y, _ = self.centre(self.modal.locator('[data-cy="modal-looker-container"]').first, bbox, size)
        self.page.mouse.move(x - 3, y)
        self.page.mouse.move(x, y)
        self.page.mouse.click(x, y)
        selected = self.modal.locator('[data-cy="action-manage-selected"]')
        self.until(lambda: selected.inner_text().strip() == "1", "a selected box")

    @staticmethod
    def centre(
        shown: Any, bbox: tuple[float, float, float, float], size: tuple[int, int]
    ) -> tuple[float, float, float]:
        """The centre of a box in the page, and the page's pixels in one of the image, in the middle of `shown`."""
        place = shown.bounding_box()
        scale = min(place["width"] / size[0], place["height"] / size[1])
        left = place["x"] + (place["width"] - size[0] * scale) / 2
        top = place["y"] + (place["height"] - size[1] * scale) / 2
        return left + (bbox[0] + bbox[2] / 2) * scale, top + (bbox[1] + bbox[3] / 2) * scale, scale

    def edit_box(
        self, bbox: tuple[float, float, float, float], size: tuple[int, int], *, by: tuple[float, float] | None = None
    ) -> None:
        """Move a box of the opened image in FiftyOne's own tab, or delete it there, and wait until it is stored.

        Args:
            bbox: COCO xywh in pixels.
            size: Width and height of the image in pixels.
            by: Pixels of the image to the right and down; deletes the box if None.
        """
        canvas = self.modal.locator('[data-cy="lighter-sample-renderer-canvas"]')
        if not canvas.is_visible():
            self.modal.get_by_text("Annotate", exact=True).click()
            canvas.wait_for()
        back = self.modal.locator('[data-cy="annotate-edit-back"]')

        def chosen() -> bool:
            x, y, _ = self.centre(canvas, bbox, size)
            self.page.mouse.move(x - 3, y)
            self.page.mouse.click(x, y)
            with suppress(self.too_late):
                back.wait_for(timeout=_TO_TAKE_A_CLICK)
            return bool(back.is_visible())

        self.until(chosen, "a box to edit")
        before = self.stored
        if by is None:
            self.modal.locator('[data-cy="label-menu-trigger"]').click()
            self.page.get_by_text("Delete label", exact=True).click()
        else:
            x, y, scale = self.centre(canvas, bbox, size)
            self.page.mouse.move(x, y)
            self.page.mouse.down()
            self.page.mouse.move(x + by[0] * scale, y + by[1] * scale, steps=8)
            self.page.mouse.up()
        self.until(lambda: self.stored > before, "a stored edit")
        if by is not None:
            back.click()

    def decide(self, key: str, operator: str, message: str, badge: str) -> None:
        """Decide on the opened image by a key, and wait until its badge shows the decision; none if it is empty."""
        before = len(self.executed)
        self.page.keyboard.press(key)
        self.until(lambda: self.executed[before:] == [operator], f"{operator} after {key}")
        self.page.get_by_text(message).last.wait_for(state="attached")  # a slow machine sees it fade
        badges = {"kept", "needs-fix", "rejected"}
        self.until(lambda: badges.intersection(self.badges(self.modal)) == {*filter(None, [badge])}, f"badge {badge!r}")

    def next_worst(self) -> None:
        """Open the next image without a decision by a key, and wait until it is another one."""
        before, opened = len(self.executed), self.page.url
        self.page.keyboard.press("w")
        self.until(lambda: self.executed[before:] == ["next_worst"], "next_worst after w")
        self.until(lambda: self.page.url != opened, "another image")
        badges = {"kept", "needs-fix", "rejected"}
        self.until(lambda: not badges.intersection(self.badges(self.modal)), "an image without a decision")

    def badges(self, within: Any) -> list[str]:
        return [str(each) for each in within.locator('[data-cy^="tag-"]').all_inner_texts()]

    def form_of_box(
        self, tile: Any, bbox: tuple[float, float, float, float], size: tuple[int, int], about: str
    ) -> bool:
        """Open an image, click a box and its button for another class; whether the form is about that box.

        It isn't if the App has closed the image meanwhile, as it does when it takes away what covers the page.
        """
        self.open_tile(tile)
        self.click_box(bbox, size)
        self.button_of_image("category").click()
        self.form.wait_for()
        with suppress(self.too_late):
            self.form.get_by_text(about, exact=True).wait_for(timeout=_TO_SHOW_A_FORM)
            return True
        self.form.get_by_role("button", name="Cancel", exact=True).click()
        self.form.wait_for(state="hidden")
        self.close_image()
        return False

    def close_image(self) -> None:
        """Close the opened image, if there is one."""

        def closed() -> bool:
            if self.modal.is_visible():
                self.modal.locator('[data-cy="modal-looker-container"]').first.hover()
                self.page.keyboard.press("Escape")
            return not self.modal.is_visible()

        self.until(closed, "the grid")

    def answer(self, submit: str, about: str, *, reason: str, author: str = "", category: str = "") -> None:
        """Fill in an operator's form, whose first line says what it is about, and submit it."""
        self.form.get_by_text(about, exact=True).wait_for()
        if category:
            self.form.get_by_role("combobox").first.click()
            self.page.get_by_role("option", name=category, exact=True).click()
        words = self.form.get_by_placeholder("Type or select a value")
        words.click()
        words.fill(reason)
        words.press("Enter")
        if author:
            self.form.locator('input[type="string"]').last.fill(author)
        button = self.form.get_by_role("button", name=submit, exact=True)
        before = len(self.executed)

        def submitted() -> bool:
            """Click, for the App does nothing on a click that comes before it knows how to run the operator."""
            if len(self.executed) == before:
                with suppress(self.too_late):  # it went while it was to be clicked
                    button.click(timeout=_TO_TAKE_A_CLICK)
            return len(self.executed) > before and not self.form.is_visible()

        self.until(submitted, "the form to go")

    def says(self, message: str) -> None:
        self.page.get_by_text(message).first.wait_for(state="attached")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Look again and again until something holds."""
        end = time.monotonic() + _MILLISECONDS / 1000
        while time.monotonic() < end:
            if holds():
                return
            self.page.wait_for_timeout(200)
        pytest.fail(f"the App has not come to {what}")


@contextmanager
def _browser(picture: Path) -> Generator[App]:
    """The App in Chromium; a failure says where its picture is."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed; install the extra 'dev'")
    chromium = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if chromium is None:
        pytest.skip(f"there is none of {', '.join(_CHROMIUMS)} on the PATH; 'make test' installs one where it can")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        page = browser.new_page(viewport={"width": 1920, "height": 1440})
        app = App(page, sync_api.TimeoutError)
        try:
            yield app
        except BaseException as error:
            page.screenshot(path=picture)
            error.add_note(f"a picture of the App at the failure: {picture}")
            raise
        finally:
            browser.close()


@contextmanager
def _browsing(*arguments: object, environment: dict[str, str]) -> Generator[str]:
    """`nirgen browse`, as a user runs it; yields the App's URL."""
    command = [sys.executable, "-m", "nirgen", "browse", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        env=os.environ | environment | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    timer = threading.Timer(_SECONDS_TO_START, process.kill)
    timer.start()
    said: list[str] = []
    try:
        url = _url(process.stdout, said)
        timer.cancel()
        assert url is not None, "".join(said)
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=_SECONDS_TO_START) == 0
    finally:
        timer.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _free_port() -> int:
    """A port of 127.0.0.1 at which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _url(lines: Iterator[str], said: list[str]) -> str | None:
    """The URL that `nirgen browse` prints; None if it ends before."""
    for line in lines:
        said.append(line)
        if line.startswith("FiftyOne's App: "):
            return line.removeprefix("FiftyOne's App: ").strip()
    return None


def _coloured(picture: bytes, colour: tuple[int, int, int]) -> int:
    """Count the pixels of a picture in this colour, or in a blend of it and grey."""
    with Image.open(io.BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    wanted = np.array(colour, dtype=np.float32) - np.mean(colour)
    chroma = pixels - pixels.mean(axis=2, keepdims=True)
    strength = np.linalg.norm(chroma, axis=2)
    alike = chroma @ wanted > 0.97 * strength * np.linalg.norm(wanted)
    return int((alike & (strength > 30)).sum())


def _least_contrast(tile: Any) -> float:
    """The least contrast of text to background of a tile's badges, as WCAG defines it."""
    script = "each => ['color', 'backgroundColor'].map(name => getComputedStyle(each)[name].match(/\\d+/g).map(Number))"
    badges = tile.locator('[data-cy^="tag-"]').all()
    return min(
        (max(pair) + 0.05) / (min(pair) + 0.05)
        for pair in ([_luminance(colour[:3]) for colour in badge.evaluate(script)] for badge in badges)
    )


def _luminance(colour: list[int]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (each / 255 for each in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _entries(folder: Path) -> set[tuple[str, str]]:
    """The entries of images and annotations, as text, with the names of their files."""
    return {
        (path.name, line.rstrip(","))
        for path in (folder / "annotations").glob("*.json")
        for line in path.read_text().splitlines()
        if line.startswith('{"id":') and ('"file_name"' in line or '"image_id"' in line)
    }


def test_what_is_decided_in_the_app_arrives_in_the_rebuilt_dataset(
    fo: Any,
    fiftyone_environment: dict[str, str],
    mongodb: str,
    dataset_inputs: Callable[..., dict[str, Any]],
    save: Callable[..., Path],
    red: Any,
    write_labels: Callable[..., Path],
    nirgen: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    car, bicycle, size = (3, [10, 15, 50, 60]), (2, [85, 25, 45, 55]), {"width": 150, "height": 100}
    (generated,), (real,) = dataset_inputs(scale=5).values()
    small = (3, [5, 80, 30, 15])
    boxes = {"a.jpg": [car], "b.jpg": [car, bicycle, small], "night/c.jpg": [car]}
    for number in range(9):
        boxes[f"p{number}.jpg"] = [car]
        save(tmp_path / f"bdd/rgb/p{number}.jpg", 100, 150, seed=20 + number)
    translate_folder(tmp_path / "bdd/rgb", tmp_path / "bdd/nir", model=red)
    write_labels(generated["labels"], {name: size | {"boxes": each} for name, each in boxes.items()})
    inputs = [
        *("--generated", f"bdd={generated['folder']}:{generated['labels']}"),
        *("--real", f"{real['folder']}:{real['labels']}", "--yes"),
    ]
    assert nirgen("build-dataset", *inputs, "--out", tmp_path / "D")[0] == 0
    before = _entries(tmp_path / "D")
    port = _free_port()
    options = ("--remote", "--port", port, "--database-uri", mongodb)
    with (
        _browsing(tmp_path / "D", *options, environment=fiftyone_environment) as url,
        _browser(tmp_path / "failed.png") as app,
    ):
        assert url.endswith("/datasets/D?view=worst-images")
        app.open(f"http://127.0.0.1:{port}/")
        assert "/datasets/D?view=worst-images" in app.page.url
        keys = fo.load_dataset("D").load_saved_view("worst images").values("key")
        assert sorted(keys) == sorted(f"bdd/{name}" for name in boxes)
        a, b = (app.tiles.nth(keys.index(f"bdd/{name}.jpg")) for name in "ab")
        app.until(lambda: all(_coloured(tile.screenshot(), _GREEN) > 300 for tile in (a, b)), "boxes of cars")
        (issue,) = (each for each in app.badges(a) if each.startswith("trouble 0."))
        assert app.badges(a) == [issue, "generated"]
        assert _least_contrast(a) >= 4.5
        app.show_slice("rgb", tmp_path / "bdd/rgb/a.jpg")
        app.until(lambda: app.badges(app.tiles.first) == ["photo"], "the badge of a photo")
        app.show_slice("real_nir", tmp_path / "D/images/ranus/01/x.png")
        app.until(lambda: app.badges(app.tiles.first)[-1] == "real", "the badge of a real image")
        app.show_slice("nir", tmp_path / "D/images/bdd/a.png")

        app.select(a)
        app.button("keep").click()  # asks nothing
        app.says("Kept bdd/a.jpg")
        app.until(lambda: app.badges(a) == ["kept", issue, "generated"], "the badge of a kept image")
        assert _least_contrast(a) >= 4.5
        app.select(a)
        app.page.keyboard.press("Shift+D")
        app.answer("Reject", "bdd/a.jpg", reason="seen twice", author="anna")
        app.says("Rejected bdd/a.jpg: seen twice")
        app.until(lambda: app.badges(a) == ["rejected", issue, "generated"], "the badge of a rejected image")

        app.until(lambda: app.form_of_box(b, bicycle[1], (150, 100), "1 box of bdd/b.jpg"), "a form about the box")
        app.answer("Change class", "1 box of bdd/b.jpg", category="person", reason="wrong class")
        app.says("Now person: 1 box of bdd/b.jpg")
        assert app.executed == ["keep", "reject", "change_class"]
        app.until(lambda: _coloured(app.modal.screenshot(), _ORANGE) > 50, "a box in the colour of persons")
        app.decide("d", "reject", "Rejected bdd/b.jpg", "rejected")
        app.decide("u", "clear_decision", "Undecided again: bdd/b.jpg", "")
        decide = {
            "d": ("reject", "Rejected bdd/", "rejected"),
            "a": ("keep", "Kept bdd/", "kept"),
            "e": ("needs_fix", "Marked for repair bdd/", "needs-fix"),
        }
        for key in "daedaedaed":
            app.next_worst()
            app.decide(key, *decide[key])
        app.next_worst()  # b is the last one without a decision
        app.click_box(car[1], (150, 100))
        app.button_of_image("delete").click()
        app.says("Deleted 1 box of bdd/b.jpg")
        app.until(lambda: "rejected: 1" in app.badges(app.modal), "the badge of a deleted box")
        app.edit_box(bicycle[1], (150, 100), by=(-12, 9))
        app.edit_box(small[1], (150, 100))
        app.modal.get_by_text("Explore", exact=True).click()
        app.close_image()
        app.until(lambda: _coloured(b.screenshot(), _ORANGE) > 50, "a box in the colour of persons")
        assert app.hosts <= {"127.0.0.1", _FONTS}

    assert nirgen("rebuild", tmp_path / "D", "--yes", "--database-uri", mongodb)[0] == 0
    decisions = [json.loads(line) for line in (tmp_path / "D/curation.jsonl").read_text().splitlines()]
    for each in decisions:
        each.pop("seen", None)
        each.pop("author")
    found = {(each["key"], each["action"]): each for each in decisions}
    assert len(found) == len(decisions) == 15
    assert found.pop(("bdd/a.jpg", "reject")) == {"key": "bdd/a.jpg", "action": "reject", "reason": "seen twice"}
    at = {"width": 150, "height": 100}
    for box in ("bdd/b.jpg#0", "bdd/b.jpg#2"):
        assert found.pop((box, "delete")) == {"key": box, "action": "delete", **at}
    change = {"key": "bdd/b.jpg#1", "action": "relabel", "category": "person", **at, "reason": "wrong class"}
    assert found.pop(("bdd/b.jpg#1", "relabel")) == change
    moved = found.pop(("bdd/b.jpg#1", "move"))["bbox"]
    assert moved == pytest.approx([85 - 12, 25 + 9, 45, 55], abs=1)
    assert sorted(key for key, _ in found) == sorted(f"bdd/{name}" for name in boxes.keys() - {"a.jpg", "b.jpg"})  # ten
    rejected = {key for key, action in found if action == "reject"}
    assert sorted(action for _, action in found) == ["flag"] * 3 + ["keep"] * 3 + ["reject"] * 4
    after = _entries(tmp_path / "D")
    gone = {entry["key"]: entry for entry in (json.loads(text) for _, text in before - after)}
    of_rejected = {key for image in (rejected | {"bdd/a.jpg"}) for key in (image, f"{image}#0")}
    assert gone.keys() == {*of_rejected, "bdd/b.jpg#0", "bdd/b.jpg#1", "bdd/b.jpg#2"}
    ((_, text),) = after - before
    entry = json.loads(text)
    assert (entry["key"], entry["category_id"], entry["bbox"]) == ("bdd/b.jpg#1", 1, moved)
    rows = {row["key"]: row for row in parquet.read_table(tmp_path / "D/provenance.parquet").to_pylist()}
    relabelled = "decision: relabel bicycle -> person (anna: wrong class)"
    assert relabelled in rows["bdd/b.jpg#1"]["transforms"]
    code, said, _ = nirgen("explain", tmp_path / "D", "bdd/a.jpg")
    assert code == 0
    assert "(anna: seen twice)" in said
