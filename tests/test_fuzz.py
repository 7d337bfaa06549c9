"""A short part of the run over changed files; `make fuzz` runs a long one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

COUNT = int(os.environ.get("NIRGEN_FUZZ", "1000"))


def test_changed_files_are_read_or_refused_in_one_line_and_sealed_ones_never_lie(tmp_path: Path) -> None:
    command = [sys.executable, Path(__file__).with_name("fuzz.py"), "--count", str(COUNT), "--work", tmp_path / "work"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    total = re.search(r"^in all: (.*)$", done.stdout, re.MULTILINE)
    assert total is not None
    counts = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", total[1])}
    assert sum(counts.values()) == COUNT
    assert counts["refused"] > COUNT / 3
    assert len(done.stdout.splitlines()) > 35  # a line for each target
