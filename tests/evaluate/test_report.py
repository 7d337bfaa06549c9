from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nirgen.errors import OutputError
from nirgen.escapes import markdown
from nirgen.evaluate import methods, report, table
from nirgen.evaluate.features import Backbone
from nirgen.evaluate.measures import PIXEL_MEASURES
from nirgen.evaluate.methods import Case, Frame, from_folders
from nirgen.evaluate.page import Window, choose, error_map, pictures, worst_window
from nirgen.evaluate.perceptual import Networks
from nirgen.evaluate.summary import Report, Settings, score
from nirgen.evaluate.verdicts import sentences
from nirgen.files import check_written


def test_no_error_is_white_too_bright_is_red_too_dark_is_blue() -> None:
    real = np.full((1, 4), 100, np.uint8)
    colours = error_map(np.array([[100, 132, 68, 255]], np.uint8), real)[0].astype(int)
    assert colours[0].tolist() == [255, 255, 255]
    assert colours[1, 0] > colours[1, 2] + 20
    assert colours[2, 2] > colours[2, 0] + 20
    assert colours[3].tolist() == [178, 24, 43]


def test_the_window_is_where_the_error_is_greatest() -> None:
    real = np.zeros((64, 80), np.uint8)
    generated = real.copy()
    generated[40:50, 60:70] = 200
    generated[0, 0] = 255
    window = worst_window([generated, real], real)
    assert (window.height, window.width) == (16, 16)
    assert window.of(generated).sum() == 100 * 200


def test_equal_images_show_their_first_corner() -> None:
    image = np.zeros((64, 64), np.uint8)
    assert worst_window([image], image) == Window(0, 0, 16, 16)


def test_a_large_image_is_shown_smaller_and_its_zoom_pixel_by_pixel() -> None:
    nir = np.random.default_rng(0).integers(0, 256, (600, 1200), dtype=np.uint8)
    case = Case("a", "", "", Path("a.png"), None, "", lambda: (None, nir))
    drawn, window = pictures(Frame(case, None, nir), {"ours": np.zeros_like(nir), "theirs": nir})
    assert [picture.title for picture in drawn] == ["real NIR", "ours", "theirs"]
    assert [opened(picture.error).size for picture in drawn[1:]] == [(512, 256)] * 2
    assert opened(drawn[0].whole).size == (512, 256)
    np.testing.assert_array_equal(np.asarray(opened(drawn[0].zoom)), window.of(nir))


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def scores_of(*psnrs: list[float], sequences: str = "") -> SimpleNamespace:
    methods = [SimpleNamespace(name=f"m{number}", kind="model") for number in range(len(psnrs))]
    values = {method.name: {"psnr_affine": np.array(psnr)} for method, psnr in zip(methods, psnrs, strict=True)}
    cases = [SimpleNamespace(sequence=sequence) for sequence in sequences or "a" * len(psnrs[0])]
    grey = SimpleNamespace(name="grey", kind="floor")
    return SimpleNamespace(methods=[*methods, grey], cases=cases, values=values)


def test_worst_typical_and_best_are_shown_once_each() -> None:
    psnr = [10.0, 11, 12, 20, 21, 22, 30, 31, np.inf]
    shown = [("Worst", [0, 1, 2]), ("Typical", [4, 3, 5]), ("Best", [8, 7, 6])]
    assert choose(scores_of(psnr)) == shown
    halves = [[value / 2 for value in psnr], [value * 1.5 for value in psnr]]
    assert choose(scores_of(*halves)) == shown


def test_images_of_other_recordings_are_shown_first() -> None:
    psnr = [float(number) for number in range(40)]
    sequences = "aaabbbbbbb" + "cccccccccccccccccccddddddd" + "defg"
    chosen = dict(choose(scores_of(psnr, sequences=sequences)))
    assert chosen["Worst"] == [0, 1, 3]  # one of each of two recordings, and the next
    assert chosen["Best"] == [39, 38, 37]
    assert {sequences[number] for number in (*chosen["Typical"], *chosen["Best"])} >= set("cefg")


def test_a_single_image_is_shown_as_the_worst() -> None:
    assert choose(scores_of([20.0])) == [("Worst", [0])]


@pytest.fixture
def made(folders) -> Report:
    """PRED is 10 levels brighter than GT; the floor 'red' is GT itself."""
    pred, gt, rgb = folders
    cases = from_folders(gt, rgb)
    judged = [methods.from_folder(pred, cases, None, "pred")[0], methods.grey(), methods.red()]
    settings = Settings(size=None, resamples=200)
    scores = score(cases, judged, size=None)
    notes = {"lpips": "weights not found: <put> them"}
    return report.make_report(scores, settings, on="gt", notes=notes, weights={}, published=("flir",))


