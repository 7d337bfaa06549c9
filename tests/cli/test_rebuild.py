from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.curation import Decision, Seen, write_decisions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


REJECT = Decision("bdd/a.jpg", "reject", author="anna", reason="blurred")
RELABEL = Decision("bdd/b.jpg#0", "relabel", "bicycle", seen=Seen(category="car"))


def save(path: Path, *decisions: Decision) -> Path:
    write_decisions(path, decisions)
    return path


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of all files but `run.json`, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture
def inputs(dataset_inputs: Callable[..., dict[str, Any]]) -> list[str]:
    """Three translated images, then three real ones: one of each split."""
    (generated,), (real,) = dataset_inputs().values()
    return [f"--generated=bdd={generated['folder']}:{generated['labels']}", f"--real={real['folder']}:{real['labels']}"]


@pytest.fixture
def dataset(inputs: list[str], nirgen, tmp_path: Path) -> Path:
    """A dataset of all inputs, in three formats."""
    code, _, err = nirgen("build-dataset", *inputs, tmp_path / "D", "--formats", "yolo,hf", "--yes")
    assert (code, err) == (0, "")
    return tmp_path / "D"


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Answer what is asked, as one who sits at a terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


def test_a_rebuild_has_the_bytes_of_a_build_with_the_same_options(inputs, nirgen, tmp_path: Path) -> None:
    settings = (*inputs, "--formats", "yolo", "--limit", "3", "--codec", "jpg", "--channels", "3", "--seed", "4")
    assert nirgen("build-dataset", *settings, tmp_path / "D", "--yes")[0] == 0
    file = save(tmp_path / "c.jsonl", RELABEL)
    assert nirgen("build-dataset", *settings, tmp_path / "E", "--curation", file, "--yes")[0] == 0
    code, out, err = nirgen("rebuild", tmp_path / "D", "--curation", file, "--yes")
    assert code == 0, err
    assert f"{tmp_path / 'D'}: rebuilt with 6 images and 7 annotations; " in out
    assert hashes(tmp_path / "D") == hashes(tmp_path / "E")
    code, out, err = nirgen("rebuild", tmp_path / "D", "--no-app", "--yes")
    assert "decisions: the 1 that it was built with (--no-app)\n" in err
    assert out.endswith("D: is as its inputs and decisions want it; nothing was written\n")
    assert hashes(tmp_path / "D") == hashes(tmp_path / "E")


def test_a_rebuild_shows_before_and_after_and_its_effect_is_explained(dataset, nirgen, tmp_path: Path) -> None:
    file = save(tmp_path / "c.jsonl", REJECT, RELABEL)
    untouched = hashes(dataset)
    code, out, _ = nirgen("rebuild", dataset, "--curation", file, "--dry-run")
    assert code == 0
    assert {"images 4 -> 3 1 1", "boxes: bicycle 1 -> 2 0 0"} < {*words(out)}
    assert "lose" not in out
    assert nirgen("curation", "apply", dataset, file)[1] == out
    assert hashes(dataset) == untouched
    assert nirgen("rebuild", dataset, "--curation", file, "--yes")[0] == 0
    assert (dataset / "curation.jsonl").read_bytes() == file.read_bytes()
    steps = " ".join(nirgen("explain", dataset, "bdd/b.jpg#0")[1].split())
    assert "decision: relabel car -> bicycle" in steps
    assert "a.jpg" in "".join(nirgen("explain", dataset, "bdd/a.jpg")[1:])


def test_without_a_terminal_it_doesnt_ask(dataset, nirgen) -> None:
    code, _, err = nirgen("rebuild", dataset, "--no-app")
    assert code == 2
    assert "there is no terminal to ask on: say --yes to build, --dry-run to see it" in " ".join(err.split())


