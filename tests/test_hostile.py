"""Files of other kinds than expected, and hostile ones, end in one line wherever they are read; see `tests/fuzz.py`."""

from __future__ import annotations

import ast
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(__file__).parents[1] / "nirgen"
# Read files of the system, of the package, or through a store of objects.
OTHERS = {
    *("images/libtiff.py", "devices.py", "labels/policy.py", "templates.py", "cli/options.py"),
    *("translate/records.py", "translate/url.py", "translate/sources.py", "translate/stores.py", "translate/merge.py"),
}


def test_files_are_read_by_nirgen_files_alone() -> None:
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 100
    for path in paths:
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if name in {*OTHERS, "files.py"} or not isinstance(node, ast.Call):
                continue
            function, mode = node.func, node.args[0] if node.args else None
            if isinstance(function, ast.Attribute):
                assert function.attr not in {"read_bytes", "read_text"}, f"{name}:{node.lineno}"
                reads = function.attr == "open" and isinstance(mode, ast.Constant) and mode.value in {"r", "rb"}
                assert not reads, f"{name}:{node.lineno}: use nirgen.files.open_regular"


def readers() -> dict[str, tuple[str, Callable[[Path], Any]]]:
    """Return a file's name in a folder, and what reads that folder, by name."""
    from nirgen.config import read_yaml
    from nirgen.curation import read_decisions
    from nirgen.dataset.folder import read_dataset
    from nirgen.dataset.planner import apply_plan
    from nirgen.dataset.provenance import open_provenance
    from nirgen.labels import LabelFile, Policy, open_labels
    from nirgen.labels.convert import read_source
    from nirgen.labels.frames import ReadOptions, Source
    from nirgen.models.catalog import find_model, read_header
    from nirgen.pairs.listing import PairList
    from nirgen.translate.journal import read_journal
    from nirgen.translate.manifest import read_manifest
    from nirgen.validate.run import validate_coco

    return {
        "labels file": ("a.json", lambda folder: LabelFile.read(folder / "a.json")),
        "labels": ("a.json", lambda folder: open_labels(folder / "a.json")),
        "source of labels": ("a.json", lambda folder: read_source(Source(folder / "a.json"), ReadOptions())),
        "policy": ("a.yaml", lambda folder: Policy.load(folder / "a.yaml")),
        "validate": ("a.json", lambda folder: validate_coco([folder / "a.json"])),
        "dataset": ("dataset.json", read_dataset),
        "plan": ("a.json", lambda folder: apply_plan(folder / "a.json")),
        "decisions": ("a.jsonl", lambda folder: read_decisions(folder / "a.jsonl")),
        "settings": ("a.yaml", lambda folder: read_yaml(folder / "a.yaml")),
        "pairs": ("a.csv", lambda folder: PairList.read(folder / "a.csv")),
        "provenance": ("provenance.parquet", lambda folder: open_provenance(folder).__enter__()),
        "manifest": ("manifest.parquet", read_manifest),
        "journal": (".nirgen/journal.jsonl", lambda folder: list(read_journal(folder))),
        "model": ("a.safetensors", lambda folder: read_header(find_model(folder / "a.safetensors"))),
        "header": ("a.safetensors", lambda folder: read_header(folder / "a.safetensors")),
    }


@pytest.mark.parametrize("reader", readers())
def test_a_pipe_or_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path, reader: str) -> None:
    name, read = readers()[reader]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for make in (os.mkfifo, os.mkdir):
        make(path)
        with pytest.raises(NirgenError) as error:
            read(tmp_path)
        assert "\n" not in str(error.value)
        (os.rmdir if path.is_dir() else os.unlink)(path)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [" + b"[" * 100_000, "can't be read as YAML"),
        (b"a: \xff", "can't be read as YAML"),
        (b"a: 2001-99-99", "month must be in 1..12"),
        (b"a: " + b"9" * 5000, "can't be read as YAML"),
        (BOMB.encode(), "its aliases, written out, are too many values"),
        (b"&a [*a]", "its aliases, written out, are too many values"),
        (b"x" * 2_000_000, "2000000 bytes, and settings have 1000000 at most"),
        (b"- 1", "holds a list; write settings as 'name: value'"),
    ],
)
def test_settings_that_are_none_are_one_line(tmp_path: Path, text: bytes, message: str) -> None:
    from nirgen.config import read_yaml

    (tmp_path / "a.yaml").write_bytes(text)
    with pytest.raises(NirgenError, match=message) as error:
        read_yaml(tmp_path / "a.yaml")
    assert str(error.value).startswith(str(tmp_path / "a.yaml"))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


