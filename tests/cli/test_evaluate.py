"""`nirgen evaluate` as a person runs it."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nirgen.pairs import PairList


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path) -> Iterator[None]:
    """Torch's cache of weights is empty."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    yield
    torch.hub.set_dir(before)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Folders `gt`, `rgb`, `close` (1 level too bright) and `far` (20 levels), of three images of 40x48."""
    random = np.random.default_rng(0)
    for name in "abc":
        rgb = random.integers(0, 230, (40, 48, 3), dtype=np.uint8)
        nir = rgb[..., 1]
        for folder, pixels in {"rgb": rgb, "gt": nir, "close": nir + 1, "far": nir + 20}.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def table_of(text: str) -> dict[str, list[str]]:
    """The words of each line that begins with a method's name."""
    lines = [
        line
        for line in text.split("marks:", maxsplit=1)[0].splitlines()
        if line and not line.startswith((" ", "method"))
    ]
    return {line.split()[0]: line.split()[1:] for line in lines if not line.endswith(":")}


def test_several_folders_stand_in_one_table_above_the_floors(nirgen, folders: Path) -> None:
    arguments = (folders / "close", folders / "far", folders / "gt", "--rgb", folders / "rgb", "--size", "native")
    code, out, error = nirgen("evaluate", *arguments, "--explain")
    assert (code, error) == (0, "")
    ranking, first, second, _, about, *_ = out.splitlines()
    assert ranking.startswith(
        "close has the highest PSNR affine of 2 on these images (100.00 dB): not told apart from far"
    )
    assert first.startswith("close is better than grey on these images (PSNR affine +")
    assert second.startswith("far is better than grey on these images (PSNR affine +")
    assert about.startswith("gt: 3 images, at their own sizes, as 8-bit grey; 95 % intervals by 2000 bootstrap samples")
    table = table_of(out.partition(about)[2])
    assert list(table) == ["close", "far", "grey", "red"]
    assert table["close"][:2] == ["48.13", "+"]
    assert table["far"][-1] == "12.00"  # the published RMSE of an error of 20
    assert "far - close:" in out
    assert "RMSE +19.00 [+19.00, +19.00] worse" in out
    assert "features: by tf_efficientnet_lite" in out
    assert "FID: weights not found: put weights-inception-2015-12-05-6726825d.pth" in out
    assert "root of the mean squared error" in out
    assert "linear floor: none: it is fitted on pairs of the split 'train', which are not at hand" in out


def test_the_terminal_gets_a_screen_and_the_files_the_rest(nirgen, folders: Path) -> None:
    methods = [folders / "close", folders / "far"]
    for number in range(9):
        methods.append(folders / f"copy{number}")
        shutil.copytree(folders / "far", methods[-1])
    arguments = (*methods, folders / "gt", "--rgb", folders / "rgb", "--size", "native", "--published", "ranus")
    code, out, error = nirgen("evaluate", *arguments)
    assert code == 0
    lines = [*out.splitlines(), *error.splitlines()]
    assert lines[0].startswith("close has the highest PSNR affine of 11 on these images (100.00 dB): not told")
    assert "better than grey: close, far, copy0," in out
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "all measures, intervals and notes: --explain prints them, --out DIR writes them"
    out = nirgen("evaluate", *arguments, "--out", folders / "out")[1]
    assert out.splitlines()[-1] == f"wrote: {folders / 'out/report.html'}, table.md, summary.json, per_image.parquet"
    assert "IRFormer (ranus, published)" in (folders / "out/table.md").read_text(encoding="utf-8")


def test_a_model_is_judged_on_a_list(nirgen, pairs: PairList, tmp_path: Path) -> None:
    pairs.write(tmp_path / "pairs.csv")
    arguments = ("--pairs", tmp_path / "pairs.csv", "--root", pairs.root, "--model", "compact", "--size", 64)
    code, out, _ = nirgen("evaluate", *arguments, "--device", "cpu", "--out", tmp_path / "out")
    assert code == 0
    assert out.startswith("compact is ")
    assert "grey on these images (" in out.splitlines()[0]
    assert "split 'val' of pairs.csv: 2 images in 2 sequences, squashed to 64x64 (bilinear)" in " ".join(out.split())
    assert list(table_of(out.partition("\nmethod ")[2].partition("marks ")[0])) == ["compact", "grey", "red", "linear"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "per_image.parquet",
        "report.html",
        "summary.json",
        "table.md",
    ]


