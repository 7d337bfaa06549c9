from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from nirgen.dataset.build import build
from nirgen.models import checkpoint
from nirgen.models.catalog import read_header
from nirgen.translate.run import translate_folder
from nirgen.validate import Options, validate_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.validate import Report


def test_provenance_that_can_not_be_read_is_said(dataset: Path) -> None:
    (dataset / "provenance.parquet").write_bytes(b"PAR1")
    report = validate_dataset(dataset)
    assert [finding.check for finding in report.findings] == ["changed-file"]
    assert report.skipped["lineage"].startswith("provenance.parquet can't be read")


def test_provenance_of_another_schema_is_said(dataset: Path) -> None:
    path = dataset / "provenance.parquet"
    pq.write_table(pq.read_table(path, partitioning=None).replace_schema_metadata({"nirgen.schema": "9"}), path)
    assert validate_dataset(dataset).skipped["lineage"].startswith("provenance.parquet: has schema 9, ")


MODEL = "726564000000"
VAL = "ranus/02/y.png"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pair(**values: str) -> dict[str, str]:
    return {"name": "x", "rgb_sha256": "0", "nir_sha256": "1", "sequence": "elsewhere"} | values


def of(report: Report, check: str) -> list[str]:
    """The examples of what a check found."""
    return [example for finding in report.findings if finding.check == check for example in finding.examples]


@pytest.fixture
def built(plan_dataset, tmp_path: Path, describe: Callable[..., None]) -> Callable[..., Path]:
    """Build a dataset, whatever leaks; its agreement with that can be taken back."""

    def make(inputs: dict[str, Any], *, agreed: bool = True, **settings: Any) -> Path:
        folder = tmp_path / "D"
        build(plan_dataset(inputs, allow_leak=True, **settings), folder)
        if not agreed:
            describe(folder, leaks=[])
        return folder

    return make


def test_a_generator_of_other_images_leaks_nothing(dataset_inputs, built) -> None:
    report = validate_dataset(built(dataset_inputs(training_pairs=[pair()])))
    assert (report.exit_code, of(report, "leak"), report.partial) == (0, [], {})


def test_a_leak_that_was_agreed_to_is_a_warning_and_one_that_was_not_is_an_error(
    dataset_inputs, built, save, tmp_path: Path
) -> None:
    nir = sha256(save(tmp_path / "copy.png", seed=11, grey=True))
    folder = built(dataset_inputs(training_pairs=[pair(nir_sha256=nir)]))
    report = validate_dataset(folder)
    assert report.exit_code == 0
    assert of(report, "agreed-leak") == [f"val: '{VAL}' (file: pair 'x' that trained {MODEL})"]
    shutil.rmtree(folder)
    report = validate_dataset(built(dataset_inputs(training_pairs=[pair(nir_sha256=nir)]), agreed=False))
    assert report.exit_code == 1
    assert of(report, "leak") == [f"val: '{VAL}' is of pair 'x' that trained {MODEL}"]


def test_an_image_that_was_encoded_anew_is_known_by_the_bytes_that_it_had(
    dataset_inputs, built, save, tmp_path: Path
) -> None:
    inputs = dataset_inputs(training_pairs=[pair(nir_sha256=sha256(save(tmp_path / "copy.png", seed=11, grey=True)))])
    report = validate_dataset(built(inputs, agreed=False, codec="jpg", channels=1))
    assert of(report, "leak") == [f"val: '{VAL}' is of pair 'x' that trained {MODEL}"]


def test_an_image_that_trained_the_generator_may_train(dataset_inputs, built, save, tmp_path: Path) -> None:
    nir = sha256(save(tmp_path / "copy.png", seed=10, grey=True))
    report = validate_dataset(built(dataset_inputs(training_pairs=[pair(nir_sha256=nir)])))
    assert (report.exit_code, of(report, "leak"), report.partial) == (0, [], {})


def test_a_sequence_that_trained_the_generator_may_not_judge(dataset_inputs, built) -> None:
    report = validate_dataset(built(dataset_inputs(training_pairs=[pair(sequence="s03")]), agreed=False))
    assert of(report, "leak") == [f"test: 'ranus/03/z.png' is of 's03', as is pair 'x' that trained {MODEL}"]


