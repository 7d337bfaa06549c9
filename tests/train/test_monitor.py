from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from nirgen import images
from nirgen.files import seal, unseal
from nirgen.train.config import SaveConfig
from nirgen.train.monitor import Log, chosen_pairs, draw_curves, linear_baseline, read_log, validate

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList


class Red(nn.Module):
    """The red channel, and a little more light."""

    def __init__(self, more: float) -> None:
        super().__init__()
        self.more = more

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        return rgb[:, :1] + self.more


def test_pairs_are_chosen_evenly_from_the_split_val(pairs: PairList) -> None:
    assert [pair.name for pair in chosen_pairs(pairs, SaveConfig()).pairs] == ["e", "f"]
    assert [pair.name for pair in chosen_pairs(pairs, SaveConfig(validation_images=1)).pairs] == ["e"]
    assert chosen_pairs(pairs, SaveConfig(validation_images=0)).pairs == ()
    assert chosen_pairs(pairs.split("train"), SaveConfig()).pairs == ()


def test_a_translator_that_is_right_is_perfect_and_one_that_is_not_is_not(pairs: PairList) -> None:
    chosen = chosen_pairs(pairs, SaveConfig())
    right = validate(Red(0.0), chosen, SaveConfig(validation_size=32), torch.device("cpu"))
    assert (right.psnr, right.ssim) == (100, pytest.approx(1))
    wrong = validate(Red(0.1), chosen, SaveConfig(validation_size=32), torch.device("cpu"))
    assert 24 < wrong.psnr < 28  # 0.1 of 2 is 12.75 grey levels but where it saturates: 26.0 dB and a little more
    assert wrong.ssim < 1


def test_the_linear_baseline_is_fitted_once_for_the_same_pairs(pairs: PairList, tmp_path: Path) -> None:
    path, training = tmp_path / "linear.json", pairs.split("train")
    fitted = linear_baseline(path, training, 32)
    assert fitted.weights == pytest.approx([1, 0, 0], abs=1e-9)
    judged = validate(Red(0.1), chosen_pairs(pairs, SaveConfig()), SaveConfig(), torch.device("cpu"), linear=fitted)
    assert judged.baselines["linear"] == (100, pytest.approx(1))
    assert judged.baselines["grey"][0] < 40

    stored = unseal(json.loads(path.read_text()))
    path.write_text(json.dumps(seal({**stored, "offset": 7.0})))
    assert linear_baseline(path, training, 32).offset == 7  # it is read
    assert linear_baseline(path, training, 48).offset == pytest.approx(0, abs=1e-9)
    for damage in ("{", json.dumps({**stored, "offset": "a"}), path.read_text().replace('"offset": ', '"offset": 9')):
        path.write_text(damage)
        assert linear_baseline(path, training, 32).offset == pytest.approx(0, abs=1e-9)


def test_training_pairs_that_can_not_be_read_are_left_out_of_the_linear_baseline(
    pairs: PairList, tmp_path: Path
) -> None:
    training = pairs.split("train")
    first, *others = ((training.root / pair.rgb) for pair in training.pairs)
    first.write_bytes(b"")
    assert linear_baseline(tmp_path / "linear.json", training, 32).weights == pytest.approx([1, 0, 0], abs=1e-9)
    (tmp_path / "linear.json").unlink()
    for path in others:
        path.write_bytes(b"")
    assert linear_baseline(tmp_path / "linear.json", training, 32) is None
    assert not (tmp_path / "linear.json").exists()


def test_the_picture_has_a_row_a_pair(pairs: PairList) -> None:
    chosen, device = chosen_pairs(pairs, SaveConfig()), torch.device("cpu")
    assert validate(Red(0.0), chosen, SaveConfig(validation_size=32), device).picture.shape == (730, 996, 3)
    assert validate(Red(0.0), chosen, SaveConfig(samples=1), device).picture.shape == (386, 996, 3)
    assert validate(Red(0.0), chosen, SaveConfig(samples=0), device).picture is None


def test_a_line_is_a_line_of_json_and_points_of_tensorboard(tmp_path: Path) -> None:
    with Log(tmp_path, 0) as log:
        log.write(3, {"progress": 0.5, "ssim": 2.5})
        log.write(3, {"validation": {"psnr": 20.0}})
        log.write(4, {"skipped": "'b.png' is damaged"})
        log.picture(3, "samples", np.zeros((4, 6, 3), np.uint8))
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        {"step": 3, "progress": 0.5, "ssim": 2.5},
        {"step": 3, "validation": {"psnr": 20.0}},
        {"step": 4, "skipped": "'b.png' is damaged"},
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert sorted(board.Tags()["scalars"]) == ["progress", "ssim", "validation/psnr"]
    assert [(point.step, point.value) for point in board.Scalars("ssim")] == [(3, 2.5)]
    assert board.Images("samples")[0].width == 6


def test_the_log_is_taken_up_at_a_step(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    with Log(tmp_path, 2) as log:
        log.write(3, {"ssim": 1.0})
    assert read_log(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3, "ssim": 1.0}]


def test_curves_are_drawn_with_and_without_validation() -> None:
    steps = [{"step": step, "progress": step / 9, "learning_rate": 1e-4, "ssim": 10 - step} for step in range(1, 9)]
    judged = [{"step": 8, "validation": {"psnr": 20.0, "ssim": 0.7}}]
    judged[0] |= {"baselines": {"grey": {"psnr": 14.0, "ssim": 0.6}}}
    plain, with_scores = (images.decode(draw_curves(lines), "curves") for lines in (steps, steps + judged))
    judged[0]["baselines"]["linear"] = {"psnr": 17.0, "ssim": 0.65}
    assert not np.array_equal(images.decode(draw_curves(steps + judged), "curves"), with_scores)
    assert plain.shape[1] == with_scores.shape[1] == 1000
    assert with_scores.shape[0] > plain.shape[0]
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) > 50  # lines and letters


def test_a_term_below_zero_can_be_drawn() -> None:
    lines = [{"step": step, "progress": 0.1, "learning_rate": 1e-4, "adversarial": -0.5} for step in (1, 2)]
    assert images.decode(draw_curves(lines), "curves").any()


def test_the_same_log_gives_the_same_picture() -> None:
    lines = [{"step": step, "progress": 0.1, "learning_rate": 1e-4, "ssim": 0.5} for step in (1, 2)]
    assert draw_curves(lines) == draw_curves(lines)
