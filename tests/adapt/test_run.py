from __future__ import annotations

import csv
import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.adapt.config import AdaptConfig
from nirgen.adapt.run import adapt, usable
from nirgen.adapt.validation import Record, make_folds
from nirgen.errors import ConfigError, NirgenError, OutputError
from nirgen.model import load_model
from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import load_state
from nirgen.pairs import PairList, find_pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.iterdir()) if path.name not in {"run.json", ".lock"}]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_pairs_of_another_camera_gain(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    pairs, left_out = usable(write_pairs(tmp_path / "pairs", {1: range(5)}))
    assert left_out == []
    verdict = adapt(known, pairs, tmp_path / "out", config)

    assert (verdict.outcome, verdict.cameras) == ("adapted", ())
    before, after = verdict.point("start").scores, verdict.point("adapted").scores
    assert after.total > before.total + 2
    assert not after.spoils(before)
    assert [(point.pairs, point.method) for point in verdict.curve] == [
        (0, "grey"),
        (0, "start"),
        *((count, method) for count in (1, 2, 3) for method in ("adapted", "linear", "trees")),
    ]

    # the model translates pairs that it has not seen as the held-out scores promise
    fresh = write_pairs(tmp_path / "fresh", {1: range(50, 54)})
    scores = adapt_scores(tmp_path / "out", known, fresh)
    assert scores[0] > scores[1] + 2

    header = read_header(tmp_path / "out" / "model.safetensors")
    assert header["training"]["adaptation"] == {
        "outcome": "adapted",
        "pairs": 5,
        "start_model_id": read_header(known)["model_id"],
        "what": verdict.what,
        "steps": verdict.steps,
    }
    assert {pair["nir_sha256"] for pair in header["training"]["pairs"]} == {pair.nir_sha256 for pair in pairs.pairs}
    assert (header["licence"], header["metrics"][0]["value"]) == ("MIT", round(after.psnr_affine, 4))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock", "adapt.json", "card.md", "curve.csv", "model.safetensors", "run.json",
    ]  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "out" / "curve.csv").read_text().splitlines()))
    assert rows[-3] == {"pairs": "3", "method": "adapted"} | {
        name: f"{getattr(after, name):.4f}" for name in ("psnr_affine", "ssim_affine", "psnr", "ssim")
    }
    assert "| train/1_004 | train/1_004 | +" in (tmp_path / "out" / "card.md").read_text()


def adapt_scores(adapted: Path, start: Path, pairs: PairList) -> list[float]:
    """Return the mean scores of both models."""
    from nirgen.adapt.scores import Scores, judge, read_frames

    frames = read_frames(pairs, 32)
    return [Scores.mean(judge(load_model(path, device="cpu"), frames)).total for path in (adapted, start)]


