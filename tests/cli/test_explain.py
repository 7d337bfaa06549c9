from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real image with a box whose class the policy merges."""
    from nirgen.dataset.build import build
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.planner import make_plan

    root = tmp_path_factory.mktemp("explained")
    (root / "real").mkdir()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(root / "real/a.png")
    labels = {
        "images": [{"id": 5, "file_name": "a.png", "width": 30, "height": 20, "split": "train"}],
        "annotations": [{"id": 40, "image_id": 5, "category_id": 8, "bbox": [2, 3, 10, 12], "area": 120, "iscrowd": 0}],
        "categories": [{"id": 8, "name": "truck"}],
    }
    (root / "real.json").write_text(json.dumps(labels))
    settings = {"real": [{"origin": "ranus", "folder": root / "real", "labels": root / "real.json"}]}
    build(make_plan(DatasetConfig.read(settings, where="test")), root / "D")
    return root / "D"


def test_one_screen_tells_where_a_box_comes_from(nirgen, dataset: Path) -> None:
    code, out, error = nirgen("explain", dataset, "ranus/a.png#40")
    assert (code, error) == (0, "")
    shown = [" ".join(line.split()) for line in out.splitlines()]
    assert shown[:6] == [
        "annotation 1: ranus/a.png#40",
        "class car, in the source truck",
        "box x 2, y 3, 10 x 12 px, area 120",
        "source id 40",
        "image 1: ranus/a.png",
        "30x20, real, in train",
    ]
    assert shown[-1] == "steps 1. label: class truck -> car"
    assert len(shown) <= 25
    assert all(line == line.rstrip() for line in out.splitlines())


def test_an_image_is_asked_for_with_image(nirgen, dataset: Path) -> None:
    code, _, error = nirgen("explain", dataset, 1)
    assert (code, error) == (0, "note: image 1 exists as well: --image\n")
    code, out, error = nirgen("explain", dataset, 1, "--image")
    assert (code, error) == (0, "")
    assert out.startswith("image   1: ranus/a.png\n")
    assert "boxes   1 car\n" in out


def test_an_explanation_is_json_on_request(nirgen, dataset: Path) -> None:
    code, out, _ = nirgen("explain", dataset, "ranus/a.png#40", "--json")
    values = json.loads(out)
    assert code == 0
    assert (values["kind"], values["box"]["bbox"], values["labels"]["name"]) == (
        "annotation",
        [2, 3, 10, 12],
        "real.json",
    )


def test_what_is_not_there_is_one_line(nirgen, dataset: Path) -> None:
    code, out, error = nirgen("explain", dataset, "ranus/b.png")
    assert (code, out) == (1, "")
    assert error == f"error: {dataset}: no image or annotation 'ranus/b.png'; the nearest keys are 'ranus/a.png'\n"


def test_what_was_rejected_is_an_answer_and_no_error(nirgen, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"key": "ranus/a.png#40", "action": "delete", "author": "anna"}\n')
    inputs = json.loads((dataset / "run.json").read_text())["inputs"]["ranus"]
    real = ("--real", f"ranus={inputs['folder']}:{inputs['labels']}", "--curation", tmp_path / "c.jsonl")
    assert nirgen("build-dataset", tmp_path / "D", *real, "--yes")[0] == 0
    said = f"{tmp_path / 'D'}: 'ranus/a.png#40' was removed by a decision: delete (anna); see curation.jsonl"
    assert nirgen("explain", tmp_path / "D", "ranus/a.png#40")[:2] == (0, f"{said}\n")
    code, out, _ = nirgen("explain", tmp_path / "D", "ranus/a.png#40", "--json")
    assert (code, json.loads(out)) == (0, {"kind": "absent", "why": said})


def test_a_picture_shows_the_box_with_its_surroundings_and_the_rgb_image_beside_it(
    nirgen, made_dataset, tmp_path
) -> None:
    made_dataset(tmp_path / "d", real=1, generated=1, test=0)
    code, out, _ = nirgen("explain", tmp_path / "d", "bdd/00.png#0", "--picture", tmp_path / "box.png")
    assert (code, out.splitlines()[-1]) == (0, f"wrote: {tmp_path}/box.png")
    picture = np.asarray(Image.open(tmp_path / "box.png")).astype(int)
    assert picture.shape[1] == 12 + 480 + 6 + 480 + 12
    red = picture[..., 0] - picture[..., 1] > 100  # the lines of the box
    assert red[:, :492].sum() == red[:, 498:].sum() > 1000


def test_a_picture_of_a_real_image_without_a_partner_is_nir_alone(nirgen, dataset: Path, tmp_path) -> None:
    for number, wanted in enumerate(("ranus/a.png#40", "ranus/a.png")):
        nirgen("explain", dataset, wanted, "--picture", tmp_path / f"{number}.png")
        assert np.asarray(Image.open(tmp_path / f"{number}.png")).shape[1] == 12 + 480 + 12


def test_a_picture_that_cannot_be_written_is_one_line(nirgen, dataset: Path, tmp_path) -> None:
    code, out, error = nirgen("explain", dataset, "ranus/a.png#40", "--picture", tmp_path / "box.gif")
    assert (code, out) == (1, "")
    assert error == f"error: {tmp_path}/box.gif: the picture is written as PNG; give it a name that ends in .png\n"
