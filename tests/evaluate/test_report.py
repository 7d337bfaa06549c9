from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from nirgen.errors import OutputError
from nirgen.evaluate import methods, report, table
from nirgen.evaluate.cases import from_folders
from nirgen.evaluate.perceptual import Networks
from nirgen.evaluate.scores import score
from nirgen.evaluate.summary import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def made(folders) -> report.Report:
    """PRED is 10 levels brighter than GT; the floor 'red' is GT itself."""
    pred, gt, rgb = folders
    cases = from_folders(gt, rgb)
    judged = [methods.from_folder(pred, cases, None, "pred")[0], methods.luma(), methods.red()]
    settings = Settings(size=None, resamples=200)
    scores = score(cases, judged, size=None)
    notes = {"lpips": "weights not found: <put> them"}
    return report.make_report(scores, settings, on="gt", notes=notes, weights={}, published=("flir",))


def test_the_numbers_of_an_error_of_10_everywhere(made: report.Report) -> None:
    row = made.subsets[0].rows[0]
    values = {name: round(estimate.value, 4) for name, estimate in row.estimates.items() if name != "ssim"}
    assert values == {"psnr": 28.1308, "rmse": 10, "std": 0, "bias": 10, "rmse_uint8_wrapped": 10}


def test_the_parquet_has_a_row_for_each_method_and_image(made: report.Report, tmp_path: Path) -> None:
    report.write(made, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out/per_image.parquet").to_pylist()
    assert [(row["method"], row["image"]) for row in rows][:5] == [
        ("pred", "day/a"),
        ("pred", "day/b"),
        ("pred", "dusk/c"),
        ("pred", "dusk/d"),
        ("luma", "day/a"),
    ]
    assert len(rows) == 12
    assert (rows[0]["height"], rows[0]["width"], rows[0]["rmse"], rows[0]["sequence"]) == (40, 48, 10, "day")
    assert rows[8]["psnr"] == np.inf
    metadata = pq.read_schema(tmp_path / "out/per_image.parquet").metadata
    assert metadata[b"nirgen.schema"] == b"1"
    assert json.loads(metadata[b"nirgen.settings"])["size"] is None


def test_the_summary_is_json_without_infinities(made: report.Report, tmp_path: Path) -> None:
    report.write(made, tmp_path / "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["schema"], summary["subsets"][0]["images"]) == (1, 4)
    pred, _, red = summary["subsets"][0]["methods"]
    assert pred["estimates"]["rmse"] == {"value": 10, "low": 10, "high": 10}
    assert red["estimates"]["psnr"] == {"value": None, "low": None, "high": None}
    assert summary["measures"]["rmse"]["range"] == "[0, 255] grey levels"
    assert summary["published"]["flir"]["rows"]["IRFormer"] == {"psnr": 17.74, "ssim": 0.48}
    assert {"about": "LPIPS", "note": "weights not found: <put> them"} in summary["notes"]


def test_the_same_evaluation_gives_the_same_bytes_and_names_no_folder(made: report.Report, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        report.write(made, tmp_path / folder)
    for name in report.FILES:
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert first == second
        assert str(tmp_path).encode() not in first


def test_a_table_has_floors_marks_and_published_rows(made: report.Report) -> None:
    lines = table.as_text(made).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("method"))
    assert lines[first].split()[:5] == ["method", "PSNR", "↑", "SSIM", "↑"]
    names = [line.split()[0] for line in lines[first + 1 : first + 14] if line and not line.startswith(" ")]
    assert names == ["pred", "luma", "red", "CycleGAN", "Pix2pix", "UNIT", "MUNIT", "BCI", "IRFormer", "Pix2Next"]
    assert lines[first + 1].split()[:3] == ["pred", "28.13", "-"]  # worse than red, which is right
    assert lines[first + 2].split()[:2] == ["[28.13,", "28.13]"]
    assert "LPIPS: weights not found: <put> them" in lines
    assert "  RMSE +10.00 [+10.00, +10.00] worse" in lines


def test_a_narrow_terminal_gets_the_table_in_blocks(made: report.Report) -> None:
    def table_of(width: int | None) -> list[str]:
        return table.as_text(made, width).split("pred - red")[0].splitlines()[1:]

    assert max(map(len, table_of(None))) > 100
    assert max(map(len, table_of(80))) <= 80
    assert sum(line.startswith("method") for line in table_of(80)) > 1
    assert " ".join(table_of(80)).count("↓") == " ".join(table_of(None)).count("↓") == 7


def test_markdown_states_range_size_and_colours_of_each_measure(made: report.Report) -> None:
    text = table.as_markdown(made)
    assert "| pred | 28.13 [28.13, 28.13] - |" in text
    assert "gt: 4 images, at their own sizes, as 8-bit grey" in text
    assert "| RMSE | ↓ | [0, 255] grey levels | root of the mean squared error | 8-bit grey" in text
    assert "| all | pred | red | PSNR | -∞ [-∞, -∞] | worse |" in text


def test_the_page_has_worst_and_best_cases_and_trusts_no_name(made: report.Report, tmp_path: Path) -> None:
    report.write(made, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "weights not found: &lt;put&gt; them" in page
    assert "<put>" not in page
    assert [page.count(f"<h3>{key}</h3>") for key in ("day/a", "day/b", "dusk/c", "dusk/d")] == [1, 1, 1, 1]
    assert page.count('src="data:image/') == 4 * 4 * 2
    assert "Worst by PSNR" in page
    assert "Best by PSNR" in page
    assert 'src="http' not in page


def test_the_networks_numbers_stand_in_the_table(folders, weights: Path) -> None:
    pred, gt, _ = folders
    cases = from_folders(gt)
    networks = Networks(weights)
    judged = [methods.from_folder(pred, cases, None, "pred")[0]]
    scores = score(cases, judged, size=None, networks=networks)
    made = report.make_report(scores, Settings(size=None), on="gt", notes=networks.notes, weights={})
    assert scores.measures == ("psnr", "ssim", "rmse", "lpips", "dists", "std", "bias", "rmse_uint8_wrapped")
    estimates = made.subsets[0].rows[0].estimates
    assert set(estimates) == {*scores.measures, "fid", "kid"}
    assert estimates["lpips"].value > 0
    assert estimates["fid"].value > 0
    notes = dict(made.notes)
    assert "of 4 images it is far too high" in notes["FID"]


def test_a_report_where_a_file_lies_is_one_line(made: report.Report, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: can't be made a folder"):
        report.write(made, tmp_path / "file")
