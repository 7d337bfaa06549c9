"""Standard streams that are closed, full or broken, and a poor environment, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NIRGEN = f"{sys.executable} -m nirgen"
NEXT = "next: nirgen models info compact\n"


def shell(command: str, **environment: str) -> tuple[int, str, str]:
    """Exit code and both outputs of a command line."""
    values = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False, env=values, timeout=600
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_work_goes_on_without_a_stream(closed: str, tmp_path: Path) -> None:
    code, out, error = shell(f"{NIRGEN} models list {closed}")
    assert (code, error) == (0, "" if "2>" in closed else NEXT)
    assert ("compact" in out) == (">&-" not in closed.replace("2>&-", ""))
    assert shell(f"{NIRGEN} models info {tmp_path}/none.safetensors {closed}")[0] == 1


def test_no_file_of_ours_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = (
        "import sys; from nirgen.cli import streams; streams.prepare()\n"
        "from nirgen.files import locked; from pathlib import Path\n"
        f"with locked(Path('{tmp_path}/lock'), busy=''): print('said', file=sys.stderr, flush=True)"
    )
    assert shell(f'{sys.executable} -c "{script}" 2>&-') == (0, "", "")
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_full_standard_output_is_one_line() -> None:
    assert shell(f"{NIRGEN} models list > /dev/full") == (
        1,
        "",
        "error: standard output can't be written (No space left on device); what was to be printed is lost\n",
    )


def test_a_reader_that_has_gone_is_no_error_of_ours() -> None:
    assert shell(f"(sleep 0.1; {NIRGEN} models list) | true") == (141, "", "")


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"LC_ALL": "C", "LANG": "C"}, "日本.safetensors"),
        ({"PYTHONIOENCODING": "latin-1"}, r"\u65e5\u672c.safetensors"),
    ],
)
def test_names_are_printed_whatever_the_locale(environment: dict[str, str], shown: str, tmp_path: Path) -> None:
    code, out, error = shell(f"{NIRGEN} models info {tmp_path}/日本.safetensors", **environment)
    assert (code, out) == (1, "")
    assert error.startswith(f"error: {tmp_path}/{shown}: no such model file")


def test_too_little_memory_is_one_line(save: Callable[..., Path], tmp_path: Path) -> None:
    photo = save(tmp_path / "photos/a.png")
    command = f"ulimit -v 700000; {NIRGEN} translate {photo} {tmp_path}/nir --device cpu"
    code, _, error = shell(command, OPENBLAS_NUM_THREADS="1")
    assert code == 1
    assert error.splitlines()[-1].startswith("error: not enough memory (")
    assert "Traceback" not in error


def test_no_home_and_no_folder_for_temporary_files_are_needed(tmp_path: Path) -> None:
    code, out, error = shell(f"cd {tmp_path}; {NIRGEN} models list", HOME="/nonexistent", TMPDIR="/nonexistent")
    assert (code, error) == (0, NEXT)
    assert "compact" in out
