"""`nirgen run`, with real processes and real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nirgen.recipe.plan import Hashes
from nirgen.recipe.recipe import built_in
from nirgen.recipe.sample import write_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Running

STAGES: dict[str, Any] = {
    "pairs": {"run": "pairs list", "with": {"rgb": "${data.sample}/pairs/rgb", "nir": "${data.sample}/pairs/nir"}},
    "labels": {"run": "labels", "with": {"inputs": "${data.sample}/frames.json", "images": "${data.sample}/frames"}},
    "again": {"run": "labels", "with": {"inputs": "${labels.out}", "policy": "identity"}},
}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "nirgen", "run", *map(str, words)]


def nirgen_run(*words: object) -> tuple[int, str, str]:
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=600)
    return done.returncode, done.stdout, done.stderr.removeprefix("reading the recipe ...\n")


def states(text: str) -> dict[str, str]:
    """The last state that was said of each stage."""
    return dict(re.findall(r"^([\w-]+): (\w+) ?", text, re.MULTILINE))


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """A recipe of cheap stages on made data, and its command's words."""
    write_sample(tmp_path / "sample", frames=2)

    def make(stages: dict[str, Any]) -> list[object]:
        path = tmp_path / "tiny.yaml"
        values = {"name": "tiny", "about": "A test.", "data": {"sample": {"about": "made"}}, "stages": stages}
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        # The code may be edited while tests run.
        return [path, "--data", f"sample={tmp_path / 'sample'}", "--out", tmp_path / "out", "--any-code"]

    return make


def test_smoke_runs_whole_and_then_skips_all(tmp_path: Path) -> None:
    words = ["smoke", "--out", tmp_path, "--any-code"]
    code, out, err = nirgen_run(*words)
    assert (code, out.splitlines()[-1]) == (0, f"wrote: {tmp_path / 'summary.md'}"), err
    names = yaml.safe_load(built_in()["smoke"].read_text())["stages"]
    assert states(err) == dict.fromkeys(names, "done")
    text = (tmp_path / "summary.md").read_text()
    assert "| 10 ± 0 | 10 | yes |" in text
    addresses = {*re.findall(r"\]\(([^)]*)\)", text)}
    assert {"logs/train.log", "stages/report/report.html", "stages/evaluate/judged/report.html"} < addresses
    assert [address for address in addresses if not (tmp_path / address).exists()] == []
    code, _, err = nirgen_run(*words)
    assert (code, states(err)) == (0, dict.fromkeys(names, "skipped"))
    code, out, _ = nirgen_run(*words, "--set", "translate.channels=3", "--dry-run")
    ran = set(re.findall(r"^(?:run|resume) (\w+)", out, re.MULTILINE))
    assert ran == {"translate", "dataset", "validate", "report", "detect"}
    assert "run translate: option 'channels' changed\n  python -m nirgen translate " in out


def test_a_changed_input_runs_what_depends_on_it_alone(tiny: Any, tmp_path: Path) -> None:
    words = tiny(STAGES)
    assert nirgen_run(*words)[0] == 0
    labels = tmp_path / "sample/frames.json"
    labels.touch()
    assert states(nirgen_run(*words)[2]) == dict.fromkeys(STAGES, "skipped")
    labels.write_text(labels.read_text() + "\n")
    code, _, err = nirgen_run(*words)
    assert (code, states(err)) == (0, {"pairs": "skipped", "labels": "done", "again": "done"})
    assert "labels: running (input ${data.sample}/frames.json changed)" in err
    (tmp_path / "out/stages/again/labels.json").unlink()
    code, out, _ = nirgen_run(*words, "--dry-run")
    assert f"run again: its output {tmp_path / 'out/stages/again/labels.json'} is gone" in out
    assert not (tmp_path / "out/stages/again/labels.json").exists()


def test_from_and_only_choose_stages(tiny: Any) -> None:
    words = tiny(STAGES)
    code, _, err = nirgen_run(*words, "--only", "again")
    assert (code, err) == (1, "error: --only again: it needs 'labels', which isn't done (never run); run that first\n")
    assert states(nirgen_run(*words, "--only", "labels")[2]) == {
        "labels": "done",
        "pairs": "skipped",
        "again": "skipped",
    }
    assert nirgen_run(*words)[0] == 0
    assert states(nirgen_run(*words, "--from", "labels")[2]) == {"pairs": "skipped", "labels": "done", "again": "done"}


