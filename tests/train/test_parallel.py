"""Two processes, on the CPU by gloo, as `torchrun` starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig

TOLERANCE = 1e-4
"""Relative, of each loss term: sums are taken in another order, and Adam's first steps enlarge that."""


def run(config: TrainConfig, pairs: PairList, folder: Path, processes: int) -> Path:
    """Train in so many processes, in an environment of their own."""
    folder.mkdir()
    pairs.write(folder / "pairs.csv")
    (folder / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = ["-m", "nirgen", "train", "run.yaml", "out", "--pairs", "pairs.csv", "--root", str(pairs.root)]
    if processes > 1:
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(  # noqa: PLW1510 - its code is looked at
        [sys.executable, *command, "--device", "cpu"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


def logged(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name != "minutes"} for line in lines if "progress" in line]


def test_two_processes_train_as_one_with_twice_the_batch(config: TrainConfig, pairs: PairList, tmp_path: Path) -> None:
    doubled = tuple(stage.model_copy(update={"batch": 2 * stage.batch}) for stage in config.stages)
    two = logged(run(config, pairs, tmp_path / "two", 2))
    one = logged(run(config.model_copy(update={"stages": doubled}), pairs, tmp_path / "one", 1))
    assert [line["step"] for line in two] == [line["step"] for line in one] == [1, 2, 3, 4]
    assert {"pixel", "ssim", "adversarial", "feature_matching", "discriminator"} < two[-1].keys()
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=TOLERANCE)
