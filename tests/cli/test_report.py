from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import RedTranslator


@pytest.fixture
def translated(red: RedTranslator, tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        (tmp_path / "rgb").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "rgb" / name)
    translate_folder(tmp_path / "rgb", tmp_path / "nir", model=red)
    return tmp_path / "nir"


def test_a_page_is_written_where_one_says(nirgen: Callable[..., tuple], translated: Path, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "report.html"
    code, out, _ = nirgen("report", translated, "-o", page, "--title", "Ours")
    assert code == 0
    assert out.splitlines()[0] == "2 translated images, without labels."
    assert out.splitlines()[-1].startswith(f"{page}: ")
    assert "<title>Ours: report by nirgen</title>" in page.read_text(encoding="utf-8")


def test_scores_of_an_older_version_are_measured_again_with_one_line(
    nirgen: Callable[..., tuple], translated: Path, tmp_path: Path
) -> None:
    nirgen("report", translated, "-o", tmp_path / "report.html")
    scores = translated / "scores.parquet"
    now = scores.read_bytes()
    pq.write_table(pq.read_table(scores).replace_schema_metadata({"nirgen.schema": "1"}).drop(["lift"]), scores)
    code, _, errors = nirgen("report", translated, "-o", tmp_path / "report.html")
    assert code == 0
    assert f"{scores}: of another version of nirgen; all images are measured again" in errors
    assert scores.read_bytes() == now
    assert "another version" not in nirgen("report", translated, "-o", tmp_path / "report.html")[2]


def test_without_a_name_it_is_report_html_here(
    nirgen: Callable[..., tuple], translated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert nirgen("report", "nir")[0] == 0
    assert (tmp_path / "report.html").is_file()


def test_json_has_what_is_on_the_page(nirgen: Callable[..., tuple], translated: Path, tmp_path: Path) -> None:
    _, out, _ = nirgen("report", translated, "-o", tmp_path / "report.html", "--json")
    values = json.loads(out)
    assert values["totals"]["images"] == 2
    assert values["page"] == {
        "path": str(tmp_path / "report.html"),
        "bytes": (tmp_path / "report.html").stat().st_size,
    }


def test_rgb_images_that_have_moved_are_found_where_one_says(
    nirgen: Callable[..., tuple], translated: Path, tmp_path: Path
) -> None:
    (tmp_path / "rgb").rename(tmp_path / "photos")
    page = tmp_path / "report.html"
    _, out, _ = nirgen("report", translated, "-o", page)
    assert "RGB files missing: 2" in out
    _, out, _ = nirgen("report", translated, "-o", page, "--sources", f"nir={tmp_path / 'photos'}")
    assert "missing" not in out


@pytest.mark.parametrize("given", ["photos", "=photos", "nir="])
def test_a_folder_of_sources_has_a_name(nirgen: Callable[..., tuple], translated: Path, given: str) -> None:
    code, _, error = nirgen("report", translated, "--sources", given)
    assert code == 2
    assert "NAME=PATH" in error


def test_a_folder_that_is_none_of_ours_is_a_line(nirgen: Callable[..., tuple], tmp_path: Path) -> None:
    code, _, error = nirgen("report", tmp_path, "-o", tmp_path / "report.html")
    assert code == 1
    assert len(error.splitlines()) == 1
    assert "name a folder that" in error
    assert not (tmp_path / "report.html").exists()