def test_a_stage_that_fails_stops_the_run_and_says_why(tiny: Any, tmp_path: Path) -> None:
    wrong = {**STAGES, "labels": {"run": "labels", "with": {"inputs": "${data.sample}/pairs/rgb/01/0000.png"}}}
    words = tiny(wrong)
    code, _, err = nirgen_run(*words)
    assert code == 1
    assert f"error: stage 'labels' failed (exit code 1): {tmp_path}/sample/pairs/rgb/01/0000.png" in err
    assert json.loads((tmp_path / "out/run.json").read_text())["exit_code"] == 1
    tiny(STAGES)
    code, _, err = nirgen_run(*words)
    assert (code, states(err)) == (0, {"pairs": "skipped", "labels": "done", "again": "done"})


def test_a_part_that_failed_stops_the_run_unless_the_recipe_allows_it(tiny: Any, tmp_path: Path) -> None:
    cut = tmp_path / "sample/pairs/rgb/01/0000.png"
    cut.write_bytes(cut.read_bytes()[:400])
    check = {"run": "pairs check", "with": {"listing": "${pairs.out}", "root": "${data.sample}/pairs", "workers": 1}}
    words = tiny({"pairs": STAGES["pairs"], "check": check})
    code, _, err = nirgen_run(*words)
    assert code == 3
    assert "error: stage 'check' did a part only (exit code 3)" in err
    words = tiny({"pairs": STAGES["pairs"], "check": {**check, "allow": "partial"}})
    code, _, err = nirgen_run(*words)
    assert (code, states(err)) == (3, {"pairs": "skipped", "check": "partial"})
    code, _, err = nirgen_run(*words)
    assert (code, states(err)) == (3, {"pairs": "skipped", "check": "skipped"})


def test_a_killed_run_and_an_interrupted_one_go_on(tiny: Any, running: Callable[..., Running], tmp_path: Path) -> None:
    stage = {"run": "translate", "with": {"source": "${data.sample}/frames", "device": "cpu"}}
    words = tiny({"labels": STAGES["labels"], "nir": stage})
    state = tmp_path / "out/state/nir.json"

    def begin() -> Running:
        state.unlink(missing_ok=True)
        process = running(*command(*words))
        process.until(state.exists)
        return process

    process = begin()
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert "resume nir: was killed" in nirgen_run(*words, "--dry-run")[1]
    process = begin()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert "the same command goes on from there" in err
    code, _, err = nirgen_run(*words)
    assert (code, states(err)) == (0, {"labels": "skipped", "nir": "done"})
    whole = [
        sys.executable,
        "-m",
        "nirgen",
        "translate",
        tmp_path / "sample/frames",
        tmp_path / "nir",
        "--device",
        "cpu",
    ]
    subprocess.run(list(map(str, whole)), check=True, capture_output=True)
    hashes = Hashes(tmp_path / "hashes.json")
    for name in ("0000.png", "0001.png", "0002.png", "manifest.parquet"):
        assert hashes.of(tmp_path / "out/stages/nir/nir" / name) == hashes.of(tmp_path / "nir" / name)


def test_mistakes_are_found_before_anything_starts(tiny: Any, tmp_path: Path) -> None:
    words = tiny({**STAGES, "last": {"run": "validate", "with": {"pahts": "x"}}})
    code, _, err = nirgen_run(*words)
    assert (code, err) == (
        1,
        "error: tiny: stage 'last': 'nirgen validate' has no option 'pahts'; did you mean 'paths'?\n",
    )
    assert not (tmp_path / "out").exists()


def test_recipes_of_the_package_are_found_by_name_in_any_folder(
    nirgen: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    code, printed, _ = nirgen("run", "smoke", "--dry-run")
    assert code == 0
    assert printed.startswith("run sample: never run\n")

    code, printed, _ = nirgen("run", "--list")
    assert [line.split()[0] for line in printed.splitlines()] == list(built_in())

    code, _, error = nirgen("run", "smok")
    assert code == 1
    assert "smok: no such file, and no recipe of the package; did you mean 'smoke'?" in error
