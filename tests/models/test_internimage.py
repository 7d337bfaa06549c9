from __future__ import annotations

import numpy as np
import pytest
import torch

from nirgen.models.config import NAMED_INTERNIMAGES, InternImageConfig
from nirgen.models.internimage import InternImage

OFFICIAL_VALUES = {"tiny": 29_910_000, "small": 50_090_000, "base": 97_470_000, "large": 223_000_000}


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("pre_norm", {"post_norm": False, "layer_scale": None}),
        ("pre_norm_scaled", {"post_norm": False, "layer_scale": 1.0}),
        ("post_norm_offset_2", {"post_norm": True, "layer_scale": 1e-5, "offset_scale": 2.0}),
    ],
)
def test_the_last_map_is_that_of_the_official_code(
    key, changes, small_internimage, golden, golden_weight, golden_input
) -> None:
    network = InternImage(small_internimage.model_copy(update=changes)).eval()
    network.load_state_dict({name: golden_weight(name, tensor) for name, tensor in network.state_dict().items()})
    with torch.inference_mode():
        found = network(golden_input).numpy()
    expected = golden("internimage_64x96.npz")[key]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", OFFICIAL_VALUES)
def test_a_published_size_has_the_published_number_of_values(name) -> None:
    config = NAMED_INTERNIMAGES[name]().model_copy(update={"classes": 1000})
    with torch.device("meta"):
        values = sum(parameter.numel() for parameter in InternImage(config).parameters())
    assert values == pytest.approx(OFFICIAL_VALUES[name], rel=0.01)


def test_the_map_is_at_one_thirtysecond_rounded_up(small_internimage) -> None:
    assert InternImage(small_internimage)(torch.zeros(2, 3, 33, 64)).shape == (2, 128, 2, 2)


def test_a_fresh_network_begins_as_the_official_code_does(small_internimage) -> None:
    torch.manual_seed(0)
    network = InternImage(small_internimage)
    layer = network.levels[3].blocks[0]
    assert layer.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not layer.mlp.fc1.bias.any()
    for still in (layer.dcn.offset, layer.dcn.mask):
        assert not still.weight.any()
        assert not still.bias.any()
    limit = (6 / 256) ** 0.5  # Xavier's, for 128 channels in and out
    assert 0.95 * limit < layer.dcn.input_proj.weight.abs().max().item() <= limit


def test_paths_are_dropped_in_training_alone_and_more_often_the_deeper(small_internimage) -> None:
    network = InternImage(small_internimage.model_copy(update={"drop_path": 0.4}))
    rates = [block.drop_path for level in network.levels for block in level.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    block, x = network.levels[3].blocks[0], torch.randn(32, 1, 1, 128)
    torch.manual_seed(0)
    kept = (block.train()(x) != x).flatten(1).any(dim=1).float().mean().item()
    assert 0.5 < kept < 1  # either of two branches changes an image: 1 - 0.4 * 0.4
    assert torch.equal(block.eval()(x), block(x))


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="level 1 has 32 channels, not divisible by 5 groups"):
        InternImageConfig(width=16, groups=(2, 5, 8, 16))
