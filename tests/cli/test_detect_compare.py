"""`nirgen detect compare`, as a person runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from nirgen.escapes import markdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Running

    Nirgen = Callable[..., tuple[int, str, str]]

TINY = ("--model", "fresh-tiny", "--steps", 2, "--batch", 2, "--size", 64, "--device", "cpu", "--set", "workers=0")


@pytest.fixture
def dataset(made_dataset: Callable[..., Path], tmp_path: Path) -> Path:
    return made_dataset(tmp_path / "D", real=2, generated=3, test=6)


def test_three_arms_come_out_as_a_table_with_intervals_and_a_sentence(
    nirgen: Nirgen, dataset: Path, tmp_path: Path
) -> None:
    options = (*TINY, "--seeds", "0", "--ratios", "all", "--arms", "none", "--resamples", 100)
    code, out, err = nirgen("detect", "compare", dataset, tmp_path / "out", *options)
    assert code == 0
    assert [line for line in err.splitlines() if "done" in line] == [
        "pretrained (1 of 3): done",
        "real/seed0 (2 of 3): done",
        "real+all/seed0 (3 of 3): done",
    ]
    assert re.search(r"^trained on +mAP +person +bicycle +car$", out, re.MULTILINE)
    for title in ("as pretrained", r"\+ real", r"\+ real \+ all generated"):
        assert re.search(rf"^{title} +\d\.\d{{4}} .*\n +\(\d\.\d{{4}} to \d\.\d{{4}}\) ", out, re.MULTILINE)
    assert re.search(r"^paper: \+ RANUS \+ generated +0\.3347 +0\.1704 +0\.2829 +0\.5507$", out, re.MULTILINE)
    assert "can't be said: nothing was learnt, for mAP is under 0.01 in every arm" in out
    assert "6 test images, 1 seed, so the spread over seeds is unknown" in out

    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [(arm["name"], arm["real"], arm["generated"], arm["steps"]) for arm in found["arms"]] == [
        ("pretrained", 0, 0, 0),
        ("real", 2, 0, 2),
        ("real+all", 2, 3, 2),
    ]
    assert markdown(found["sentence"]) in (tmp_path / "out" / "table7.md").read_text()
    for name in ("curve.png", "precision_recall.png", "predictions.png", "runs/real/seed0/test/predictions.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in (tmp_path / "out" / "comparison.json").read_text()

    before = (tmp_path / "out" / "comparison.json").read_bytes()
    code, out, err = nirgen("detect", "compare", dataset, tmp_path / "out", *options, "--json")
    assert (code, json.loads(out)) == (0, found)
    assert (tmp_path / "out" / "comparison.json").read_bytes() == before

    code, _, err = nirgen("detect", "compare", dataset, tmp_path / "out", *options, "--learning-rate", 0.5)
    assert code == 1
    assert "holds another comparison (learning_rate: 0.0001 -> 0.5); name another folder" in err


def test_a_dry_run_shows_the_arms_and_what_the_test_could_show_and_writes_nothing(
    nirgen: Nirgen, dataset: Path, tmp_path: Path
) -> None:
    code, out, err = nirgen("detect", "compare", dataset, tmp_path / "out", "--dry-run", "--steps", 10, "--batch", 4)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:6]] == [
        ["as", "pretrained", "0", "0", "0", "0", "-", "1"],
        ["+", "real", "2", "0", "0", "10", "20", "3"],
        ["+", "real", "+", "1", "x", "generated", "2", "2", "0", "10", "10", "3"],
        ["+", "real", "+", "all", "generated", "2", "3", "0", "10", "8", "3"],
        ["+", "real", "+", "1.5", "x", "RGB", "in", "grey", "2", "0", "3", "10", "8", "3"],
    ]
    assert "smallest gain of AP that these test images could show, about: mAP 0." in out
    assert "each judged on 6 real images of the split 'test'; every trained arm makes 10 steps of 4 images" in out
    assert not (tmp_path / "out").exists()


def test_ctrl_c_ends_with_130_and_keeps_what_is_done(
    running: Callable[..., Running], dataset: Path, tmp_path: Path
) -> None:
    options = [*map(str, TINY), "--seeds", "0", "--ratios", "1", "--resamples", "0", "--steps", "4000"]
    options += ["--arms", "none"]
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from nirgen.cli import main; main()"
    )
    words = (sys.executable, "-c", code, "detect", "compare", dataset, tmp_path / "out", *options)
    process = running(*words, env=os.environ | {"OMP_NUM_THREADS": "1"})
    log = tmp_path / "out" / "runs" / "real" / "seed0" / "log.jsonl"
    process.until(lambda: log.exists() and log.stat().st_size)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == (
        f"interrupted: runs that are done are kept, and the same command goes on in {tmp_path / 'out'}"
    )
    assert (tmp_path / "out" / "runs" / "pretrained" / "test" / "metrics.json").is_file()
    assert list((tmp_path / "out" / "runs" / "real" / "seed0" / "checkpoints").iterdir())
    assert not (tmp_path / "out" / "comparison.json").exists()


def test_mistakes_end_with_1_and_one_line(
    nirgen: Nirgen, dataset: Path, made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    untested = made_dataset(tmp_path / "untested", real=1, generated=1, test=0)
    for words, said in (
        ((dataset, "--ratios", "1,x"), "ratio 'x': no number from 0 on, nor 'all'"),
        ((dataset, "--ratios", "5"), "ratio 5 needs 10 generated images for 2 real ones, and 'train' has 3"),
        ((dataset, "--arms", "gray"), "arm 'gray': unknown; the arms are grey, colour, nir-like"),
        ((dataset, "--gain", "0"), "gain"),
        ((dataset, "--seeds", "0,a"), "seed 'a': no whole number from 0 on"),
        ((dataset, "--seeds", "1,1"), "seeds are whole numbers from 0 on, each once"),
        ((dataset, "--set", "validate_every=5", "--split", "val"), "weights would be chosen on the split 'val'"),
        ((dataset, "--set", "split=test"), "trained and judged on the split 'test'; judge on another one"),
        ((dataset, "--split", "val"), "the split 'val' has no images"),
        ((dataset, "--size", "65"), "65 is no multiple of 32"),
        ((untested,), "the split 'test' has no images"),
        ((tmp_path,), "no dataset of nirgen's"),
    ):
        code, out, err = nirgen("detect", "compare", words[0], tmp_path / "out", *words[1:])
        assert (code, out) == (1, ""), words
        assert said in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_without_transformers_it_is_refused_with_the_remedy(
    nirgen: Nirgen, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, _, err = nirgen("detect", "compare", dataset, tmp_path / "out", *TINY)
    assert code == 1
    assert err.splitlines()[-1].endswith("isn't installed; pip install 'nirgen[detect]'")
