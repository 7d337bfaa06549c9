"""Import of other projects' weights, export in the layout of the Pix2Next authors, and the table of parameter names.

The authors' names are those of github.com/Yonsei-STL/pix2next at c95c865. Only names differ; every tensor has the same
shape and meaning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from nirgen.errors import ModelError
from nirgen.files import output_file, sha256_of
from nirgen.models import checkpoint
from nirgen.models.catalog import EXTRACTOR_KEY, generator_of
from nirgen.models.config import NAMED_GENERATORS, GeneratorConfig, InternImageConfig
from nirgen.models.internimage import InternImage
from nirgen.models.layouts import LAYOUTS, read_layout, recognise
from nirgen.models.weights import read_foreign, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


Choice = Literal["auto", "released", "internimage", "pix2pix", "resnet", "irformer", "uvcgan", "bbdm"]


def import_weights(source: Path, target: Path, layout: Choice, *, licence: str = "unknown") -> dict[str, Any]:
    """Convert a file of another project into a nirgen file; only its tensors are read.

    Args:
        source: A `.pt`, `.pth` or `.safetensors` file.
        target: The `.safetensors` file to write.
        layout: `released`, a generator of the Pix2Next authors; `internimage`, an official InternImage classifier, from
            which extractors are initialised; a key of `layouts.LAYOUTS`, a generator of another system; `auto`, the
            generator that the tensors' names tell.
        licence: Licence of the weights, as their owner states it.

    Returns:
        The header of a generator, or `architecture` and `tensors` of an extractor.

    Raises:
        ModelError: The file can't be read safely, or is of another architecture.
    """
    if target.suffix != ".safetensors":
        raise ModelError(f"{target}: a model file ends in .safetensors; name it so")
    state = read_foreign(source)
    if layout == "auto":
        layout = _recognised(state, source)
    provenance = f"{source.name} (sha256 {sha256_of(source)}), read by the '{layout}' layout"
    if layout in LAYOUTS:
        config, renamed = read_layout(layout, state, source)
        with torch.device("meta"):
            network = checkpoint.build(config)
        counts = [name for name in network.state_dict() if name.endswith("num_batches_tracked")]  # new in torch 0.4.1
        renamed |= {name: torch.tensor(0) for name in counts if name not in renamed}
        checkpoint.check_fits(renamed, network, source)
        return checkpoint.save(target, renamed, config, licence=licence, provenance=provenance)
    if layout == "released":
        generator = _released_config(state)
        renamed = {our_name(name): tensor for name, tensor in state.items()}
        with torch.device("meta"):
            checkpoint.check_fits(renamed, checkpoint.build(generator), source)
        return checkpoint.save(target, renamed, generator, licence=licence, provenance=provenance)
    extractor = internimage_config(state, source)
    with torch.device("meta"):
        checkpoint.check_fits(state, InternImage(extractor), source)
    metadata = {EXTRACTOR_KEY: extractor.model_dump_json(), "licence": licence, "provenance": provenance}
    write_tensors(target, state, metadata)
    return {"architecture": extractor.model_dump(mode="json"), "tensors": len(state)}


def _recognised(state: Mapping[str, Tensor], source: Path) -> Choice:
    found = recognise(state) or ("released" if "init_conv.weight" in state else None)
    if found is None:
        raise ModelError(
            f"{source}: none of the layouts that nirgen knows (its first tensor is '{next(iter(state))}'); if it is "
            "one, name it with --as"
        )
    return cast("Choice", found)


def _released_config(state: Mapping[str, Tensor]) -> GeneratorConfig:
    """Return which of the authors' generators has these names, by their extractors; InternImage's for any others."""
    found = (made for prefix, made in _EXTRACTORS.items() if any(name.startswith(prefix) for name in state))
    return NAMED_GENERATORS[next(found, "released")]()


def internimage_config(state: Mapping[str, Tensor], source: Path) -> InternImageConfig:
    """Return the sizes of an InternImage, from the official names and shapes of its tensors.

    `offset_scale`, which no tensor shows, is 2 from InternImage-L (160 wide) on, as published.
    """
    blocks = [re.match(r"levels\.(\d)\.blocks\.(\d+)\.dcn\.offset\.weight", name) for name in state]
    found = [(int(match[1]), int(match[2])) for match in blocks if match]
    if not found or "patch_embed.conv2.weight" not in state or {level for level, _ in found} != {0, 1, 2, 3}:
        raise ModelError(f"{source}: not an InternImage (no 'levels.0.blocks.0.dcn.offset.weight' and the like)")
    if any("center_feature_scale" in name or "res_post_norm" in name for name in state):
        raise ModelError(f"{source}: InternImage-H and -G are not supported; take T, S, B, L or XL")
    depths = [1 + max(block for at, block in found if at == level) for level in range(4)]
    groups = [state[f"levels.{level}.blocks.0.dcn.offset.weight"].shape[0] // 18 for level in range(4)]
    width = state["patch_embed.conv2.weight"].shape[0]
    return InternImageConfig(
        in_channels=state["patch_embed.conv1.weight"].shape[1],
        width=width,
        depths=tuple(depths),
        groups=tuple(groups),
        offset_scale=2.0 if width >= 160 else 1.0,
        post_norm="levels.0.norm.0.weight" not in state,
        layer_scale=1e-5 if "levels.0.blocks.0.gamma1" in state else None,
        normalize="imagenet",
        classes=state["head.weight"].shape[0] if "head.weight" in state else None,
    )


def export_weights(source: Path, target: Path) -> int:
    """Write a model of a `released` architecture as the authors' `.pt` file in float32; return the number of values.

    Raises:
        ModelError: The model is of another architecture.
    """
    state, header = checkpoint.load_state(source)
    if generator_of(header, source) not in [NAMED_GENERATORS[name]() for name in _EXTRACTORS.values()]:
        raise ModelError(f"{source}: only the 'released' architectures can be exported to the authors' layout")
    names = released_names(state)
    theirs = {names[name]: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    with output_file(target) as temporary:
        torch.save(theirs, temporary)
    return sum(tensor.numel() for tensor in theirs.values())


_EXTRACTORS = {"unet.internimage.": "released", "unet.swin.": "released-swinv2", "unet.vit.": "released-vit"}
# (released prefix, nirgen's prefix), tried in order on each part of a name; each pair is unambiguous both ways.
_PREFIXES = [
    ("init_conv.", "stem."),
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


def our_name(name: str) -> str:
    """Return nirgen's name of a released parameter.

    Example:
        >>> our_name("unet.encoder.6.1.attention_2.Q.weight")
        'encoder.6.1.cross_attention.query.weight'
    """
    if match := _RESAMPLING.fullmatch(name):
        return _swap(match["head"], _PREFIXES) + "conv." + match["tail"]
    if match := _BLOCK.fullmatch(name):
        return _swap(match["head"], _PREFIXES) + _swap(match["tail"], _ATTENTION + _RESIDUAL)
    return _swap(name, [*_PREFIXES, *((prefix, "extractor.") for prefix in _EXTRACTORS)])


def released_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the released name of each parameter of a nirgen generator, by nirgen's name."""
    prefixes, attention, residual = (
        [(our, their) for their, our in table] for table in (_PREFIXES, _ATTENTION, _RESIDUAL)
    )
    own = {"extractor.pos_embedding": "unet.vit.", "extractor.layers.0.blocks.0.attn.q_bias": "unet.swin."}
    prefixes += [("extractor.", next((their for name, their in own.items() if name in state), "unet.internimage."))]
    names = {}
    for name in state:
        block = re.fullmatch(r"(?P<head>(?:encoder|bottleneck|decoder)\.\d+\.)(?P<tail>.*)", name)
        if not block:
            names[name] = _swap(name, prefixes)
            continue
        head, tail = _swap(block["head"], prefixes), block["tail"]
        if tail.startswith("conv."):
            kind = "down" if "encoder" in head else "up"
            names[name] = f"{head}0.{kind}sample_conv.{tail.removeprefix('conv.')}"
            continue
        index, _, part = tail.partition(".")
        is_attention = f"{block['head']}{index}.self_attention.in_proj.weight" in state
        names[name] = f"{head}{index}." + _swap(part, attention if is_attention else residual)
    return names


def _swap(name: str, table: list[tuple[str, str]]) -> str:
    """Replace a name's prefix by the first pair that matches, if one does."""
    return next((new + name.removeprefix(old) for old, new in table if name.startswith(old)), name)
