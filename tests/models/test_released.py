from __future__ import annotations

import pytest
import torch

from nirgen.models.checkpoint import build
from nirgen.models.config import GeneratorConfig
from nirgen.models.released import ours, theirs

NAMES = [
    ("init_conv.weight", "stem.weight"),
    ("unet.internimage.levels.2.blocks.20.dcn.offset.bias", "extractor.levels.2.blocks.20.dcn.offset.bias"),
    ("unet.encoder.0.1.residual_layer.weight", "encoder.0.1.shortcut.weight"),
    ("unet.encoder.1.0.downsample_conv.bias", "encoder.1.conv.bias"),
    ("unet.encoder.6.1.conv_input_c.weight", "encoder.6.1.condition_conv.weight"),
    ("unet.bottle_neck.1.1.attention_1.in_proj.weight", "bottleneck.1.1.self_attention.in_proj.weight"),
    ("unet.bottle_neck.0.2.norm_merged.weight", "bottleneck.0.2.norm2.weight"),
    ("unet.decoder.0.1.linear_geglu_2.bias", "decoder.0.1.feed_forward.contract.bias"),
    ("unet.decoder.0.1.layer_norm_2.bias", "decoder.0.1.norm2.bias"),
    ("unet.decoder.5.0.upsample_conv.weight", "decoder.5.conv.weight"),
    ("unet.output_res_block.block2.proj.weight", "output_block.conv2.weight"),
    ("unet.output_block.conv.bias", "output.bias"),
]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build(GeneratorConfig.released()).state_dict()


@pytest.mark.parametrize(("their_name", "our_name"), NAMES)
def test_a_name_is_translated_both_ways(state: dict[str, torch.Tensor], their_name: str, our_name: str) -> None:
    assert ours(their_name) == our_name
    assert theirs(state)[our_name] == their_name


def test_no_two_names_meet(state: dict[str, torch.Tensor]) -> None:
    names = theirs(state)
    assert len(set(names.values())) == len(names) == 1110
    assert [ours(their_name) for their_name in names.values()] == list(names)
