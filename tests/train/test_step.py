"""Two processes, on the CPU by gloo, as `torchrun` starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
import yaml

from nirgen.models.config import GeneratorConfig, InternImageConfig, ResNetConfig
from nirgen.train.batches import Batches, Draws
from nirgen.train.config import ComputeConfig, LossConfig, OptimizerConfig, TrainConfig
from nirgen.train.networks import build_networks
from nirgen.train.processes import Processes
from nirgen.train.state import NotFiniteError, State
from nirgen.train.step import train_step

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.config import Stage


CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)


def values(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def start(config: TrainConfig, pairs: PairList) -> tuple[State, Batches]:
    state = State(config, build_networks(config), CPU)
    return state, Batches(Draws(pairs.split("train"), config.data, config.crops, config.seed))


def one_step(config: TrainConfig, pairs: PairList, stage: Stage | None = None) -> tuple[State, dict[str, float]]:
    state, batches = start(config, pairs)
    return state, train_step(state, batches, stage or config.stages[1], 1.0, ALONE)[0]


def test_the_discriminators_learn_in_their_stage_alone(config: TrainConfig, pairs: PairList) -> None:
    state, batches = start(config, pairs)
    fresh = values(state.discriminator)
    without, _ = train_step(state, batches, config.stages[0], 1.0, ALONE)
    assert without.keys() == {"pixel", "ssim", "gradient"}
    assert torch.equal(values(state.discriminator), fresh)
    generator = values(state.generator)
    together, _ = train_step(state, batches, config.stages[1], 1.0, ALONE)
    assert together.keys() == {"pixel", "ssim", "adversarial", "feature_matching", "discriminator", "gradient"}
    assert not torch.equal(values(state.discriminator), fresh)
    assert not torch.equal(values(state.generator), generator)
    assert (state.step, state.position) == (2, 4)


@pytest.mark.parametrize("kind", ["vanilla", "lsgan", "hinge"])
@pytest.mark.parametrize("off", ["adversarial", "feature_matching", "ssim", "pixel"])
def test_each_term_can_be_switched_off(config: TrainConfig, pairs: PairList, off: str, kind: str) -> None:
    losses = LossConfig(gan=kind, pixel=1.0).model_copy(update={off: 0.0})
    _, terms = one_step(config.model_copy(update={"losses": losses}), pairs)
    expected = {"pixel", "ssim", "adversarial", "feature_matching", "discriminator", "gradient"}
    assert terms.keys() == expected - {off}


def test_a_weight_multiplies_its_term(config: TrainConfig, pairs: PairList) -> None:
    terms = [
        one_step(config.model_copy(update={"losses": LossConfig(ssim=ssim, pixel=1.0)}), pairs)[1] for ssim in (1, 10)
    ]
    assert terms[1]["ssim"] == pytest.approx(10 * terms[0]["ssim"])
    assert terms[1]["pixel"] == pytest.approx(terms[0]["pixel"])


def test_the_ssim_range_is_the_batchs_own_as_in_the_released_code(config: TrainConfig, pairs: PairList) -> None:
    found = [
        one_step(config.model_copy(update={"losses": LossConfig(ssim_range=kind)}), pairs)[1]["ssim"]
        for kind in ("unit", "batch")
    ]
    assert found[0] != pytest.approx(found[1], abs=1e-6)


def test_two_accumulated_batches_are_one_of_twice_the_size(config: TrainConfig, pairs: PairList) -> None:
    # instance statistics and means over images: nothing in it depends on how a batch is cut
    halves = config.model_copy(update={"optimizer": OptimizerConfig(accumulate=2, learning_rate=1e-3)})
    whole = config.model_copy(update={"optimizer": OptimizerConfig(learning_rate=1e-3)})
    double = config.stages[1].model_copy(update={"batch": 4})
    losses = LossConfig(pixel=1.0, adversarial=0.0, feature_matching=0.0)
    first, in_parts = one_step(halves.model_copy(update={"losses": losses}), pairs)
    second, at_once = one_step(whole.model_copy(update={"losses": losses}), pairs, double)
    assert in_parts == pytest.approx(at_once, rel=1e-4)
    torch.testing.assert_close(values(first.generator), values(second.generator), atol=2e-4, rtol=0)


def test_the_gradient_is_clipped_to_its_limit(config: TrainConfig, pairs: PairList) -> None:
    optimizer = OptimizerConfig(kind="adam", gradient_clip=1e-3)
    state, terms = one_step(config.model_copy(update={"optimizer": optimizer}), pairs)
    gradients = [parameter.grad for parameter in state.generator.parameters() if parameter.grad is not None]
    assert terms["gradient"] > 1e-2
    assert torch.cat([gradient.flatten() for gradient in gradients]).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_checkpointing_changes_the_memory_and_not_the_gradients(config: TrainConfig, pairs: PairList) -> None:
    plain, terms = one_step(config, pairs)
    compute = ComputeConfig(gradient_checkpointing=True, precision="fp32")
    twice, same_terms = one_step(config.model_copy(update={"compute": compute}), pairs)
    assert same_terms == pytest.approx(terms, rel=1e-5)
    torch.testing.assert_close(values(twice.generator), values(plain.generator), atol=1e-6, rtol=0)


def test_bf16_gives_the_losses_of_float32_but_for_rounding(config: TrainConfig, pairs: PairList) -> None:
    _, terms = one_step(config, pairs)
    state, rounded = one_step(config.model_copy(update={"compute": ComputeConfig(precision="bf16")}), pairs)
    del terms["gradient"], rounded["gradient"]
    assert rounded == pytest.approx(terms, rel=0.05)
    assert values(state.generator).dtype == torch.float32


def test_an_extractor_of_deformable_convolutions_learns_in_bf16(config: TrainConfig, pairs: PairList) -> None:
    extractor = InternImageConfig(width=16, depths=(1, 1, 1, 1), groups=(2, 4, 8, 16))
    generator = GeneratorConfig.read(config.generator.model_dump() | {"extractor": extractor}, where="test")
    changes = {"generator": generator, "compute": ComputeConfig(precision="bf16")}
    state, terms = one_step(config.model_copy(update=changes), pairs)
    assert terms["gradient"] > 0
    assert all(p.grad.isfinite().all() for p in state.generator.extractor.parameters() if p.grad is not None)


def test_what_is_not_finite_is_named_and_changes_no_weight(
    config: TrainConfig, pairs: PairList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nirgen.losses.rmse_loss", lambda generated, nir: generated.sum() * float("nan"))
    state, batches = start(config, pairs)
    before = values(state.generator)
    with pytest.raises(NotFiniteError, match=r"^'pixel' is nan$"):
        train_step(state, batches, config.stages[0], 1.0, ALONE)
    assert torch.equal(values(state.generator), before)
    assert state.step == 0


def test_a_gradient_that_is_not_finite_is_noticed_too(
    config: TrainConfig, pairs: PairList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nirgen.losses.rmse_loss", lambda generated, nir: (generated - generated).abs().sum().sqrt())
    state, batches = start(config, pairs)
    with pytest.raises(NotFiniteError, match="'gradient' is nan"):
        train_step(state, batches, config.stages[0], 1.0, ALONE)


TOLERANCE = 1e-4
"""Relative, of each loss term: sums are taken in another order, and Adam's first steps enlarge that."""


