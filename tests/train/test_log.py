from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nirgen import images
from nirgen.train.log import Log, draw_curves, read_log

if TYPE_CHECKING:
    from pathlib import Path


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
    plain, with_scores = (images.decode(draw_curves(lines), "curves") for lines in (steps, steps + judged))
    assert plain.shape[1] == with_scores.shape[1] == 1000
    assert with_scores.shape[0] > plain.shape[0]
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) > 50  # lines and letters


def test_a_term_below_zero_can_be_drawn() -> None:
    lines = [{"step": step, "progress": 0.1, "learning_rate": 1e-4, "adversarial": -0.5} for step in (1, 2)]
    assert images.decode(draw_curves(lines), "curves").any()


def test_the_same_log_gives_the_same_picture() -> None:
    lines = [{"step": step, "progress": 0.1, "learning_rate": 1e-4, "ssim": 0.5} for step in (1, 2)]
    assert draw_curves(lines) == draw_curves(lines)
