"""What `nirgen export` refuses; what it makes is looked at in tests/models/test_onnx.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.models.checkpoint import build, save

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig


@pytest.fixture
def model(tmp_path: Path, small_config: GeneratorConfig) -> Path:
    torch.manual_seed(0)
    save(tmp_path / "m.safetensors", build(small_config).state_dict(), small_config)
    return tmp_path / "m.safetensors"


def test_a_file_of_another_ending_is_refused_at_once(nirgen, model: Path, tmp_path: Path) -> None:
    code, out, err = nirgen("export", model, "-o", tmp_path / "model.pt")
    assert (code, out) == (1, "")
    assert err == f"error: {tmp_path}/model.pt: the file's name must end in .onnx\n"


def test_a_model_that_is_not_there_is_refused(nirgen, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    code, _, err = nirgen("export", tmp_path / "none.safetensors", "-o", tmp_path / "m.onnx")
    assert code == 1
    assert "none.safetensors: no such model file" in err
