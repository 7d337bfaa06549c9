from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.errors import ModelError
from nirgen.train.folder import Checkpoints

if TYPE_CHECKING:
    from pathlib import Path


def names(checkpoints: Checkpoints) -> list[str]:
    return [path.name for path in checkpoints.paths()]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.newest() is None
    path = checkpoints.write({"step": 7, "best_step": 0, "weights": {"a": torch.arange(3)}, "best": float("-inf")})
    assert path == checkpoints.newest() == tmp_path / "checkpoints/step_000007.pt"
    values = checkpoints.read(path)
    assert (values["step"], values["weights"]["a"].tolist(), values["best"]) == (7, [0, 1, 2], float("-inf"))


def test_the_last_few_and_the_best_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3, 4, 1_000_000):
        checkpoints.write({"step": step, "best_step": 2 if step > 1 else 0})
    assert names(checkpoints) == ["step_000002.pt", "step_000004.pt", "step_1000000.pt"]
    assert checkpoints.newest().name == "step_1000000.pt"


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").touch()
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.write({"step": 1, "best_step": 0})
    checkpoints.write({"step": 2, "best_step": 0})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.pt", "step_000002.pt"]


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    from pathlib import Path

    (tmp_path / "step_000001.pt").write_bytes(pickle.dumps(Harmful()))
    checkpoints = Checkpoints(tmp_path, keep=1)
    with pytest.raises(ModelError, match=r"step_000001\.pt: "):
        checkpoints.read(checkpoints.newest())
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    torch.save({"schema": 2}, tmp_path / "step_000001.pt")
    with pytest.raises(ModelError, match="has schema 2, and this nirgen reads 1; update nirgen"):
        Checkpoints(tmp_path, keep=1).read(tmp_path / "step_000001.pt")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, keep=1).write({"step": 1, "best_step": 0, "a": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"step_000001\.pt: can't be read .*cut off"):
        Checkpoints(tmp_path, keep=1).read(path)
