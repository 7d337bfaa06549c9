"""From photographs to a comparison: real images and labels, by the commands that a person would give."""

from __future__ import annotations

import contextlib
import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Nirgen = Callable[..., tuple[int, str, str]]


KNOWN = {"person", "bicycle", "car", "truck", "bus", "motorcycle"}
SHARE = 4  # photographs are taken at a quarter of their width and height
IMAGES, OF_REAL = 20, 12


@pytest.fixture
def photographs(shared_data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Some photographs of COCO that show what we detect, made small, in two folders with labels of the same names.

    Returns:
        The folder of those that stand for a NIR camera's own images, and that of those to translate.
    """
    document = json.loads((shared_data / "coco" / "instances_train2017.json").read_text())
    classes = {category["id"]: category["name"] for category in document["categories"]}
    shown = {each["image_id"] for each in document["annotations"] if classes[each["category_id"]] in KNOWN}
    images = sorted((each for each in document["images"] if each["id"] in shown), key=lambda each: each["file_name"])
    folders = tmp_path / "street", tmp_path / "web"
    for folder, part in zip(folders, (images[:OF_REAL], images[OF_REAL:IMAGES]), strict=True):
        folder.mkdir()
        for image in part:
            with Image.open(shared_data / "coco" / "train2017" / image["file_name"]) as photo:
                photo.resize((image["width"] // SHARE, image["height"] // SHARE)).save(folder / image["file_name"])
        ids = {image["id"] for image in part}
        boxes = [_small(each) for each in document["annotations"] if each["image_id"] in ids]
        sizes = [each | {key: each[key] // SHARE for key in ("width", "height")} for each in part]
        small = document | {"images": sizes, "annotations": boxes}
        folder.with_suffix(".json").write_text(json.dumps(small))
    return folders


def _small(annotation: dict[str, Any]) -> dict[str, Any]:
    kept = {key: annotation[key] for key in ("id", "image_id", "category_id", "iscrowd")}
    bbox = [side / SHARE for side in annotation["bbox"]]
    return kept | {"bbox": bbox, "area": annotation["area"] / SHARE**2}


def test_training_learns_judging_is_pycocotools_and_three_arms_come_out(
    nirgen: Nirgen, photographs: tuple[Path, Path], tmp_path: Path
) -> None:
    def run(*words: object) -> str:
        code, out, err = nirgen(*words)
        assert code == 0, err
        return out

    for folder in photographs:
        run("translate", folder, tmp_path / f"{folder.name}-nir", "--model", "compact", "--device", "cpu")
        run("labels", folder.with_suffix(".json"), "-o", tmp_path / f"{folder.name}-labels.json")
    dataset = tmp_path / "D"
    real = _as_a_cameras_own(tmp_path / "street-nir", tmp_path / "camera", tmp_path / "street-labels.json")
    run(
        *("build-dataset", tmp_path / "web-nir", tmp_path / "web-labels.json", dataset),
        *("--real", f"{real}:{tmp_path / 'street-labels.json'}"),
        *("--split", "train=0.5,test=0.5", "--split-by", "frame", "--yes"),
    )

    tiny = ("--model", "fresh-tiny", "--size", 96, "--batch", 4, "--device", "cpu", "--set", "log_steps=1")
    run("detect", "train", dataset, tmp_path / "run", *tiny, "--steps", 24, "--learning-rate", 0.001)
    losses = [
        entry["loss"]
        for entry in map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
        if "loss" in entry
    ]
    assert len(losses) == 24
    assert sum(losses[-6:]) < 0.8 * sum(losses[:6])

    run("detect", "evaluate", tmp_path / "run", dataset, "-o", tmp_path / "judged", "--device", "cpu")
    metrics = json.loads((tmp_path / "judged" / "metrics.json").read_text())
    stats = _by_pycocotools(dataset / "annotations" / "test.json", tmp_path / "judged" / "detections.json")
    for name, number in zip(("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"), stats, strict=False):
        assert metrics["numbers"][name]["value"] == (pytest.approx(number, abs=1e-12) if number >= 0 else None)
    assert metrics["numbers"]["ar100"]["value"] == pytest.approx(stats[8], abs=1e-12)

    out = run("detect", "compare", dataset, tmp_path / "arms", *tiny, "--steps", 3, "--seeds", "0", "--ratios", "all")
    row = r"^(as pretrained|\+ real|\+ real \+ all generated) +(0\.\S+) .*\n +\((0\.\S+) to (\S+)\)"
    rows = re.findall(row, out, re.MULTILINE)
    assert [row[0] for row in rows] == ["as pretrained", "+ real", "+ real + all generated"]
    assert all(0 <= float(low) <= float(value) <= float(high) <= 1 for _, value, low, high in rows)
    assert f"{IMAGES - OF_REAL} generated images beside {OF_REAL // 2} real ones" in out


def _as_a_cameras_own(translated: Path, folder: Path, labels: Path) -> Path:
    """Translated photographs as plain images that stand for those of a NIR camera, and their labels by these names."""
    folder.mkdir()
    for path in sorted(translated.glob("*.png")):
        path.rename(folder / path.name)
    labels.write_text(labels.read_text().replace(".jpg", ".png"))
    return folder


def _by_pycocotools(truth: Path, results: Path) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        judge = COCOeval(coco, coco.loadRes(str(results)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(number) for number in judge.stats]
