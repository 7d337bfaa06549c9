"""`nirgen detect predict`, as a person runs it."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from pycocotools.coco import COCO

from nirgen.detect.config import DetectConfig
from nirgen.detect.loop import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Nirgen = Callable[..., tuple[int, str, str]]


@pytest.fixture
def detector(made_dataset: Callable[..., Path], tmp_path: Path) -> Path:
    """A run of one step."""
    config = DetectConfig.read({"model": "fresh-tiny", "size": 64, "steps": 1, "workers": 0}, where="the test")
    train(made_dataset(tmp_path / "D", real=2, generated=0, test=0), tmp_path / "R", config, device="cpu")
    return tmp_path / "R"


@pytest.fixture
def folder(save: Callable[..., Path], tmp_path: Path) -> Path:
    """Two images, one in a subfolder, and a damaged one."""
    save(tmp_path / "images/a.png", 40, 60)
    save(tmp_path / "images/below/$b$.jpg", 30, 20, 1, grey=True)
    (tmp_path / "images/damaged.png").write_bytes(b"no image")
    (tmp_path / "images/notes.txt").write_text("")
    return tmp_path / "images"


def test_images_become_coco_results_that_pycocotools_loads_and_damaged_ones_rows_with_their_errors(
    nirgen: Nirgen, detector: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, printed, error = nirgen("detect", "predict", detector, folder, out, "--device", "cpu", "--score", 0)
    assert code == 3
    assert "damaged.png" in error
    verdict, wrote = printed.splitlines()
    assert verdict.startswith("boxes at scores from 0 on, on 2 images: ")
    assert verdict.endswith("; 1 image failed")
    assert wrote == f"wrote: {out}/detections.json, {out}/images.json, {out}/rows.jsonl, {out}/pictures"

    with contextlib.redirect_stdout(io.StringIO()):
        coco: Any = COCO(str(out / "images.json"))
        found = coco.loadRes(str(out / "detections.json"))
    assert [image["file_name"] for image in coco.dataset["images"]] == ["a.png", "below/$b$.jpg"]
    assert [(image["width"], image["height"]) for image in coco.dataset["images"]] == [(60, 40), (20, 30)]
    assert [category["name"] for category in coco.dataset["categories"]] == ["person", "bicycle", "car"]
    for image in coco.dataset["images"]:
        boxes = [each["bbox"] for each in found.loadAnns(found.getAnnIds(imgIds=image["id"]))]
        assert boxes
        assert all(x + width <= image["width"] + 0.01 for x, _, width, _ in boxes)
    _, *rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [(row["file_name"], "error" in row) for row in rows] == [
        ("a.png", False),
        ("below/$b$.jpg", False),
        ("damaged.png", True),
    ]
    for name in ("a.png.png", "below/$b$.jpg.png"):
        with Image.open(out / "pictures" / name) as picture:
            assert max(picture.size) >= 640


def test_the_same_command_takes_up_what_is_done_and_looks_at_changed_images_anew(
    nirgen: Nirgen, detector: Path, folder: Path, save: Callable[..., Path], tmp_path: Path
) -> None:
    command = ("detect", "predict", detector, folder, tmp_path / "out", "--device", "cpu", "--pictures", 0)
    assert nirgen(*command)[0] == 3
    rows = tmp_path / "out/rows.jsonl"
    first = rows.read_bytes()
    rows.write_bytes(b"".join(first.splitlines(keepends=True)[:2]) + b'{"file_na')  # killed after one image
    code, printed, _ = nirgen(*command, "--json")
    values = json.loads(printed)
    assert (code, values["images"], values["done_before"]) == (3, 3, 1)
    assert [each["file_name"] for each in values["failed"]] == ["damaged.png"]
    assert rows.read_bytes() == first
    save(folder / "damaged.png", 20, 20, 2)
    code, printed, _ = nirgen(*command, "--json")
    assert (code, json.loads(printed)["done_before"], json.loads(printed)["failed"]) == (0, 2, [])
    assert not (tmp_path / "out/pictures").exists()


def test_mistakes_end_with_1_and_one_line(nirgen: Nirgen, detector: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").touch()
    for words, said in (
        ((detector, tmp_path / "empty", tmp_path / "out"), "empty: no images there ("),
        ((detector, folder, folder / "out"), "so its pictures would be images of the next run; name another"),
        ((detector, folder, tmp_path / "other"), "holds no predictions, but 'thesis.tex'; name a new folder"),
        ((detector, folder, tmp_path / "out", "--classes", "dog"), "knows no 'dog'"),
        (("fresh-tiny", folder, tmp_path / "out"), "fresh-tiny: random weights know no classes"),
    ):
        code, printed, error = nirgen("detect", "predict", *words, "--device", "cpu")
        assert (code, printed) == (1, ""), words
        assert said in error
        assert len(error.splitlines()) == 1
    nirgen("detect", "predict", detector, folder, tmp_path / "out", "--device", "cpu", "--pictures", 0)
    code, _, error = nirgen(
        "detect", "predict", detector, folder, tmp_path / "out", "--device", "cpu", "--classes", "car"
    )
    assert code == 1
    assert "holds predictions of another model, of other classes or another size; name a new folder" in error
