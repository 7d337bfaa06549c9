"""The authors' released checkpoints: their parameter names and ours.

Facts from github.com/Yonsei-STL/pix2next at c95c865. Only names differ; every tensor has the same shape and meaning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

# (their name, our name), tried in order on each part of a name; each pair must be unambiguous both ways.
_PREFIXES = [
    ("init_conv.", "stem."),
    ("unet.internimage.", "extractor."),
    ("unet.output_res_block.block1.proj.", "output_block.conv1."),
    ("unet.output_res_block.block2.proj.", "output_block.conv2."),
    ("unet.output_res_block.residual_layer.", "output_block.shortcut."),
    ("unet.output_block.conv.", "output."),
    ("unet.encoder.", "encoder."),
    ("unet.bottle_neck.", "bottleneck."),
    ("unet.decoder.", "decoder."),
]
_RESIDUAL = [
    ("norm.", "norm1."),
    ("conv_feature.", "conv1."),
    ("norm_merged.", "norm2."),
    ("conv_merged.", "conv2."),
    ("residual_layer.", "shortcut."),
]
_ATTENTION = [
    ("conv_input.", "conv_in."),
    ("group_norm.", "norm_in."),
    ("conv_input_c.", "condition_conv."),
    ("group_norm_c.", "condition_norm."),
    ("layer_norm_1.", "norm1."),
    ("attention_1.", "self_attention."),
    ("layer_norm_2.", "norm2."),
    ("attention_2.Q.", "cross_attention.query."),
    ("attention_2.K.", "cross_attention.key."),
    ("attention_2.V.", "cross_attention.value."),
    ("attention_2.O.", "cross_attention.out."),
    ("layer_norm_3.", "norm3."),
    ("linear_geglu_1.", "feed_forward.expand."),
    ("linear_geglu_2.", "feed_forward.contract."),
    ("conv_output.", "conv_out."),
]
_RESAMPLING = re.compile(r"(?P<head>unet\.(?:encoder|decoder)\.\d+\.)0\.(?:down|up)sample_conv\.(?P<tail>.*)")
_BLOCK = re.compile(r"(?P<head>unet\.(?:encoder|bottle_neck|decoder)\.\d+\.\d+\.)(?P<tail>.*)")


def ours(name: str) -> str:
    """Our name of a released parameter.

    Example:
        >>> ours("unet.encoder.6.1.attention_2.Q.weight")
        'encoder.6.1.cross_attention.query.weight'
    """
    resampling = _RESAMPLING.fullmatch(name)
    if resampling:
        return _swap(resampling["head"], _PREFIXES) + "conv." + resampling["tail"]
    block = _BLOCK.fullmatch(name)
    if block:
        return _swap(block["head"], _PREFIXES) + _swap(block["tail"], _ATTENTION + _RESIDUAL)
    return _swap(name, _PREFIXES)


def theirs(state: Mapping[str, Tensor]) -> dict[str, str]:
    """The released name of each of our parameters.

    Args:
        state: Our generator's tensors by name.

    Returns:
        Our name -> released name.
    """
    back = [(our, their) for their, our in _PREFIXES]
    names = {}
    for name in state:
        block = re.fullmatch(r"(?P<head>(?:encoder|bottleneck|decoder)\.\d+\.)(?P<tail>.*)", name)
        if not block:
            names[name] = _swap(name, back)
            continue
        head, tail = _swap(block["head"], back), block["tail"]
        if tail.startswith("conv."):
            kind = "down" if "encoder" in head else "up"
            names[name] = f"{head}0.{kind}sample_conv.{tail.removeprefix('conv.')}"
            continue
        index, _, part = tail.partition(".")
        is_attention = f"{block['head']}{index}.self_attention.in_proj.weight" in state
        table = _ATTENTION if is_attention else _RESIDUAL
        names[name] = f"{head}{index}." + _swap(part, [(our, their) for their, our in table])
    return names


def _swap(name: str, table: list[tuple[str, str]]) -> str:
    """Exchange a name's prefix by the first pair that fits; a name that fits none stays as it is."""
    for old, new in table:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