def test_without_a_gain_the_old_model_is_kept(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    pairs = write_pairs(tmp_path / "pairs", {0: range(3)})
    slow = config.model_copy(update={"learning_rate": 1e-9, "what": "all"})
    verdict = adapt(known, pairs, tmp_path / "out", slow)
    assert verdict.outcome == "no gain"
    assert verdict.lines()[0].startswith("no gain: kept the old one (held-out pairs: ")

    old, new = load_state(known), load_state(tmp_path / "out" / "model.safetensors")
    assert old[1]["model_id"] == new[1]["model_id"]
    assert all(tensor.equal(new[0][name]) for name, tensor in old[0].items())
    assert new[1]["training"]["adaptation"]["outcome"] == "no gain"
    assert "pairs" not in new[1]["training"]
    assert "# Model card: the old model, kept" in (tmp_path / "out" / "card.md").read_text()


def test_of_several_cameras_none_is_spoiled(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    pairs = write_pairs(tmp_path / "pairs", {1: range(4), -1: range(20, 22)})
    verdict = adapt(known, pairs, tmp_path / "out", config.model_copy(update={"what": "all"}))
    means = [np.mean([verdict.gains[name] for name in group]) for group in verdict.cameras]
    assert not (verdict.adapted and min(means) < 0)
    assert verdict.cameras == (tuple(f"train/1_{n:03}" for n in range(4)), ("train/-1_020", "train/-1_021"))
    assert "adapt to each apart (train/1_000, " in verdict.lines()[1]


def test_a_pair_alone_is_not_enough(write_pairs: Callable[..., PairList], tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match=r"^1 usable pair\(s\); adapt needs 3 at least, since some are held out"):
        usable(write_pairs(tmp_path, {1: range(1)}))


def test_misaligned_pairs_are_named_and_left_out(write_pairs: Callable[..., PairList], tmp_path: Path) -> None:
    listed = write_pairs(tmp_path / "four", {1: range(4)}, shift={2: 6})
    pairs, left_out = usable(listed)
    assert [pair.name for pair in pairs.pairs] == ["1_000", "1_001", "1_003"]
    assert left_out == ["nir/1_002.png: misaligned by 6 pixels (more than 3); left out"]
    with pytest.raises(NirgenError, match=r"^2 usable pair\(s\) \(nir/1_002.png: misaligned by 6 pixels"):
        usable(write_pairs(tmp_path / "three", {1: range(3)}, shift={2: 6}))


def test_a_resumed_run_gives_the_same_bytes(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    pairs = write_pairs(tmp_path / "pairs", {1: range(3)})
    quick = config.model_copy(update={"what": "last", "steps": 4})
    adapt(known, pairs, tmp_path / "whole", quick)
    once = _hashes(tmp_path / "whole")

    def stop(_stage: str, done: int, _total: int | None) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(known, pairs, tmp_path / "cut", quick, progress=stop)
    fits = sorted((tmp_path / "cut" / "work").glob("last-all-*.json"))
    assert len(fits) == 2
    fits[1].write_bytes(fits[1].read_bytes()[:-9])  # a torn file is computed again
    steps = []
    adapt(known, pairs, tmp_path / "cut", quick, progress=lambda _s, done, _t: steps.append(done))
    assert steps[0] == 4  # of the fit that was recorded
    assert _hashes(tmp_path / "cut") == once

    finished = []
    adapt(known, pairs, tmp_path / "cut", quick, progress=lambda *at: finished.append(at))
    assert finished == []
    assert _hashes(tmp_path / "cut") == once

    verdict = (tmp_path / "cut" / "adapt.json").read_text()
    (tmp_path / "cut" / "adapt.json").write_text(verdict.replace('"steps": 4', '"steps": 5'))
    with pytest.raises(
        OutputError, match=r"adapt.json: damaged \(its checksum is wrong\); remove .*cut and adapt again"
    ):
        adapt(known, pairs, tmp_path / "cut", quick)
    with pytest.raises(ConfigError, match="holds an adaptation of another model, to other images"):
        adapt(known, pairs, tmp_path / "cut", quick.model_copy(update={"seed": 1}))


def test_a_folder_of_other_files_is_refused(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    pairs = write_pairs(tmp_path / "pairs", {1: range(3)})
    with pytest.raises(OutputError, match=r"known0: holds other files, such as model.safetensors; name a new folder"):
        adapt(known, pairs, known.parent, config)
    with pytest.raises(ConfigError, match="size is 33, but the model takes multiples of 2"):
        adapt(known, pairs, tmp_path / "out", config.model_copy(update={"size": 33}))


def test_folds_hold_whole_sequences() -> None:
    folds = make_folds(["a", "b", "a", "c", "c", "c", "d"], 3, seed=0)
    assert [fold.held_out for fold in folds] == [(3, 4, 5), (0, 2), (1, 6)]
    assert [sorted(fold.train + fold.held_out) for fold in folds] == [list(range(7))] * 3
    assert [fold.held_out for fold in make_folds(["a"] * 3, 3, seed=0)] == [(0,), (1,), (2,)]


def test_a_record_of_another_run_is_not_read(tmp_path: Path) -> None:
    Record(tmp_path, "one").write("fit", [1.5])
    assert Record(tmp_path, "one").read("fit") == [1.5]
    assert Record(tmp_path, "two").read("fit") is None
    changed = (tmp_path / "fit.json").read_text().replace("1.5", "2.5")
    (tmp_path / "fit.json").write_text(changed)
    assert Record(tmp_path, "one").read("fit") is None


def test_the_embedded_model_gains_on_a_planted_camera(shared_data: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (shared_data / "rgb_nir" / "val" / "nir").iterdir())[10:22:4]
    assert len(names) == 3
    across = np.linspace(-1, 1, 96)
    vignetting = 1 - 0.2 * (across[:, None] ** 2 + across**2)
    for kind in ("rgb", "nir"):
        (tmp_path / kind).mkdir()
        for name in names:
            with Image.open(shared_data / "rgb_nir" / "val" / kind / name) as image:
                pixels = np.asarray(image.resize((96, 96)))
            if kind == "nir":
                pixels = (255 * (0.15 + 0.6 * (pixels / 255) ** 2) * vignetting).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / kind / f"{name}.png")
    settings = {"size": 64, "judged_size": 64, "steps": 12, "checks": 1, "what": "all", "curve": ()}
    config = AdaptConfig.read({**settings, "learning_rate": 1e-3}, where="the test")
    verdict = adapt("compact", find_pairs(tmp_path), tmp_path / "out", config, device="cpu")
    assert verdict.adapted
    assert verdict.point("adapted").scores.psnr > verdict.point("start").scores.psnr + 1
