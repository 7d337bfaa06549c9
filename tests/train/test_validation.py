from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from nirgen.train.config import SaveConfig
from nirgen.train.validation import chosen_pairs, validate

if TYPE_CHECKING:
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


def test_the_picture_has_a_row_a_pair(pairs: PairList) -> None:
    chosen, device = chosen_pairs(pairs, SaveConfig()), torch.device("cpu")
    assert validate(Red(0.0), chosen, SaveConfig(validation_size=32), device).picture.shape == (524, 784, 3)
    assert validate(Red(0.0), chosen, SaveConfig(samples=1), device).picture.shape == (264, 784, 3)
    assert validate(Red(0.0), chosen, SaveConfig(samples=0), device).picture is None
