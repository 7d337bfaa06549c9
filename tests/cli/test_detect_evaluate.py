"""`nirgen detect evaluate`, as a person runs it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nirgen.files import sha256_of, unseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def dataset(made_dataset: Callable[..., Path], tmp_path: Path) -> Path:
    return made_dataset(tmp_path / "D", real=1, generated=1, test=6)


@pytest.fixture
def results(dataset: Path, tmp_path: Path) -> Path:
    """Detections made elsewhere: every object half found, and a wrong box on each image."""
    document = json.loads((dataset / "annotations" / "test.json").read_text())
    found: list[dict[str, Any]] = []
    for place, annotation in enumerate(document["annotations"]):
        x, y, width, height = annotation["bbox"]
        of = {"image_id": annotation["image_id"], "category_id": annotation["category_id"]}
        found.append(of | {"bbox": [x + place % 3, y, width, height], "score": 0.9 - 0.05 * place})
    wrong = {"category_id": 3, "bbox": [0, 15, 5, 5], "score": 0.55}
    found += [{"image_id": image["id"]} | wrong for image in document["images"]]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(found))
    return path


def test_results_of_another_tool_are_judged_as_pycocotools_does(
    nirgen: Callable[..., tuple[int, str, str]], dataset: Path, results: Path, tmp_path: Path
) -> None:
    code, out, err = nirgen("detect", "evaluate", dataset, "--detections", results, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    ours = _read_table(out)
    stats = _by_pycocotools(dataset / "annotations" / "test.json", tmp_path / "out" / "detections.json")
    for title, number in zip(("AP", "AP50", "AP75", "AP small"), stats, strict=False):
        assert ours[title] == f"{number:.4f}"
    assert ours["AP large"] == "-"  # where pycocotools says -1
    assert ours["AP bicycle"] == "-"
    assert float(ours["AP person"]) > 0
    assert "on 6 images of the split 'test', by pycocotools" in out.splitlines()[0]
    assert "note: no bicycle is on these images, so AP is over the other classes" in out
    verdict, wrote = out.splitlines()[-2:]
    best, worst = sorted(("person", "car"), key=lambda name: float(ours[f"AP {name}"]), reverse=True)
    assert re.fullmatch(
        rf"AP {ours['AP']} \(95 % interval [\d.]+ to [\d.]+\) on 6 images of 'test'; best on {best}, worst on {worst}",
        verdict,
    )
    names = ("metrics.json", "detections.json", "predictions.png", "precision_recall.png", "confusion_matrix.png")
    assert wrote == f"wrote: {', '.join(str(tmp_path / 'out' / name) for name in names)}"


def test_intervals_stand_beside_the_numbers(
    nirgen: Callable[..., tuple[int, str, str]], dataset: Path, results: Path
) -> None:
    _, out, _ = nirgen("detect", "evaluate", dataset, "--detections", results, "--resamples", 100)
    found = re.search(r"^AP  +(0\.\d{4})  +(0\.\d{4}) to ([01]\.\d{4})", out, re.MULTILINE)
    assert found is not None
    assert float(found[2]) < float(found[1]) < float(found[3])
    _, without, _ = nirgen("detect", "evaluate", dataset, "--detections", results, "--resamples", 0)
    assert re.search(rf"^AP  +{found[1]}  +-  ", without, re.MULTILINE)


def test_a_model_is_judged_twice_to_the_same_bytes(
    nirgen: Callable[..., tuple[int, str, str]], dataset: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        code, out, _ = nirgen(
            "detect", "evaluate", "fresh-tiny", dataset, "--size", 64, "--device", "cpu", "-o", tmp_path / name
        )
        assert code == 0
        assert out.startswith("fresh-tiny on 6 images of the split 'test'")
    for name in ("detections.json", "metrics.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["judged"]["model"] == "fresh-tiny"
    assert len(metrics["judged"]["model_id"]) == 64
    assert metrics["images"] == {"count": 6, "generated": 0, "unlabelled": 0, "empty": 1}
    assert str(tmp_path) not in (tmp_path / "a" / "metrics.json").read_text()


def test_json_is_what_metrics_json_holds(
    nirgen: Callable[..., tuple[int, str, str]], dataset: Path, results: Path, tmp_path: Path
) -> None:
    options = ("--detections", results, "--resamples", 50, "-o", tmp_path / "out", "--json")
    code, out, err = nirgen("detect", "evaluate", dataset, *options)
    assert (code, err) == (0, "")
    held = unseal(json.loads((tmp_path / "out" / "metrics.json").read_text()))
    assert held.pop("detections_sha256") == sha256_of(tmp_path / "out" / "detections.json")
    assert json.loads(out) == held


def test_no_detections_are_fine(nirgen: Callable[..., tuple[int, str, str]], dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    code, out, _ = nirgen("detect", "evaluate", dataset, "--detections", tmp_path / "none.json")
    assert code == 0
    assert _read_table(out)["AP"] == "0.0000"


def test_wrong_usage_ends_with_2(nirgen: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for words, said in (
        (("D",), "give MODEL and DATASET, or --detections FILE with DATASET"),
        (("M", "D", "E"), "give MODEL and DATASET, or DATASET with --detections"),
        (("M", "D", "--detections", "f.json"), "leave out MODEL"),
        (("D", "--detections", "f.json", "--size", "64"), "--device and --size are of a MODEL"),
    ):
        code, _, err = nirgen("detect", "evaluate", *words)
        assert code == 2
        assert said in " ".join(err.split())


def test_mistakes_end_with_1_and_one_line(
    nirgen: Callable[..., tuple[int, str, str]], dataset: Path, results: Path, tmp_path: Path
) -> None:
    value = json.loads(results.read_text())
    value[3]["category_id"] = 17
    results.write_text(json.dumps(value))
    for words, said in (
        ((dataset, "--detections", results), "detection 3 is of category 17, which the dataset doesn't have"),
        ((dataset, "--detections", tmp_path / "no.json"), "can't be read"),
        ((dataset, "--detections", results, "--split", "val"), "the split 'val' has no images"),
        ((tmp_path / "nothing", "--detections", results), "no dataset of nirgen's"),
    ):
        code, out, err = nirgen("detect", "evaluate", *words)
        assert (code, out) == (1, "")
        assert said in err
        assert len(err.splitlines()) == 1


def test_without_transformers_a_model_is_refused_with_the_remedy(
    nirgen: Callable[..., tuple[int, str, str]], dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, _, err = nirgen("detect", "evaluate", "fresh-tiny", dataset)
    assert code == 1
    assert "pip install 'nirgen[detect]'" in err
    assert len(err.splitlines()) == 1


def _read_table(out: str) -> dict[str, str]:
    """The values of the printed table, by title."""
    rows = (re.fullmatch(r"(A[PR][\w ]*?)  +([\d.]+|-)  +.*", line) for line in out.splitlines())
    return {row[1]: row[2] for row in rows if row}


def _by_pycocotools(truth: Path, results: Path) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        judge = COCOeval(coco, coco.loadRes(str(results)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(number) for number in judge.stats]
