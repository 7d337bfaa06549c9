"""What `main()` makes of what a command raises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from nirgen._version import __version__
from nirgen.cli import TAKES_URLS, app, parameters, without_urls
from nirgen.errors import NirgenError
from nirgen.translate.url import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.pairs import PairList


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


def test_names_of_any_length_are_one_line_of_some_length() -> None:
    assert len(run_command_that_raises("errors.ImageError('x' * 9000)").stderr) == len("error: \n") + 4000
    done = nirgen("validate", "x" * 300)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(f"error: {'x' * 80}...: File name too long; give another path\n")


def test_an_interruption_exits_130_without_a_traceback() -> None:
    done = run_command_that_raises("KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "")


def test_a_bug_keeps_its_traceback() -> None:
    done = run_command_that_raises("ZeroDivisionError('seven')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ZeroDivisionError: seven\n")


COMMAND_THAT_LEAVES_MUCH_TO_DO = """
import atexit, sys
from nirgen.cli import app, main
@app.command("leave")
def leave(code: int):
    atexit.register(print, "exit handler")
    print("x" * 1_000_000)
    sys.exit(code)
main()
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_leaves_with_its_code_once_all_is_written_and_exit_handlers_ran(code: int) -> None:
    command = [sys.executable, "-c", COMMAND_THAT_LEAVES_MUCH_TO_DO, "leave", str(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == "x" * 1_000_000 + "\nexit handler\n"


def test_a_process_waits_for_its_threads() -> None:
    script = COMMAND_THAT_LEAVES_MUCH_TO_DO.replace(
        "    sys.exit(code)", "    import threading; threading.Timer(0.5, print, ['a thread']).start()"
    )
    done = subprocess.run([sys.executable, "-c", script, "leave", "0"], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("\na thread\nexit handler\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_can_not_be_written_is_no_success() -> None:
    line = f"'{sys.executable}' -c '{COMMAND_THAT_LEAVES_MUCH_TO_DO}' leave 0 > /dev/full"
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=False).returncode != 0


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


STOP_AT_THE_FIRST_LINE = """
import os, sys
class First:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        text = text if isinstance(text, str) else text.decode()  # typer writes bytes
        if text.strip():
            os.write(1, (text.splitlines()[0] + "\\n" + " ".join(sys.modules)).encode())
            os._exit(0)
    def __getattr__(self, name):
        return getattr(self.stream, name)
sys.stdout, sys.stderr = First(sys.stdout), First(sys.stderr)
from nirgen.cli import main
main()
"""
SLOW = {"fiftyone", "matplotlib", "pandas", "ray", "scipy", "timm", "torch", "torchvision", "transformers"}


@pytest.mark.parametrize(
    "line",
    [
        "make photos labels.json out --yes",
        "rebuild D --yes",
        "sample-data out",
        "translate photos nir",
        "train compact run --pairs pairs.csv",
        "evaluate real generated",
        "evaluate --model compact --pairs pairs.csv",
        "labels bdd.json -o coco.json",
        "build-dataset --real ranus --real-labels ranus.json --dry-run",
        "validate D",
        "explain D 1",
        "browse D",
        "report D",
        "run recipe.yaml",
        "export compact -o model.onnx",
        "doctor",
        "manifest merge a b -o nir",
        "models list",
        "models info",
        "models import weights.pt model.safetensors",
        "models export compact weights.pt",
        "pairs photos -o pairs.csv",
        "pairs check pairs.csv",
        "curation export D -o decisions.jsonl",
        "curation import D decisions.jsonl",
        "detect train D run",
        "detect evaluate run D",
        "detect compare D out",
    ],
)
def test_the_first_line_comes_before_anything_slow_is_imported(line: str, tmp_path: Path) -> None:
    """What isn't there is told in one line, which is the first then, and for which nothing slow may be needed, too."""
    command = [sys.executable, "-c", STOP_AT_THE_FIRST_LINE, *line.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    first, modules = done.stdout.splitlines()
    assert first.startswith(("error: ", "compact ", "file ")) or first.endswith(" ...")
    assert SLOW & set(modules.split()) == set()
    assert "nirgen.cli" in modules.split()


def test_a_training_says_what_it_does_before_torch_is_imported(pairs: PairList, tmp_path: Path) -> None:
    pairs.write(tmp_path / "pairs.csv")
    line = ("train", "compact", tmp_path / "run", "--pairs", tmp_path / "pairs.csv", "--root", pairs.root)
    command = [sys.executable, "-c", STOP_AT_THE_FIRST_LINE, *map(str, line)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, modules = done.stdout.splitlines()
    assert first == "reading pairs ..."
    assert SLOW & set(modules.split()) == set()


LINE = typer.main.get_command(app)
ALL = [(command, parameter) for command, parameter in parameters(LINE)]
TEXTS = [
    (command, parameter)
    for command, parameter in ALL
    if "Path" in str(parameter.type_descriptor.annotation) or "str" in str(parameter.type_descriptor.annotation)
    if (command, parameter.name) not in TAKES_URLS and command and "Literal" not in str(parameter.type_descriptor)
]


def refusal(command: str, parameter: Any, value: str) -> str:
    """What is said to a command whose one parameter has a value."""
    given = [value] * max(1, parameter.nargs)
    words = [parameter.opts[0], *given] if parameter.param_type_name == "option" else ["--", value]
    child = without_urls(typer.main.get_command(app))
    for word in command.split():
        child = child.commands[word]
    with pytest.raises(NirgenError) as error:
        child.main(words, standalone_mode=False)
    return str(error.value)


def test_there_are_paths_to_look_at() -> None:
    names = {(command, parameter.name) for command, parameter in TEXTS}
    assert len(names) > 60
    assert {("manifest merge", "parts"), ("manifest merge", "out"), ("translate", "preview"), ("run", "data")} <= names


def test_what_takes_urls_is_there() -> None:
    assert {(command, parameter.name) for command, parameter in ALL} >= TAKES_URLS


@pytest.mark.parametrize(("command", "parameter"), TEXTS, ids=lambda value: getattr(value, "name", value))
def test_every_command_refuses_urls_wherever_it_takes_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, parameter: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    text = refusal(command, parameter, "s3://bucket/a b")
    assert f"'s3://bucket/a b' is a URL, and 'nirgen {command}' works on local files there; copy it to a folder" in text
    assert "\n" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_urls_of_every_store_are_known(protocol: str) -> None:
    out = next(parameter for command, parameter in ALL if (command, parameter.name) == ("labels", "out"))
    text = refusal("labels", out, f"{protocol}://bucket/labels.json")
    assert text.startswith(f"--out '{protocol}://bucket/labels.json' is a URL")


@pytest.mark.parametrize("value", ["bdd=s3://bucket/nir", "s3://bucket/nir", "bdd=nir/day:s3://bucket/nir"])
def test_a_url_behind_a_name_is_refused(value: str) -> None:
    generated = next(one for command, one in ALL if (command, one.name) == ("build-dataset", "generated"))
    assert refusal("build-dataset", generated, value).startswith("--generated 's3://bucket/nir' is a URL")


def test_it_is_one_line_and_exit_code_1(
    nirgen: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert nirgen("manifest", "merge", "s3://bucket/1", "s3://bucket/2", "-o", "nir") == (
        1,
        "",
        (
            "error: OUT... 's3://bucket/1' is a URL, and 'nirgen manifest merge' works on local files there; copy it "
            "to a folder first (only SRC and OUT of 'nirgen translate' may be URLs)\n"
        ),
    )
    assert list(tmp_path.iterdir()) == []


def test_a_licence_may_be_a_web_page_and_a_folder_may_have_a_colon(
    nirgen: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for words in (
        ["train", "compact", "--licence", "https://creativecommons.org/licenses/by/4.0/", "-o", tmp_path / "a:b"],
        ["curation", "diff", tmp_path / "s3:" / "a", tmp_path / "b"],
    ):
        assert "is a URL" not in nirgen(*words)[2]
