"""The method of CycleGAN, by the reference's losses and the definition of its pools."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nirgen import losses
from nirgen.models.config import DiscriminatorConfig
from nirgen.models.discriminator import MultiScaleDiscriminator
from nirgen.train import cycle
from nirgen.train.config import TrainConfig
from nirgen.train.networks import build_networks
from nirgen.train.processes import Processes
from nirgen.train.state import ImagePool, State

CPU = torch.device("cpu")
TENSORS = json.loads((Path(__file__).parents[1] / "golden/systems.json").read_text())


def fill(network: nn.Module, tag: str, start: str) -> None:
    """Give a network the values of tests/golden/README.md for the reference's names, which begin with `start`."""
    for tensor, (name, _, rule) in zip(network.state_dict().values(), TENSORS[tag], strict=True):
        phase = zlib.crc32((start + name).encode()) % 1000 / 100
        x = np.sin((np.arange(tensor.numel()) + 1.0) * 12.9898 + phase) * 43758.5453123
        scale = np.sqrt(3 / np.prod(tensor.shape[1:])) if rule == "fan" else 0.05
        values = scale * (2 * (x - np.floor(x)) - 1)
        tensor.copy_(torch.from_numpy(values.reshape(tensor.shape).astype(np.float32)))


def image(phase: float) -> torch.Tensor:
    n, k, y, x = np.meshgrid(*(np.arange(float(size)) for size in (2, 3, 64, 64)), indexing="ij")
    values = np.sin(x * (0.11 + 0.03 * k) + phase + k + 0.7 * n) * np.cos(y * (0.07 + 0.02 * k) - k)
    return torch.from_numpy(values.astype(np.float32))


def test_the_losses_of_cyclegan_are_those_of_the_reference() -> None:
    values = {"preset": "cyclegan", "generator": {"filters": 8}, "discriminator": {"filters": 8}}
    config = TrainConfig.read(values | {"compute": {"precision": "fp32"}}, where="")
    state = State(config, build_networks(config), CPU)
    fill(state.generator, "cyclegan_resnet9_small", "g_a.")
    fill(state.reverse, "cyclegan_resnet9_small", "g_b.")
    fill(state.discriminator["nir"], "cyclegan_patchgan", "d_a.")
    fill(state.discriminator["rgb"], "cyclegan_patchgan", "d_b.")
    terms = cycle.backward(state, config.stages[0], (image(0), image(0.9), 0), 1.0, Processes(0, 1, CPU))
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {
            "adversarial_nir": 0.9282210469,
            "adversarial_rgb": 0.7334923148,
            "cycle_rgb": 6.2354202271,
            "cycle_nir": 5.7818393707,
            "identity_nir": 2.8776547909,
            "identity_rgb": 3.1205105782,
            "discriminator_nir": 0.6173127294,
            "discriminator_rgb": 0.6321896911,
        },
        rel=1e-4,
    )


def test_the_gradient_penalty_of_uvcgan_is_that_of_the_reference() -> None:
    config = DiscriminatorConfig(in_channels=3, filters=8, scales=1, form="pix2pix")
    judge = MultiScaleDiscriminator(config)
    with torch.no_grad():
        fill(judge, "cyclegan_patchgan", "d_a.")
    points = 0.3 * image(0) + 0.7 * image(0.9)
    value = 0.1 * losses.gradient_penalty(lambda images: [maps[-1] for maps in judge(images)], points, 100.0)
    assert float(value.detach()) == pytest.approx(0.0853752345, rel=1e-4)
    value.backward()
    assert all(parameter.grad is not None for parameter in list(judge.parameters())[:-1])


def test_a_pool_gives_new_images_until_it_is_full_then_earlier_ones_half_of_the_time() -> None:
    pool, random = ImagePool(4), np.random.default_rng(0)
    images = torch.arange(200.0)[:, None, None, None].expand(-1, 1, 2, 2)
    found = torch.cat([pool.exchange(part, random) for part in images.split(2)])[:, 0, 0, 0]
    assert torch.equal(found[:4], torch.arange(4.0))
    late = found[4:]
    assert 0.4 < float((late == torch.arange(4.0, 200)).float().mean()) < 0.6
    assert len(set(late.tolist())) == len(late)  # an image that was swapped out never comes again
    assert float((torch.arange(4.0, 200) - late).max()) > 10
    again = ImagePool(4)
    again.load_state_dict(pool.state_dict())
    randoms = [np.random.default_rng(1) for _ in range(2)]
    for number in range(8):
        new = torch.full((1, 1, 2, 2), -1.0 - number)
        assert torch.equal(*(each.exchange(new, random) for each, random in zip((pool, again), randoms, strict=True)))
    assert torch.equal(ImagePool(0).exchange(images, random), images)


def test_images_of_another_size_empty_a_pool() -> None:
    pool, random = ImagePool(2), np.random.default_rng(0)
    pool.exchange(torch.zeros(2, 1, 2, 2), random)
    assert torch.equal(pool.exchange(torch.ones(2, 1, 4, 4), random), torch.ones(2, 1, 4, 4))
    assert [tuple(image.shape) for image in pool.images] == [(1, 4, 4)] * 2
