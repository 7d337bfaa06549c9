"""The step of a training."""

from __future__ import annotations

import math

import pytest
import torch

from nirgen.detect.config import DetectConfig
from nirgen.detect.networks import read_network
from nirgen.detect.state import State
from nirgen.errors import ConfigError
from nirgen.train.state import NotFiniteError

OURS = ("person", "bicycle", "car")


def make(**values: object) -> State:
    config = DetectConfig.read({"model": "fresh-tiny", "size": 64, "steps": 40, **values}, where="the test")
    return State(config, read_network(config.model, categories=OURS, seed=config.seed), torch.device("cpu"))


def batch() -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """A white square on a black image, and a black image."""
    pixels = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    pixels[0, 16:48, 8:40] = 255
    boxes = torch.tensor([[0.375, 0.5, 0.5, 0.5]])
    return pixels, [
        {"boxes": boxes, "class_labels": torch.tensor([2])},
        {"boxes": boxes[:0], "class_labels": torch.tensor([2])[:0]},
    ]


def test_the_loss_on_a_fixed_batch_falls() -> None:
    state = make(learning_rate=2e-3, gradient_clip=1.0, steps=25)
    terms = [state.update(*batch()) for _ in range(25)]
    assert terms[0].keys() == {"loss", "vfl", "bbox", "giou", "gradient_norm"}
    first, last = (sum(term["loss"] for term in part) / 5 for part in (terms[:5], terms[-5:]))
    assert last < 0.7 * first
    assert state.step == 25


def test_in_bf16_it_falls_too() -> None:
    state = make(learning_rate=2e-3, gradient_clip=1.0, precision="bf16", steps=8)
    losses = [state.update(*batch())["loss"] for _ in range(8)]
    assert losses[-1] < losses[0]


def test_the_learning_rate_rises_then_falls() -> None:
    state = make(steps=10, warmup=0.2)
    factors = []
    for state.step in range(10):
        factors.append(round(state.factor, 3))
    assert factors == [0.25, 0.75, 0.99, 0.916, 0.778, 0.598, 0.402, 0.222, 0.084, 0.01]


@pytest.mark.parametrize(("rate", "expected"), [(None, 0.1), (0.02, 0.02)])
def test_a_fresh_backbone_learns_as_fast_as_the_rest_unless_told(rate: float | None, expected: float) -> None:
    groups = make(learning_rate=0.1, backbone_learning_rate=rate).optimizer.param_groups
    rates = {group["base_lr"] for group in groups}
    assert rates == {0.1, expected}
    assert {group["weight_decay"] for group in groups} == {0.0, 1e-4}
    assert all(p.ndim > 1 for group in groups if group["weight_decay"] for p in group["params"])


def test_a_trained_backbone_learns_ten_times_slower() -> None:
    config = DetectConfig(model="some/model", size=64, learning_rate=0.1)
    state = State(config, read_network("fresh-tiny", categories=OURS), torch.device("cpu"))
    assert {round(group["base_lr"], 6) for group in state.optimizer.param_groups} == {0.1, 0.01}


def test_a_loss_that_is_not_finite_stops_before_anything_changes() -> None:
    state = make()
    with torch.no_grad():
        state.model.model.enc_score_head.bias.fill_(math.nan)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    with pytest.raises(NotFiniteError, match="is nan"):
        state.update(*batch())
    changed = [
        name
        for name, tensor in state.model.named_parameters()
        if not torch.equal(tensor.nan_to_num(), before[name].nan_to_num())
    ]
    assert (changed, state.step) == ([], 0)


def test_a_gradient_that_is_not_finite_is_passed_over_unless_it_stays_so() -> None:
    state = make(weight_decay=0)
    weight = state.model.model.enc_bbox_head.layers[0].weight
    hook = weight.register_hook(lambda gradient: gradient * math.inf)
    before = [parameter.clone() for parameter in state.model.parameters()]
    for step in range(1, 11):
        assert not math.isfinite(state.update(*batch())["gradient_norm"])
        assert (state.step, state.passed_over) == (step, step)
    assert all(torch.equal(a, b) for a, b in zip(state.model.parameters(), before, strict=True))
    with pytest.raises(NotFiniteError, match=r"the gradient is (nan|inf), as in the 10 steps before"):
        state.update(*batch())
    hook.remove()
    assert math.isfinite(state.update(*batch())["gradient_norm"])
    assert (state.step, state.passed_over) == (11, 0)


def test_a_state_is_restored_from_plain_values() -> None:
    state, other = make(), make(seed=3)
    state.update(*batch())
    other.restore(state.dump(), "here")
    assert other.step == 1
    assert all(torch.equal(a, b) for a, b in zip(state.model.parameters(), other.model.parameters(), strict=True))
    assert state.update(*batch()) != make(seed=3).update(*batch())
    with pytest.raises(ConfigError, match="here: of other networks than configured"):
        other.restore(state.dump() | {"model": {}}, "here")
