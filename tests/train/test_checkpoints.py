from __future__ import annotations

import pickle
import random
from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.errors import ModelError
from nirgen.train.checkpoints import Checkpoints, DamagedError

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
    with pytest.raises(ModelError, match=r"step_000001\.pt: damaged or cut off \("):
        Checkpoints(tmp_path, keep=1).read(path)


def test_no_flipped_bit_is_resumed_from_in_silence(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    weights = {"a": torch.arange(60.0), "b": torch.arange(7)}
    path = checkpoints.write({"step": 1, "best_step": 0, "weights": weights, "best": 14.22})
    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            values = checkpoints.read(path)
        except DamagedError:
            refused += 1
            continue
        assert (values["step"], values["best"]) == (1, 14.22)  # the bit was padding
        assert all(torch.equal(values["weights"][name], weights[name]) for name in weights)
    assert refused > 100


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (100, 200, 300):
        checkpoints.write({"step": step, "best_step": 0, "a": torch.full((50,), float(step))})
    flip(tmp_path / "step_000300.pt")
    last = checkpoints.last()
    assert (last.path.name, last.values["step"]) == ("step_000200.pt", 200)
    (line,) = last.damaged
    assert line.startswith(f"{tmp_path}/step_000300.pt: damaged (the checksum of ")
    assert line.endswith("; resuming from step 200 instead")
    # the damaged one goes with the next that is written, and counts for none of the two that stay
    checkpoints.write({"step": 250, "best_step": 0})
    assert names(checkpoints) == ["step_000200.pt", "step_000250.pt"]


def test_without_a_whole_checkpoint_nothing_is_resumed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.last() is None
    for step in (1, 2):
        flip(checkpoints.write({"step": step, "best_step": 0, "a": torch.zeros(50)}))
    with pytest.raises(ModelError, match=r"2\.pt: damaged .*, and no other checkpoint is whole; train anew"):
        checkpoints.last()


def flip(path: Path) -> None:
    """Flip a bit of the first tensor."""
    data = bytearray(path.read_bytes())
    data[data.index(b"/data/0") + 80] ^= 16
    path.write_bytes(data)