def test_inputs_that_are_gone_are_named_together_and_may_have_moved(dataset, nirgen, tmp_path: Path) -> None:
    before = hashes(dataset)
    (tmp_path / "new").mkdir()
    for name in ("bdd", "ranus.json"):
        (tmp_path / name).rename(tmp_path / "new" / name)
    code, out, err = nirgen("rebuild", dataset, "--no-app", "--dry-run")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"error: {dataset}: {tmp_path / 'bdd/nir'} (folder of 'bdd'), {tmp_path / 'ranus.json'} (labels of 'ranus') "
        "can't be found; restore what is missing, or say where it is now: --moved OLD=NEW, which holds for all paths "
        "below OLD"
    )
    moved = [f"--moved={tmp_path / name}={tmp_path / 'new' / name}" for name in ("bdd", "ranus.json")]
    (dataset / "train.txt").unlink()
    code, out, err = nirgen("rebuild", dataset, "--no-app", "--yes", *moved)
    assert code == 0, err
    assert hashes(dataset) == before
    assert nirgen("rebuild", dataset, "--no-app", "--dry-run")[0] == 0  # it has recorded where they are


def test_images_that_the_inputs_have_lost_are_a_loss(dataset, nirgen, answer, tmp_path: Path) -> None:
    before = hashes(dataset)
    (tmp_path / "ranus/02/y.png").unlink()
    file = save(tmp_path / "c.jsonl", REJECT)
    code, out, err = nirgen("rebuild", dataset, "--curation", file, "--yes")
    assert code == 1
    assert f"{dataset} would lose 1 real image, the split val\n" in out
    assert err.splitlines()[-1].startswith(f"error: {dataset}: would lose 1 real image, the split val; ")
    assert "--allow-loss" in err
    answer("n\n")
    code, out, _ = nirgen("rebuild", dataset, "--curation", file)
    assert code == 1
    assert f"build {dataset} anew, which loses 1 real image, the split val? [y/N]" in out
    assert hashes(dataset) == before
    answer("y\n")
    assert nirgen("rebuild", dataset, "--curation", file)[0] == 0
    assert not (dataset / "annotations/val.json").exists()


def test_a_replacement_that_would_lose_something_is_refused_and_the_loss_named(
    inputs, dataset, nirgen, tmp_path: Path
) -> None:
    before = hashes(dataset)
    command = ("build-dataset", inputs[0], dataset, "--replace")
    losses = "3 real images, the splits val and test, the formats hf and yolo"
    code, _, err = nirgen(*command, "--yes")
    assert code == 1
    assert err == (
        f"error: {dataset}: would lose {losses}; give the inputs and options that it was built with, as 'nirgen "
        f"rebuild {dataset}' does, or --allow-loss\n"
    )
    code, out, _ = nirgen(*command, "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, f"{dataset} would lose {losses}")
    assert hashes(dataset) == before
    code, out, _ = nirgen(*command, "--yes", "--allow-loss")
    assert code == 0
    assert f"{dataset} loses {losses}" in out
    assert json.loads((dataset / "dataset.json").read_text())["splits"].keys() == {"train"}


def test_a_replacement_at_a_terminal_states_the_loss_when_it_asks(inputs, dataset, nirgen, answer) -> None:
    answer("y\n")
    code, out, _ = nirgen("build-dataset", *inputs, dataset, "--formats", "hf", "--replace")
    assert code == 0
    assert f"replace {dataset}, which loses the format yolo? [y/N]" in out
    assert not (dataset / "train.txt").exists()


def test_lost_decisions_are_refused_and_lost_boxes_told(dataset, nirgen, tmp_path: Path) -> None:
    assert nirgen("rebuild", dataset, "--curation", save(tmp_path / "c.jsonl", REJECT, RELABEL), "--yes")[0] == 0
    code, _, err = nirgen("rebuild", dataset, "--curation", save(tmp_path / "d.jsonl", RELABEL), "--yes")
    assert code == 1
    assert f"{dataset}: would lose 1 decision; " in err
    labels = json.loads((tmp_path / "bdd.json").read_text())
    del labels["annotations"][-1]
    (tmp_path / "bdd.json").write_text(json.dumps(labels))
    code, out, _ = nirgen("rebuild", dataset, "--no-app", "--yes")  # as edited labels want it
    assert code == 0
    assert f"{dataset} would lose 1 box" in out


def test_where_fiftyone_isnt_installed_the_datasets_own_decisions_count(dataset, nirgen, tmp_path: Path) -> None:
    assert nirgen("rebuild", dataset, "--curation", save(tmp_path / "c.jsonl", REJECT), "--yes")[0] == 0
    without = "import sys; sys.modules['fiftyone'] = None; from nirgen.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "rebuild", dataset, "--dry-run"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "decisions: the 1 that it was built with (FiftyOne isn't installed)" in done.stderr
