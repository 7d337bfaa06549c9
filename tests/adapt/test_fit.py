from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from nirgen.adapt.fit import fit, last_layers, merge
from nirgen.models.checkpoint import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.adapt.config import AdaptConfig
    from nirgen.pairs import PairList


def _changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def test_a_fit_changes_what_it_says(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    start, _ = load(known)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    pairs = write_pairs(tmp_path, {1: range(2)})
    changed = {}
    for what in ("all", "last", "low-rank"):
        for _, fitted in fit(start, pairs, what, config, checks=(2,), precision="fp32"):
            rgb = torch.rand(1, 3, 32, 32)
            expected = fitted(rgb)
            plain = merge(fitted)
            assert torch.allclose(plain(rgb), expected, atol=1e-6)
        changed[what] = _changed(before, plain.state_dict())
        assert _changed(before, start.state_dict()) == set()

    ids = {id(parameter) for layer in last_layers(start) for parameter in layer.parameters()}
    last = {name for name, parameter in start.named_parameters() if id(parameter) in ids}
    assert 0 < len(last) < len(before)
    assert changed["last"] == last
    assert changed["all"] >= {"stem.weight", "output.weight", "output.bias"}
    assert changed["low-rank"] >= {"stem.weight", "output.weight", "output.bias"}


def test_the_same_seed_gives_the_same_weights(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    start, _ = load(known)
    pairs = write_pairs(tmp_path, {1: range(3)})

    def fitted(seed: int, checks: tuple[int, ...]) -> dict[str, torch.Tensor]:
        settings = config.model_copy(update={"seed": seed})
        for _, generator in fit(start, pairs, "all", settings, checks=checks, precision="fp32"):
            state = generator.state_dict()
        return state

    first = fitted(0, (3,))
    assert _changed(first, fitted(0, (1, 2, 3))) == set()  # being judged on the way changes nothing
    assert _changed(first, fitted(1, (3,))) != set()


def test_statistics_of_batchnorm_stay(
    known: Path, write_pairs: Callable[..., PairList], tmp_path: Path, config: AdaptConfig
) -> None:
    start, _ = load(known)
    start.stem = nn.Sequential(start.stem, nn.BatchNorm2d(8))  # type: ignore[assignment]
    start.eval()
    for _, fitted in fit(start, write_pairs(tmp_path, {1: range(2)}), "all", config, checks=(2,), precision="fp32"):
        norm = fitted.stem[1]  # type: ignore[index]
    assert norm.running_mean.tolist() == [0.0] * 8
    assert norm.weight.tolist() != [1.0] * 8
