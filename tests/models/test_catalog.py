from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import ModelError
from nirgen.models.catalog import embedded_models, find_model
from nirgen.models.checkpoint import build, save

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_config) -> Path:
    folder = tmp_path / "embedded"
    for name in ("compact", "alpine"):
        save(folder / f"{name}.safetensors", build(small_config).state_dict(), small_config, licence="MIT")
        (folder / f"{name}.md").touch()
    monkeypatch.setattr("nirgen.models.catalog.EMBEDDED", folder)
    return folder


def test_embedded_models_are_listed_by_name(embedded: Path, nirgen) -> None:
    assert list(embedded_models()) == ["alpine", "compact"]
    code, out, _ = nirgen("models", "list")
    assert code == 0
    assert [line.split()[::2] for line in out.splitlines()[:2]] == [["alpine", "MIT"], ["compact", "MIT"]]


def test_a_model_is_named_by_embedded_name_file_or_run_folder(embedded: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.safetensors").touch()
    (tmp_path / "own.safetensors").touch()
    assert find_model("compact") == embedded / "compact.safetensors"
    assert find_model(tmp_path / "own.safetensors") == tmp_path / "own.safetensors"
    assert find_model(str(tmp_path / "run")) == tmp_path / "run/model.safetensors"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("compct", r"no model 'compct'; did you mean 'compact'\? \(embedded: alpine, compact; else"),
        ("zzz", r"no model 'zzz' \(embedded: alpine, compact; else"),
        ("runs/7", "runs/7: no such model file; 'nirgen models list' shows the embedded ones"),
        ("m.safetensors", r"m\.safetensors: no such model file"),
    ],
)
def test_what_names_no_model_is_refused(embedded: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_model(name)
