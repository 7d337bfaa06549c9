"""The page about a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from nirgen.recipe.page import render
from nirgen.recipe.plan import Hashes, make_plan
from nirgen.recipe.resolve import resolve
from nirgen.recipe.run import Outcome, Progress, log_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.recipe.commands import Command
    from nirgen.recipe.recipe import Recipe


EXPECT = [{"what": "boxes <b>", "value": 2, "tolerance": 0, "source": "made", "file": "${labels.out}", "at": "boxes"}]


@pytest.fixture
def page(recipe: Callable[..., Recipe], commands: dict[str, Command], tmp_path: Path) -> Callable[..., str]:
    """The page of a run of two stages of which the second has the given phase; what they wrote is made up."""

    def make(phase: Any = "done", problem: str = "") -> str:
        (tmp_path / "in & out.json").write_text("{}")
        made = recipe(
            {
                "labels": {"run": "labels", "with": {"inputs": str(tmp_path / "in & out.json")}},
                "nir": {"run": "translate", "with": {"source": str(tmp_path)}},
            },
            expect=EXPECT,
        )
        out = tmp_path / "run"
        steps = make_plan(resolve(made, commands, out, {}), out, Hashes(tmp_path / "hashes.json"))
        log_file(out, "labels").parent.mkdir(parents=True)
        log_file(out, "labels").touch()
        (out / "stages/labels").mkdir(parents=True)
        (out / "stages/labels/labels.json").write_text('{"boxes": [1, 2]}')
        nir = out / "stages/nir/nir"
        (nir / "below").mkdir(parents=True)
        for name in ("a b.png", "b.png", "c.jpg", "d.png", "below/e.png"):
            Image.fromarray(np.full((40, 2000), 90, np.uint8)).save(nir / name)
        (nir / "b.png").write_bytes(b"no picture")
        progress = [Progress(steps[0], "skipped", 1.0), Progress(steps[1], phase, 4.0)]
        return render(made, Outcome(0, progress, problem), out)

    return make


def rows(text: str) -> list[list[str]]:
    """The cells of the tables, without their tags."""
    lines = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    return [
        [re.sub("<[^>]*>", " ", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]
        for line in lines
    ]


def test_stages_have_state_time_reason_and_links(page: Callable[..., str]) -> None:
    _, labels, nir, _, number = rows(page())
    assert labels[:5] == ["labels", "skipped", "1.0", "", "never run"]
    assert labels[5].split() == ["stages/labels/labels.json", "logs/labels.log"]
    assert nir[:5] == ["nir", "done", "4.0", "", "never run"]
    assert number == ["boxes &lt;b&gt; (made)", "2 ± 0", "2", "yes"]


def test_bars_are_as_long_as_the_stages_took(page: Callable[..., str]) -> None:
    assert re.findall(r'class="bar" style="width: ([\d.]+)%"', page()) == ["25.0", "100.0"]


def test_pictures_are_in_the_page_reduced_and_a_few_only(page: Callable[..., str]) -> None:
    text = page()
    found = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)"', text)
    assert found == ["stages/nir/nir/a b.png", "stages/nir/nir/c.jpg"]  # of the first three, one can't be read
    assert 'href="stages/nir/nir/a%20b.png"' in text
    assert len(text) < 30_000


def test_what_went_wrong_is_said(page: Callable[..., str]) -> None:
    text = page("failed", "stage 'nir' failed: <no> disk")
    assert '<tr class="failed">' in text
    assert '<p class="problem">stage &#39;nir&#39; failed: &lt;no&gt; disk</p>' in text


def test_the_page_asks_nothing_of_other_hosts(page: Callable[..., str]) -> None:
    text = page()
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert [link for link in re.findall(r'(?:href|src)="([^"]*)"', text) if "//" in link.partition(",")[0]] == []
