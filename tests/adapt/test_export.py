"""The folder of an adaptation, and what becomes of it while a run is at work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.adapt.config import AdaptConfig
from nirgen.adapt.export import Folder, opened
from nirgen.errors import OutputError
from nirgen.files import seal
from nirgen.models.checkpoint import build, save

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig


@pytest.fixture
def start(small_config: GeneratorConfig, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save(tmp_path / "start.safetensors", build(small_config).state_dict(), small_config)
    return tmp_path / "start.safetensors"


def write(folder: Folder, start: Path) -> None:
    folder.write_model(start, {"outcome": "no gain"}, None, AdaptConfig())
    folder.verdict.write_text(json.dumps(seal({"schema": 1, "fingerprint": "f"})))


def lose(out: Path, name: str) -> None:
    """Remove a file, or all, while a run is at work."""
    with opened(out, "f") as folder:
        assert folder.finished() is not None
        (out / name).rename(out.with_name("gone"))


@pytest.mark.parametrize("name", ["model.safetensors", ".lock", ""])
def test_what_is_gone_is_no_success(start: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    with opened(out, "f") as folder:
        write(folder, start)
    with pytest.raises(OutputError) as caught:
        lose(out, name)
    what = out / name if name == "model.safetensors" else out
    assert str(caught.value) == (
        f"{what}: was removed or changed while the command was at work; run the same command again"
    )
    with opened(out, "f") as folder:
        assert (folder.finished() is None) == (name != ".lock")  # made anew
        write(folder, start)


def test_a_changed_model_is_made_anew(start: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "out", "f") as folder:
        write(folder, start)
        data = bytearray(folder.model.read_bytes())
        data[-1] ^= 1
        folder.model.write_bytes(data)
        assert folder.finished() is None
        write(folder, start)
