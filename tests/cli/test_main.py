"""What `main()` makes of what a command raises."""

from __future__ import annotations

import subprocess
import sys

from nirgen import __version__

COMMAND_THAT_RAISES = """
from nirgen import errors
from nirgen.cli import app, main
@app.command("raise")
def command_that_raises():
    raise {error}
main()
"""


def run_command_that_raises(error: str) -> subprocess.CompletedProcess[str]:
    code = COMMAND_THAT_RAISES.format(error=error)
    return subprocess.run([sys.executable, "-c", code, "raise"], capture_output=True, text=True, check=False)


def nirgen(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nirgen", *arguments], capture_output=True, text=True, check=False)


def test_a_users_mistake_is_one_line_and_exit_code_1() -> None:
    done = run_command_that_raises("errors.ImageError('a.jpg: empty; remove it')")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: a.jpg: empty; remove it\n")


def test_a_mistake_about_a_name_with_a_newline_is_one_line_still() -> None:
    done = run_command_that_raises("errors.ImageError('a\\nb.jpg: empty')")
    assert done.stderr == "error: a\\nb.jpg: empty\n"


def test_an_interruption_exits_130_without_a_traceback() -> None:
    done = run_command_that_raises("KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "")


def test_a_bug_keeps_its_traceback() -> None:
    done = run_command_that_raises("ZeroDivisionError('seven')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ZeroDivisionError: seven\n")


def test_a_closed_pipe_makes_no_noise() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{sys.executable}' -m nirgen --help | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_wrong_usage_exits_2() -> None:
    done = nirgen("--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_a_mistyped_command_exits_2_and_names_the_nearest() -> None:
    done = nirgen("docter")
    assert done.returncode == 2
    assert "doctor" in done.stderr


def test_the_version_is_the_packages() -> None:
    assert nirgen("--version").stdout == f"nirgen {__version__}\n"