@pytest.mark.parametrize("shared", [False, True])
def test_a_folder_names_a_recording_only_if_the_data_sets_share_a_file(
    dataset_inputs, built, save, write_labels, tmp_path: Path, shared: bool
) -> None:
    nir = sha256(save(tmp_path / "copy.png", seed=10, grey=True)) if shared else "1"
    inputs = dataset_inputs(training_pairs=[pair(nir_sha256=nir), pair(name="02_7", sequence="02")])
    splits = {"01/x.png": "train", "02/y.png": "val", "03/z.png": "test"}
    write_labels(tmp_path / "ranus.json", {name: {"split": split} for name, split in splits.items()})
    report = validate_dataset(built(inputs, agreed=False))
    expected = [f"val: '{VAL}' is of '02', as is pair '02_7' that trained {MODEL}"]
    assert of(report, "leak") == (expected if shared else [])


def test_equal_and_near_copies_that_were_agreed_to_are_warnings(dataset_inputs, built, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    train, real = tmp_path / "ranus/01/x.png", tmp_path / "ranus"
    shutil.copy(train, real / "02/y.png")
    with Image.open(train) as image:
        image.point(lambda level: min(level + 2, 255)).save(real / "03/z.png")
    folder = built(inputs)
    report = validate_dataset(folder)
    assert report.exit_code == 0
    assert of(report, "agreed-leak")[0] == f"val: '{VAL}' (file: 'ranus/01/x.png', the same file)"
    assert of(report, "agreed-leak")[1].startswith("test: 'ranus/03/z.png' (near-duplicate: ")
    shutil.rmtree(folder)
    report = validate_dataset(built(inputs, agreed=False))
    assert report.exit_code == 1
    assert len(of(report, "split-copy")) == 1
    assert of(report, "split-near-copy")[0].startswith("test.json: image 6 'images/ranus/03/z.png' is like")


@pytest.fixture
def by_model(dataset_inputs, small_config, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    """The inputs translated by a model file, and a like file whose header has training pairs."""

    def make(pairs: list[dict[str, str]]) -> tuple[dict[str, Any], Path]:
        inputs = dataset_inputs()
        state = checkpoint.build(small_config).state_dict()
        bare, listed = tmp_path / "bare.safetensors", tmp_path / "listed.safetensors"
        checkpoint.save(bare, state, small_config)
        checkpoint.save(listed, state, small_config, training={"pairs": pairs})
        translate_folder(tmp_path / "bdd/rgb", tmp_path / "bdd/by_model", model=bare)
        inputs["generated"][0]["folder"] = tmp_path / "bdd/by_model"
        return inputs, listed

    return make


def test_a_list_that_the_dataset_lacks_is_taken_from_a_model_file(by_model, built, save, tmp_path: Path) -> None:
    inputs, listed = by_model([pair(nir_sha256=sha256(save(tmp_path / "copy.png", seed=11, grey=True)))])
    name = read_header(listed)["model_id"][:12]
    folder = built(inputs)
    assert not (folder / "lineage.parquet").exists()
    asked = f"there is no list of what trained model {name}; if a file of it has one, name it with --model"
    assert validate_dataset(folder).partial == {"lineage": asked}
    report = validate_dataset(folder, Options(models=(str(listed),)))
    assert report.partial == {}
    assert of(report, "leak") == [f"val: '{VAL}' is of pair 'x' that trained {name}"]


def test_a_list_that_can_not_be_read_is_said_and_not_taken_for_empty(dataset_inputs, built) -> None:
    folder = built(dataset_inputs(training_pairs=[pair()]))
    (folder / "lineage.parquet").write_bytes(b"PAR1")
    report = validate_dataset(folder)
    assert of(report, "changed-file") == ["lineage.parquet"]
    assert "lineage.parquet: can't be read" in report.partial["lineage"]


def test_an_rgb_partner_among_the_sources_of_training_is_found(dataset: Path, faults) -> None:
    path = dataset / "provenance.parquet"
    table = pq.read_table(path, partitioning=None)
    rows = table.to_pylist()
    source = next(row["source_sha256"] for row in rows if row["generated"])
    for row in rows:
        if row["key"] == "ranus/val/2.png":
            row["source_sha256"] = source
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    assert faults() == {"leak": 1, "changed-file": 1}