def run(config: TrainConfig, pairs: PairList, folder: Path, processes: int) -> Path:
    """Train in so many processes, in an environment of their own."""
    folder.mkdir()
    pairs.write(folder / "pairs.csv")
    (folder / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = ["-m", "nirgen", "train", "run.yaml", "out", "--pairs", "pairs.csv", "--root", str(pairs.root)]
    if processes > 1:
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(  # noqa: PLW1510 - its code is looked at
        [sys.executable, *command, "--device", "cpu"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


def logged(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name != "minutes"} for line in lines if "progress" in line]


@pytest.mark.parametrize("method", ["together", "discriminator-first", "cycle"])
def test_two_processes_train_as_one_with_twice_the_batch(
    config: TrainConfig, pairs: PairList, tmp_path: Path, method: str
) -> None:
    if method == "cycle":
        narrow = {"generator": {"filters": 4, "blocks": 1}, "discriminator": {"filters": 4}}
        losses = {"cycle": {"pool": 3}}
        stages = [{"size": 32, "batch": 2}]
        save = {"log_steps": 1, "validation_size": 32}
        values = {"preset": "cyclegan", **narrow, "losses": losses, "stages": stages, "save": save}
        config = TrainConfig.read(values | {"steps": 4, "epochs": None, "compute": {"precision": "fp32"}}, where="")
    if method == "discriminator-first":
        optimizer = config.optimizer.model_copy(update={"discriminator_first": True})
        generator = ResNetConfig(filters=4, levels=2, blocks=1, output_channels=1)
        config = config.model_copy(update={"optimizer": optimizer, "generator": generator})
    doubled = tuple(stage.model_copy(update={"batch": 2 * stage.batch}) for stage in config.stages)
    two = logged(run(config, pairs, tmp_path / "two", 2))
    one = logged(run(config.model_copy(update={"stages": doubled}), pairs, tmp_path / "one", 1))
    assert [line["step"] for line in two] == [line["step"] for line in one] == [1, 2, 3, 4]
    expected = {"pixel", "ssim", "adversarial", "feature_matching", "discriminator"}
    assert (expected if method != "cycle" else {"cycle_nir", "discriminator_rgb"}) < two[-1].keys()
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=TOLERANCE)
