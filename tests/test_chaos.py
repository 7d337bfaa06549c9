"""A short part of the run under random faults; `make chaos` runs a long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_what_faults_break_is_mended_by_the_same_command_or_named(tmp_path: Path) -> None:
    chaos = Path(__file__).with_name("chaos.py")
    arguments = ("--seed", "2", "--seconds", "60", "--stages", "translate,build", "--work", tmp_path)
    done = subprocess.run([sys.executable, chaos, *arguments], capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0: " in done.stdout
