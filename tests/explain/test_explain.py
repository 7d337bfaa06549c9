from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nirgen.curation import Decision, added_key, write_decisions
from nirgen.dataset.build import build
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.planner import make_plan
from nirgen.errors import NirgenError
from nirgen.explain import AbsentError, explain, lines
from nirgen.pairs.listing import Pair, PairList


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("99", "no annotation or image 99; ids count from 1"),
        ("bdd/seq/a.jpgg", "no image or annotation 'bdd/seq/a.jpgg'; the nearest keys are 'bdd/seq/a.jpg'"),
        ("b.png", "the nearest keys are 'ranus/b.png'"),
        ("bdd/seq/a.jpg#77", "the nearest keys are 'bdd/seq/a.jpg#7', 'bdd/seq/a.jpg#8', 'bdd/seq/a.jpg#9'"),
        ("zzz", "no image or annotation 'zzz'; name an id, a key or an image file"),
    ],
)
def test_what_is_not_there_is_one_line_with_the_nearest_keys(dataset: Path, wanted: str, message: str) -> None:
    with pytest.raises(NirgenError) as error:
        explain(dataset, wanted)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_row_group_that_can_not_have_the_answer_is_not_read(
    dataset: Path, tmp_path: Path, describe, monkeypatch
) -> None:
    for path in ("dataset.json", "provenance.parquet"):
        (tmp_path / path).write_bytes((dataset / path).read_bytes())
    table = pq.read_table(dataset / "provenance.parquet", partitioning=None)
    pq.write_table(table, tmp_path / "provenance.parquet", row_group_size=1)
    describe(tmp_path)
    read: list[int] = []
    group = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda *args, **keys: (read.append(args[1]), group(*args, **keys))[1]
    )
    explain(tmp_path, "ranus/b.png")
    assert set(read) == {4}