def test_the_numbers_of_an_error_of_10_everywhere(made: Report) -> None:
    row = made.subsets[0].rows[0]
    values = {name: round(estimate.value, 4) for name, estimate in row.estimates.items()}
    assert values.pop("ssim") < 1
    assert values.pop("ssim_uniform7") < 1
    assert values == {
        "psnr": 28.1308,
        "psnr_affine": 100,
        "ssim_affine": 1,
        "rmse": 10,
        "std": 0,
        "bias": 10,
        "rmse_uint8_wrapped": 10,
    }


def test_the_parquet_has_a_row_for_each_method_and_image(made: Report, tmp_path: Path) -> None:
    report.write(made, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out/per_image.parquet").to_pylist()
    assert [(row["method"], row["image"]) for row in rows][:5] == [
        ("pred", "day/a"),
        ("pred", "day/b"),
        ("pred", "dusk/c"),
        ("pred", "dusk/d"),
        ("grey", "day/a"),
    ]
    assert len(rows) == 12
    assert (rows[0]["height"], rows[0]["width"], rows[0]["rmse"], rows[0]["sequence"]) == (40, 48, 10, "day")
    assert rows[8]["psnr"] == np.inf
    metadata = pq.read_schema(tmp_path / "out/per_image.parquet").metadata
    assert metadata[b"nirgen.schema"] == b"1"
    assert json.loads(metadata[b"nirgen.settings"])["size"] is None


def test_the_summary_is_json_without_infinities(made: Report, tmp_path: Path) -> None:
    report.write(made, tmp_path / "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["schema"], summary["subsets"][0]["images"]) == (1, 4)
    pred, _, red = summary["subsets"][0]["methods"]
    assert pred["estimates"]["rmse"] == {"value": 10, "low": 10, "high": 10}
    assert red["estimates"]["psnr"] == {"value": 100, "low": 100, "high": 100}
    assert summary["measures"]["rmse"]["range"] == "[0, 255] grey levels"
    assert summary["published"]["flir"]["rows"]["IRFormer"] == {"psnr": 17.74, "ssim_uniform7": 0.48}
    assert {"about": "LPIPS", "note": "weights not found: <put> them"} in summary["notes"]


def test_the_same_evaluation_gives_the_same_bytes_and_names_no_folder(made: Report, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        report.write(made, tmp_path / folder)
    for name in report.FILES:
        first, second = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert first == second
        assert str(tmp_path).encode() not in first


def test_a_table_has_floors_marks_and_published_rows(made: Report) -> None:
    lines = table.as_text(made).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("method"))
    assert lines[first].split()[:5] == ["method", "PSNR", "↑", "SSIM", "↑"]
    names = [line.split()[0] for line in lines[first + 1 : first + 14] if line and not line.startswith(" ")]
    assert names == ["pred", "grey", "red", "CycleGAN", "Pix2pix", "UNIT", "MUNIT", "BCI", "IRFormer", "Pix2Next"]
    assert lines[first + 1].split()[:3] == ["pred", "28.13", "-"]  # worse than red, which is right
    assert lines[first + 2].split()[:2] == ["[28.13,", "28.13]"]
    assert "LPIPS: weights not found: <put> them" in lines
    assert "  RMSE +10.00 [+10.00, +10.00] worse" in lines


def test_a_narrow_terminal_gets_the_table_in_blocks(made: Report) -> None:
    def table_of(width: int | None) -> list[str]:
        return table.as_text(made, width).split("pred - red")[0].partition("\n\n")[2].splitlines()[1:]

    assert max(map(len, table_of(None))) > 100
    assert max(map(len, table_of(80))) <= 80
    assert sum(line.startswith("method") for line in table_of(80)) > 1
    assert " ".join(table_of(80)).count("↓") == " ".join(table_of(None)).count("↓") == 9
    assert " ".join(table_of(80)).count("↑") == 5


def test_a_terminal_gets_the_verdict_first_and_no_more_than_a_screen(made: Report) -> None:
    many = replace(made, notes=tuple((f"note {number}", "words " * 30) for number in range(30)))
    for each in (made, many):
        lines = table.as_brief(each).splitlines()
        assert lines[0].startswith("pred is better than grey on these images (PSNR affine +")
        assert len(lines) <= 22
        assert max(map(len, lines)) <= 80
    assert table.as_brief(many).splitlines()[-1].startswith("... and 2")
    heading = next(line for line in lines if line.startswith("method"))
    assert heading.split("  ")[0] == "method"
    assert "PSNR affine ↑" in heading
    assert [line.split()[0] for line in lines if line.startswith(("pred ", "grey ", "red "))][1:4] == [
        "pred",
        "grey",
        "red",
    ]
    assert "28.13 -" in table.as_brief(made)  # the number and the mark of the whole table
    assert table.SHORT_LEGEND in lines
    assert any(line.startswith("not measured: ") for line in lines)


def test_a_brief_table_leaves_out_columns_that_do_not_fit(made: Report) -> None:
    narrow = table.brief_table(made.subsets[0], 30)
    assert max(map(len, narrow[:-1])) <= 30
    assert narrow[0].split() == ["method", "PSNR", "affine", "↑"]
    assert len(table.brief_table(made.subsets[0], 80)[0]) > 40


def test_markdown_states_range_size_and_colours_of_each_measure(made: Report) -> None:
    text = table.as_markdown(made)
    assert "| pred | 28.13 [28.13, 28.13] - |" in text
    assert "gt: 4 images, at their own sizes, as 8-bit grey" in text
    assert "| RMSE | ↓ | [0, 255] grey levels | root of the mean squared error | 8-bit grey" in text
    assert "| all | pred | red | PSNR | -71.87 [-71.87, -71.87] | worse |" in text
    assert text.splitlines()[2].startswith("**pred is better than grey on these images (PSNR affine +")


def test_the_page_has_worst_and_best_cases_and_trusts_no_name(made: Report, tmp_path: Path) -> None:
    report.write(made, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "weights not found: &lt;put&gt; them" in page
    assert "<put>" not in page
    assert [page.count(f"<h3>{key}</h3>") for key in ("day/a", "day/b", "dusk/c", "dusk/d")] == [1, 1, 1, 1]
    assert page.count('src="data:image/') == 4 * (3 * 2 + 1)  # photo, real NIR, pred, each with its square; an error
    assert "<h1>Evaluation of pred</h1>" in page
    assert "<h2>Worst</h2>" in page
    assert 'src="http' not in page


def test_the_verdict_leads_in_every_form(made: Report, tmp_path: Path) -> None:
    report.write(made, tmp_path)
    (sentence,) = sentences(made.subsets[0])
    assert table.as_text(made).startswith(f"{sentence}\n\ngt: 4 images")
    assert table.as_markdown(made).startswith(f"# Evaluation\n\n**{markdown(sentence)}.**\n\ngt: 4 images")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f'<p class="verdict">{sentence}.</p>\n<p>gt: 4 images' in page.replace("\n\n", "\n")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["verdicts"] == [sentence]
    (verdict,) = summary["subsets"][0]["verdicts"]
    names = ("method", "minus", "measure", "verdict")
    assert [verdict[name] for name in names] == ["pred", "grey", "psnr_affine", "better"]


def test_definitions_stand_behind_explain_in_the_terminal(made: Report) -> None:
    assert "root of the mean squared error" not in table.as_text(made)
    explained = table.as_text(made, explain=True).splitlines()
    assert (
        "  RMSE ↓  [0, 255] grey levels; root of the mean squared error; 8-bit grey at the size of comparison"
        in explained
    )


def test_the_networks_numbers_stand_in_the_table(folders, weights: Path) -> None:
    pred, gt, _ = folders
    cases = from_folders(gt)
    networks = Networks(weights)
    judged = [methods.from_folder(pred, cases, None, "pred")[0]]
    scores = score(cases, judged, size=None, networks=networks)
    made = report.make_report(scores, Settings(size=None), on="gt", notes=networks.notes, weights={})
    assert set(scores.measures) == {*PIXEL_MEASURES, "lpips", "dists"}
    assert scores.measures[:4] == ("psnr", "ssim", "psnr_affine", "ssim_affine")
    estimates = made.subsets[0].rows[0].estimates
    assert set(estimates) == {*scores.measures, "fid", "kid"}
    assert estimates["lpips"].value > 0
    assert estimates["fid"].value > 0
    notes = dict(made.notes)
    assert "of 4 images it is far too high" in notes["FID"]


def test_the_embedded_backbones_numbers_need_no_other_file(folders, model_with_backbone, tmp_path: Path) -> None:
    pred, gt, _ = folders
    cases = from_folders(gt)
    backbone = Backbone.read(model_with_backbone())
    judged = [methods.from_folder(pred, cases, None, "pred")[0]]
    scores = score(cases, judged, size=None, backbone=backbone)
    files = {"features_distance": backbone.about, "kid_features": backbone.about}
    made = report.make_report(scores, Settings(size=None), on="gt", notes={}, weights=files)
    estimates = made.subsets[0].rows[0].estimates
    assert estimates["features_distance"].low > 0
    assert estimates["kid_features"].low <= estimates["kid_features"].value <= estimates["kid_features"].high
    report.write(made, tmp_path / "out")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["measures"]["kid_features"]["weights"].endswith(f"sha256 {backbone.id[:12]}")
    rows = pq.read_table(tmp_path / "out/per_image.parquet")
    assert json.loads(rows.schema.metadata[b"nirgen.weights"]) == files
    assert min(rows["features_distance"].to_pylist()) > 0


def test_files_that_are_gone_are_noticed(made: Report, tmp_path: Path) -> None:
    files = report.write(made, tmp_path / "out")
    assert [file.path.name for file in files] == list(report.FILES)
    check_written(files)
    (tmp_path / "out/table.md").write_text("cut")
    with pytest.raises(OutputError, match=r"table\.md: was removed or changed while the command was at work"):
        check_written(files)


def test_a_report_where_a_file_lies_is_one_line(made: Report, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: can't be made a folder"):
        report.write(made, tmp_path / "file")
