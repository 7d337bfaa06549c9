"""What `make` does, with a stand-in for the environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def demo(tmp_path):
    """Runs `make demo` in an empty folder; `nirgen` only prints its arguments and exits as asked."""
    for name in ("requirements.txt", "pyproject.toml", "venv/bin/uv", "venv/.ready"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    command = tmp_path / "venv/bin/nirgen"

    def run(folder, exit_code=0):
        command.write_text(f'#!/bin/sh\necho "$@"\nexit {exit_code}\n')
        command.chmod(0o755)
        return subprocess.run(
            ["make", "--no-print-directory", "-f", MAKEFILE, "demo", "VENV=venv", f"IMAGES={folder}"],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_demo_says_where_to_look_even_if_an_image_failed(tmp_path, demo):
    (tmp_path / "a b").mkdir()
    result = demo("a b", exit_code=3)
    assert "\nNIR images:    demo/nir_a b_" in result.stdout
    assert re.search(r"\nSide by side:  demo/nir_a b_\d+/preview.png\n", result.stdout)
    assert result.returncode != 0
    assert "Error 3" in result.stderr


def test_a_demo_that_did_nothing_says_nowhere_to_look(demo):
    result = demo("nowhere", exit_code=1)
    assert "NIR images" not in result.stdout
    assert "Error 1" in result.stderr


def test_folders_of_one_name_go_to_demos_of_their_own(tmp_path, demo):
    (tmp_path / "one/A").mkdir(parents=True)
    (tmp_path / "two/A").mkdir(parents=True)
    folders = [demo(name).stdout.split()[2] for name in ("one/A", "one/A/", tmp_path / "one/A", "two/A")]
    assert folders[0] == folders[1] == folders[2]
    assert folders[0] != folders[3]
    assert all(folder.startswith("demo/nir_A_") for folder in folders)