def test_provenance_that_is_damaged_is_one_line(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes((dataset / "dataset.json").read_bytes())
    (tmp_path / "provenance.parquet").write_bytes(b"PAR1")
    with pytest.raises(NirgenError, match=r"provenance\.parquet: damaged or altered .*; build the dataset again"):
        explain(tmp_path, "1")


PERSON = (1.0, 2.0, 4.0, 8.0)
ADDED = added_key("ranus/b.png", "person", PERSON, 48, 32)


@pytest.fixture
def curate(dataset: Path, tmp_path: Path):
    """Build the dataset again with decisions."""
    inputs = json.loads((dataset / "run.json").read_text())["inputs"]

    def rebuild(*decisions: Decision) -> Path:
        write_decisions(tmp_path / "c.jsonl", decisions)
        settings = {
            "generated": [{"origin": "bdd", **inputs["bdd"]}],
            "real": [{"origin": "ranus", **inputs["ranus"]}],
            "curation": tmp_path / "c.jsonl",
        }
        return build(make_plan(DatasetConfig.read(settings, where="test")), tmp_path / "D").out

    return rebuild


def test_what_was_decided_is_among_the_steps(curate) -> None:
    folder = curate(
        Decision("bdd/seq/a.jpg", "flag", author="anna"),
        Decision("bdd/seq/a.jpg#7", "relabel", "bicycle", reason="two wheels", author="anna"),
        Decision(ADDED, "add", "person", PERSON, 48, 32),
    )
    assert explain(folder, "bdd/seq/a.jpg#7").steps == (
        "image: translated by model 55555555",
        "image: scaled 0.5x0.5",
        "image: decision: flag (anna)",
        "label: class truck -> car",
        "label: scaled 0.5x0.5",
        "label: decision: relabel car -> bicycle (anna: two wheels)",
    )
    added = explain(folder, ADDED)
    assert (added.labels, added.steps) == (None, ("label: decision: add person",))
    assert ("labels", "none: a curator added it") in list(lines(added))


def test_what_was_taken_out_says_who_did_it_and_why(curate) -> None:
    folder = curate(
        Decision("bdd/seq/a.jpg#8", "delete", author="anna", reason="no person"), Decision("ranus/b.png", "reject")
    )
    with pytest.raises(NirgenError) as error:
        explain(folder, "bdd/seq/a.jpg#8")
    assert str(error.value) == (
        f"{folder}: 'bdd/seq/a.jpg#8' was removed by a decision: delete (anna: no person); see curation.jsonl"
    )
    with pytest.raises(NirgenError, match=r"'ranus/b\.png' was removed by a decision: reject; see curation\.jsonl"):
        explain(folder, "ranus/b.png")
    with pytest.raises(NirgenError, match=r"'ranus/b\.png#4' was removed with its image by a decision: reject"):
        explain(folder, "ranus/b.png#4")
    with pytest.raises(NirgenError, match="no image 2; ids count from 1, with gaps where decisions removed something"):
        explain(folder, "2", image=True)
    with pytest.raises(NirgenError, match=r"no image or annotation 'bdd/seq/a\.jpg#77'; the nearest keys are"):
        explain(folder, "bdd/seq/a.jpg#77")


def test_what_the_build_left_out_says_why(dataset: Path, tmp_path: Path) -> None:
    inputs = json.loads((dataset / "run.json").read_text())["inputs"]
    real = shutil.copytree(inputs["ranus"]["folder"], tmp_path / "real")
    for number in range(7):
        (real / f"unlabelled_{number}.png").write_bytes((real / "b.png").read_bytes())
    settings = {"real": [{"origin": "ranus", "folder": real, "labels": inputs["ranus"]["labels"]}]}
    folder = build(make_plan(DatasetConfig.read(settings, where="test")), tmp_path / "D").out
    for number in (0, 6):  # one of the five examples, and one that is only counted
        with pytest.raises(AbsentError) as error:
            explain(folder, f"ranus/unlabelled_{number}.png")
        assert str(error.value) == (
            f"{folder}: 'ranus/unlabelled_{number}.png' was left out by 'nirgen build-dataset': "
            "it is one of 7 images without a label entry"
        )
    with pytest.raises(NirgenError, match="no image or annotation") as missing:
        explain(folder, "ranus/unlabelled_7.png")
    assert not isinstance(missing.value, AbsentError)


def test_the_original_of_a_converted_label_file_is_named(dataset: Path, tmp_path: Path) -> None:
    inputs = json.loads((dataset / "run.json").read_text())["inputs"]
    made = tmp_path / "labels.json"
    command = ["labels", inputs["bdd"]["labels"], "-o", made]
    subprocess.run([sys.executable, "-m", "nirgen", *command], check=True, capture_output=True, timeout=60)
    settings = {"generated": [{"origin": "bdd", "folder": inputs["bdd"]["folder"], "labels": made}]}
    folder = build(make_plan(DatasetConfig.read(settings, where="test")), tmp_path / "D").out
    found = explain(folder, "bdd/seq/a.jpg#7")
    assert [file.name for file in found.originals] == ["det.json"]
    assert found.originals[0].sha256 == _sha256(Path(inputs["bdd"]["labels"]))
    said = dict(lines(found))
    assert said["its entry"] == "id 7 of seq/a.jpg, class truck"
    assert said["made from"].startswith("det.json, sha256 ")
    assert explain(dataset, "bdd/seq/a.jpg#7").originals == ()


SOURCE = "seq/a.jpg"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_annotation_leads_to_its_label_source_model_and_steps(dataset: Path) -> None:
    found = explain(dataset, "1")
    assert found.kind == "annotation"
    assert found.box is not None
    assert (found.box.key, found.box.source_key) == ("bdd/seq/a.jpg#7", "7")
    assert (found.box.category, found.box.source_category) == ("car", "truck")
    assert (found.box.bbox, found.box.area, found.box.flags) == ((10, 5, 10, 10), 100, ("occluded",))
    assert (found.image.id, found.image.split, found.image.sequence) == (1, "train", "seq")
    assert (found.image.width, found.image.height, found.image.generated) == (48, 32, True)
    assert found.image.attributes == {"weather": "rainy"}
    assert (found.image.file.name, found.image.file.state) == ("images/bdd/seq/a.png", "same")
    assert found.labels is not None
    assert (found.labels.name, found.labels.sha256) == ("det.json", _sha256(dataset.parent / "det.json"))
    assert found.source is not None
    assert (found.source.name, found.source.path) == (SOURCE, str(dataset.parent / "rgb" / SOURCE))
    assert found.source.state == "same"
    assert found.model is not None
    assert (found.model.id, found.model.licence, found.model.options) == ("5" * 64, "CC0-1.0", {"format": "png"})
    assert found.steps == (
        "image: translated by model 55555555",
        "image: scaled 0.5x0.5",
        "label: class truck -> car",
        "label: scaled 0.5x0.5",
    )


def test_a_number_that_names_two_things_is_the_annotation_and_says_so(dataset: Path) -> None:
    assert explain(dataset, "1").note == "image 1 exists as well: --image"
    found = explain(dataset, "1", image=True)
    assert (found.kind, found.box, found.note) == ("image", None, None)
    assert found.boxes == {"car": 1, "person": 1, "car, to ignore": 1}


def test_a_region_to_ignore_says_so(dataset: Path) -> None:
    found = explain(dataset, "3")
    assert found.box is not None
    assert found.box.flags == ("region to ignore",)
    assert "label: region to ignore" in found.steps


@pytest.mark.parametrize("wanted", ["ranus/b.png", "images/ranus/b.png", "./images/ranus/b.png"])
def test_keys_and_file_names_are_found(dataset: Path, wanted: str) -> None:
    found = explain(dataset, wanted)
    assert (found.kind, found.image.key, found.image.generated) == ("image", "ranus/b.png", False)
    assert (found.boxes, found.source, found.model, found.steps) == ({}, None, None, ())


def test_a_path_of_a_file_in_the_dataset_is_found(dataset: Path) -> None:
    assert explain(dataset, str(dataset / "images/bdd/seq/a.png")).image.key == "bdd/seq/a.jpg"


def test_an_annotations_key_is_found(dataset: Path) -> None:
    assert explain(dataset, "bdd/seq/a.jpg#8").box.id == 2  # type: ignore[union-attr]


def test_a_dataset_that_was_moved_is_explained_still(dataset: Path, tmp_path: Path) -> None:
    for path in ("dataset.json", "provenance.parquet"):
        (tmp_path / path).write_bytes((dataset / path).read_bytes())
    found = explain(tmp_path, "1")
    assert found.box is not None
    assert (found.box.category, found.box.bbox) == ("car", None)
    assert found.image.file.state == "missing"
    assert found.source is not None
    assert (found.source.name, found.source.path, found.source.state) == (SOURCE, None, None)


def test_an_explanation_needs_neither_torch_nor_pandas(dataset: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nirgen.explain import explain\n"
        "explain(Path(sys.argv[1]), '1'); print(sorted({'torch', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, dataset], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_rgb_partner_of_a_real_image_is_found_by_its_list_of_pairs(
    dataset_inputs, plan_dataset, tmp_path: Path, save
) -> None:
    inputs = dataset_inputs()
    partner, nir = save(tmp_path / "rgb/x.png", seed=40), tmp_path / "ranus/01/x.png"
    pair = Pair("x", "rgb/x.png", "ranus/01/x.png", "s01", "", "train", _sha256(partner), _sha256(nir))
    PairList(tmp_path, (pair,)).write(tmp_path / "pairs.csv")
    inputs["real"][0]["pairs"] = tmp_path / "pairs.csv"
    build(plan_dataset(inputs), tmp_path / "D")
    source = explain(tmp_path / "D", "ranus/01/x.png").source
    assert source is not None
    assert (source.name, source.path, source.state) == ("rgb/x.png", str(partner), "same")
    partner.unlink()
    source = explain(tmp_path / "D", "ranus/01/x.png").source
    assert source is not None
    assert source.state == "missing"