def test_generators_of_any_kind_stand_in_one_table(nirgen, pairs: PairList, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    pairs.write(tmp_path / "pairs.csv")
    listed = ("--pairs", "pairs.csv", "--root", pairs.root)
    assert nirgen("train", "linear", "fitted", *listed)[0] == 0
    (tmp_path / "mine.py").write_text("def blue(rgb):\n    return rgb[..., 2]\n\n\nblue.licence = 'MIT'\n")
    with warnings.catch_warnings(action="ignore"):
        for name, side in (("a", 1), ("b", 3)):
            network = torch.nn.Conv2d(3, 1, side, padding=side // 2)
            torch.nn.init.constant_(network.weight, 1 / network.weight.numel())
            torch.jit.script(network).save(f"{name}.torchscript")
    models = ("compact", "fitted", "mine:blue", "a.torchscript", "b.torchscript")
    given = [word for model in models for word in ("--model", model)]
    given += ["--range=0,255", "--range=-1,1", "--size", 64, "--device", "cpu"]
    code, out, error = nirgen("evaluate", *listed, *given, "--out", "out")
    assert code == 0
    assert len([*out.splitlines(), *error.splitlines()]) <= 24
    assert out.startswith("fitted is the best of 5 on these images (PSNR affine ")
    heading = next(line for line in out.splitlines() if line.startswith("method "))
    assert heading.split()[-3:] == ["parameters", "GMAC", "s/image"]
    assert table_of(out.partition("\nmethod ")[2])["compact"][1] == "-"
    assert "GMAC at 64x64, seconds on the CPU with" in out
    assert "mine:blue: MIT" in " ".join(out.split())

    costs = json.loads((tmp_path / "out/summary.json").read_text())["costs"]
    by_method = {cost.pop("method"): cost for cost in costs["methods"]}
    assert [by_method[name]["parameters"] for name in models] == [6426049, 4, None, 4, 28]
    assert [cost["gmac"] is not None for cost in by_method.values()] == [True] + 7 * [False]
    assert all(cost["seconds"] > 0 for cost in by_method.values())
    assert by_method["mine:blue"]["licence"] == "MIT"
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<h1>Evaluation of compact, fitted, mine:blue, a.torchscript, b.torchscript</h1>" in page
    assert [page.count(f"<figcaption>{name}</figcaption>") for name in models] == [2] * 5
    assert "| fitted | " in (tmp_path / "out/table.md").read_text(encoding="utf-8").partition("## cost")[2]

    code, _, error = nirgen("evaluate", *listed, *given, "--range=0,1")
    assert (code, error) == (
        1,
        "error: 3 ranges for 2 ONNX and TorchScript files; give one --range for all, or one for each\n",
    )


def test_the_licence_of_a_translation_is_told(nirgen, folders: Path) -> None:
    adopted = ("adopt", folders / "rgb", folders / "far", folders / "nir", "--name", "theirs", "--licence", "CC-BY-4.0")
    assert nirgen(*adopted)[0] == 0
    code, out, _ = nirgen("evaluate", folders / "nir", folders / "gt", "--json")
    assert code == 0
    assert json.loads(out)["costs"]["methods"] == [
        {"method": "nir", "parameters": None, "gmac": None, "seconds": None, "licence": "CC-BY-4.0"}
    ]


def test_a_model_and_a_folder_can_be_compared(nirgen, folders: Path) -> None:
    arguments = (folders / "far", folders / "gt", "--rgb", folders / "rgb", "--model", "compact", "--size", 32)
    code, out, _ = nirgen("evaluate", *arguments, "--name", "theirs", "--name", "ours", "--device", "cpu", "--json")
    assert code == 0
    summary = json.loads(out)
    assert [(row["method"], row["kind"]) for row in summary["subsets"][0]["methods"]] == [
        ("theirs", "folder"),
        ("ours", "model"),
        ("grey", "floor"),
        ("red", "floor"),
    ]


def test_without_photos_there_are_no_floors_and_it_says_so(nirgen, folders: Path) -> None:
    code, out, _ = nirgen("evaluate", folders / "close", folders / "gt")
    assert code == 0
    assert out.startswith("no verdict: the baseline grey needs the photos; name their folder with --rgb\n")
    assert "floors: none, not even grey: they need the photos; name their folder with --rgb" in out


def test_a_results_folder_of_pix2pix_is_enough_and_has_its_baseline(nirgen, folders: Path) -> None:
    for folder, ending in {"rgb": "real_A", "gt": "real_B", "far": "fake_B"}.items():
        for path in list((folders / folder).iterdir()):
            (folders / "images").mkdir(exist_ok=True)
            path.rename(folders / "images" / f"{path.stem}_{ending}.png")
    code, out, _ = nirgen("evaluate", folders / "images", "--size", "native")
    assert code == 0
    assert out.startswith("images is better than grey on these images (PSNR affine +")
    assert list(table_of(out.partition("\nmethod ")[2].partition("marks ")[0])) == ["images", "grey", "red"]
    assert "have no real one" not in out
    assert nirgen("evaluate", folders / "images", folders / "images", "--size", "native")[1] == out


def test_generated_images_in_colour_and_of_another_size_can_be_judged(nirgen, folders: Path) -> None:
    for path in (folders / "far").iterdir():
        with Image.open(path) as image:
            grey = image.resize((96, 80))
        Image.merge("RGB", (grey, grey, grey.point(lambda level: level // 2))).save(path)
    code, out, _ = nirgen("evaluate", folders / "far", folders / "gt", "--size", "pred")
    assert code == 0
    assert "gt: 3 images, resized to the first folder's sizes (bilinear), as 8-bit grey" in out
    assert "far: the unequal channels of 3 of its images were averaged" in out
    code, out, _ = nirgen("evaluate", folders / "far", folders / "gt", "--size", "truth", "--json")
    assert json.loads(out)["settings"]["size"] == "truth"


def test_images_without_a_real_one_are_counted(nirgen, folders: Path) -> None:
    Image.new("L", (48, 40)).save(folders / "far/more.png")
    code, out, _ = nirgen("evaluate", folders / "far", folders / "gt")
    assert code == 0
    assert "far: 1 of its images have no real one and were left aside" in out


def test_published_rows_can_be_shown(nirgen, folders: Path) -> None:
    code, out, _ = nirgen(
        "evaluate", folders / "far", folders / "gt", "--published", "flir", "--published", "ranus", "--explain"
    )
    assert code == 0
    assert "IRFormer (flir, published)" in out
    assert "Pix2Next (ranus, published)" in out
    assert "What the paper calls RMSE stands under rmse_uint8_wrapped" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "far/b.png").unlink(), "gt/b.png: no 'b.*' in"),
        (lambda root: (root / "far/b.png").write_bytes(b"\x89PNG\r\n\x1a\n"), "far/b.png' is damaged"),
        (lambda root: (root / "far/b.png").write_bytes(b""), "far/b.png' is empty (0 bytes)"),
        (lambda root: Image.new("L", (50, 40)).save(root / "far/b.png"), "far/b.png: 50x40, but"),
        (lambda root: Image.new("RGB", (48, 40), "red").save(root / "gt/b.png"), "gt/b.png: in colour"),
        (
            lambda root: Image.new("L", (48, 40)).save(root / "far/b.tif"),
            "far/b.tif: b.png differs in its ending alone",
        ),
        (lambda root: [path.unlink() for path in (root / "gt").iterdir()], "gt: no images"),
        (lambda root: Image.new("RGB", (50, 40)).save(root / "rgb/b.png"), "gt/b.png: 48x40, but its photo is 50x40"),
    ],
)
def test_what_can_not_be_judged_is_one_line(nirgen, folders: Path, change, message: str) -> None:
    change(folders)
    arguments = (folders / "far", folders / "gt", "--rgb", folders / "rgb", "--size", "native")
    code, out, error = nirgen("evaluate", *arguments)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert error.startswith("error: ")
    assert message in error


def test_regions_have_a_table_of_their_own(nirgen, folders: Path) -> None:
    (folders / "masks").mkdir()
    for name in "ab":
        mask = np.zeros((40, 48, 3), np.uint8)
        mask[:20], mask[20:] = (0, 128, 0), (128, 64, 128)
        Image.fromarray(mask).save(folders / f"masks/{name}_gt.png")
    arguments = (folders / "far", folders / "gt", "--rgb", folders / "rgb", "--regions", folders / "masks")
    code, out, _ = nirgen("evaluate", *arguments, "--size", "native", "--out", folders / "out", "--explain")
    assert code == 0
    title = "tones of regions (masks of 2 of 3 images)"
    table = table_of(out.split(f"{title}:")[1].partition("far - ")[0])
    assert list(table)[:3] == ["real", "spectra", "far"]
    assert "plausibility ↑ (2)" in out
    assert f"## {title}" in (folders / "out/table.md").read_text(encoding="utf-8")
    assert f"<h2>{title}</h2>" in (folders / "out/report.html").read_text(encoding="utf-8")
    regions = json.loads((folders / "out/summary.json").read_text())["regions"]
    assert [(row["method"], row["kind"]) for row in regions["methods"]][:3] == [
        ("real NIR", "reference"),
        ("spectra", "reference"),
        ("far", "folder"),
    ]
    assert regions["methods"][1]["estimates"]["contrast"] == {"value": 5.89, "low": 2.75, "high": 11.0}


def test_regions_of_other_images_are_one_line(nirgen, folders: Path) -> None:
    (folders / "masks").mkdir()
    Image.new("RGB", (48, 40), (0, 128, 0)).save(folders / "masks/z_gt.png")
    code, _, error = nirgen("evaluate", folders / "far", folders / "gt", "--regions", folders / "masks")
    assert (code, error.count("\n")) == (1, 1)
    assert "none of its 1 names, such as 'z', fits any of the 3 images, such as 'a'" in error


def test_shifted_photos_have_a_table_of_their_own(nirgen, folders: Path) -> None:
    arguments = (folders / "far", folders / "gt", "--rgb", folders / "rgb", "--model", "compact", "--size", 32)
    code, out, _ = nirgen("evaluate", *arguments, "--device", "cpu", "--shifts", "--json")
    assert code == 0
    shifts = json.loads(out)["shifts"]
    assert list(shifts["columns"]) == ["none", "cast", "haze", "clip", "dark", "jpeg"]
    rows = {row["method"]: row["estimates"] for row in shifts["methods"]}
    assert list(rows) == ["compact", "grey", "red", "compact - grey"]
    difference = rows["compact"]["haze"]["value"] - rows["grey"]["haze"]["value"]
    assert rows["compact - grey"]["haze"]["value"] == pytest.approx(difference)
    assert rows["compact - grey"]["haze"]["verdict"] in {"better", "worse", "undecided"}


def test_two_methods_of_one_name_are_one_line(nirgen, folders: Path) -> None:
    code, _, error = nirgen("evaluate", folders / "far", folders / "far", folders / "gt")
    assert (code, error) == (1, "error: two methods would be called 'far'; name each with --name, PREDs first\n")
    code, _, error = nirgen("evaluate", folders / "far", folders / "gt", "--name", "red")
    assert (code, error) == (1, "error: 'red' is the name of a floor; name each with --name, PREDs first\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give PRED and GT, or --model and --pairs"),
        (("gt",), "give PRED and GT, or --model and --pairs"),
        (("gt", "--model", "compact"), "name their folder with --rgb"),
        (("--pairs", "p.csv"), "--pairs needs --model"),
        (("--model", "a", "--model", "b"), "--model needs --pairs, or GT with --rgb"),
        (("a", "gt", "--pairs", "p.csv", "--model", "compact"), "leave out folders"),
        (("a", "gt", "--shifts"), "--shifts needs the photos of GT"),
        (("a", "gt", "--size", "small"), "--size is 'native'"),
        (("a", "gt", "--size", "16"), "--size is 'native'"),
        (("--pairs", "p.csv", "--model", "compact", "--size", "pred"), "--size pred needs PRED"),
        (("a", "gt", "--published", "kaist"), "--published is one of ranus, "),
    ],
)
def test_wrong_usage_is_told(nirgen, arguments: tuple[str, ...], message: str) -> None:
    code, _, error = nirgen("evaluate", *arguments)
    assert code == 2
    assert message in " ".join(error.split())