COCO = '{"images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}], "categories": [{"id": 1, "name": "car"}]'
BOX = '"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0'


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"images": ' + '{"a":' * 100_000,
        f"{COCO}, {BOX}, " + '"more": ' + "[" * 100_000 + "]" * 100_000 + "}]}",
        f"{COCO}, {BOX}, " + '"more": 1e400}]}',
        f"{COCO}, {BOX}, " + '"more": "\\ud800"}]}',
        f"{COCO}, {BOX}, " + '"more": "\udcff"}]}',
        f"{COCO}, {BOX}".replace("5, 5", "1e400, 5") + "}]}",
        f"{COCO}, {BOX}".replace("5, 5", "9" * 5000 + ", 5") + "}]}",
        f"{COCO}".replace('"width": 9', '"width": ' + "9" * 400) + f", {BOX}" + "}]}",
        '"' + "x" * 1_000_000,
    ],
)
@pytest.mark.parametrize("command", ["labels", "validate"])
def test_hostile_labels_are_one_line(tmp_path: Path, text: str, command: str) -> None:
    from nirgen.labels import open_labels
    from nirgen.validate.run import validate_coco

    path = tmp_path / "a.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    read = {"labels": partial(open_labels, path, "identity"), "validate": partial(validate_coco, [path])}[command]
    found = outcome(read)
    if isinstance(found, str):
        assert str(path) in found or "a.jpg" in found
        assert "\n" not in found
        assert len(found) < 6000
    else:
        assert command == "validate"
        assert found.exit_code == (0 if text.endswith("1e400}]}") else 1)  # there its readers see no number


def outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except NirgenError as error:
        return str(error)


def header(**changes: Any) -> bytes:
    values = {
        "schema": 1,
        "architecture": {"kind": "linear"},
        "training": {},
        "metrics": [],
        **dict.fromkeys(("model_id", "licence", "provenance", "nirgen"), "x"),
        **changes,
    }
    return table({"nirgen": json.dumps(values)})


def table(metadata: object, **tensors: object) -> bytes:
    text = json.dumps({"__metadata__": metadata, **tensors}).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a safetensors file"),
        (header()[:40], "is it cut off?"),
        ((2**60).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        ((10**8).to_bytes(8, "little") + b"{}", "not a nirgen model"),
        ((8).to_bytes(8, "little") + b"not JSON", "can't be read as safetensors"),
        ((2).to_bytes(8, "little") + b"[]", "not a nirgen model"),
        ((10**6).to_bytes(8, "little") + b"[" * 10**6, "can't be read as safetensors"),
        (table([]), "not a nirgen model"),
        (table({"nirgen": 5}), "not a nirgen model"),
        (table({"nirgen": "[" * 100_000}), "not a nirgen model"),
        (table({"nirgen": "[]"}), "has schema None"),
        (table({"nirgen_extractor": 5}), "'nirgen_extractor' can't be read"),
        (table({"nirgen_extractor": "5"}), "'nirgen_extractor' can't be read"),
        (header(training=[]), "'training' is a list, not a dict"),
        (header(training={"pairs": None}), "'training.pairs' is no list"),
        (header(metrics=[{"name": "PSNR", "value": "high", "on": "val"}]), "'metrics' is no list"),
        (header(metrics=[{"name": "PSNR", "on": "val"}]), "'metrics' is no list"),
        (header(architecture={"kind": ["linear"]}), "hash to"),
        (table({"nirgen": json.loads(header()[8:])["__metadata__"]["nirgen"]}, a=5), "damaged"),
        (table({"nirgen": json.loads(header()[8:])["__metadata__"]["nirgen"]}, a={"shape": "x"}), "damaged"),
    ],
)
def test_models_info_says_in_one_line_what_is_wrong_with_a_file(tmp_path: Path, data: bytes, message: str) -> None:
    from nirgen.cli.models import info

    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(NirgenError) as error:
        info(str(path), as_json=False)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
