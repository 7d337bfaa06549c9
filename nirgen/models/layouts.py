"""Names and sizes of other systems' generators, as their own projects save them (docs/reproduction.md).

Each layout has a tensor by which it is known, a way to read the sizes off the tensors' shapes, and nirgen's name of
each tensor. What no tensor shows, such as a U-Net's dropout or the number of heads, is as published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.errors import ModelError
from nirgen.models.config import BBDMConfig, IRFormerConfig, ResNetConfig, UNetConfig, UNetViTConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from nirgen.models.config import AnyGeneratorConfig

    State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """Form in which a project saves a generator."""

    mark: str  # a tensor that no other layout has
    kind: type[AnyGeneratorConfig]
    sizes: Callable[[State], dict[str, Any]]  # with the `inputs`; KeyError if a tensor that tells them is missing
    rename: Callable[[str, Any], str]  # of a tensor's name, for a configuration
    prefix: str = ""  # of its tensors, where the file holds others too
    unused: tuple[str, ...] = ()  # endings of tensors that follow from the sizes


def recognise(state: State) -> str | None:
    """Return the name of the layout that has these tensors; None if there is none."""
    return next((name for name, layout in LAYOUTS.items() if _is_of(layout, state)), None)


def _is_of(layout: Layout, state: State) -> bool:
    return layout.mark in state or layout.prefix + layout.mark in state


def read_layout(name: str, state: State, source: Path) -> tuple[AnyGeneratorConfig, dict[str, Tensor]]:
    """Return the architecture of a file's tensors, and these under nirgen's names.

    Raises:
        ModelError: A tensor that tells the sizes is missing, or the network is one that nirgen lacks.
    """
    layout = LAYOUTS[name]
    if not _is_of(layout, state):
        raise ModelError(f"{source}: no '{layout.mark}', which the layout '{name}' has; name the right layout or file")
    if layout.mark not in state:
        state = {key.removeprefix(layout.prefix): each for key, each in state.items() if key.startswith(layout.prefix)}
    state = {key: each for key, each in state.items() if not key.endswith(layout.unused)}
    try:
        sizes = layout.sizes(state)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from None
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"{source}: not all of the layout '{name}' is there ({error}); fetch it again") from None
    inputs = sizes.pop("inputs")
    if inputs != 3:
        raise ModelError(f"{source}: a network of {inputs} input channels, not of RGB images; name another file")
    config = layout.kind.read(sizes, where=f"{source} by the layout '{name}'")
    return config, {layout.rename(key, config): tensor for key, tensor in state.items()}


def _unet_sizes(state: State) -> dict[str, Any]:
    first, last = state["model.model.0.weight"], state["model.model.3.weight"]
    depth = max(name.count("model.") for name in state) - 1  # the outermost name has two, and each level one more
    return {"inputs": first.shape[1], "filters": first.shape[0], "levels": depth, "output_channels": last.shape[1]}


def _unet_name(name: str, _config: UNetConfig) -> str:
    rest, levels = name.removeprefix("model.model."), ""
    table = {"0": "down", "3": "up"}
    if rest.startswith("1.model."):
        table = {"1": "down", "2": "down_norm", "3": "up", "4": "up_norm", "5": "up", "6": "up_norm"}
        rest, levels = rest.removeprefix("1.model."), "inner."
        while rest.startswith("3.model."):
            rest, levels = rest.removeprefix("3.model."), levels + "inner."
    number, _, tail = rest.partition(".")
    return f"{levels}{table.get(number, number)}.{tail}"


def _resnet_sizes(state: State) -> dict[str, Any]:
    blocks = sorted({int(name.split(".")[1]) for name in state if ".conv_block." in name})
    if not blocks:
        raise KeyError("model.10.conv_block.1.weight")
    levels = (blocks[0] - 4) // 3  # three layers a level after the first four
    last = max(int(name.split(".")[1]) for name in state)
    first = state["model.1.weight"]
    # With dropout, the second convolution of a block is one place further on.
    second = state.get(f"model.{blocks[0]}.conv_block.6.weight")
    return {
        "inputs": first.shape[1],
        "filters": first.shape[0],
        "levels": levels,
        "blocks": len(blocks),
        "norm": "batch" if "model.2.weight" in state else "instance",
        "dropout": 0.5 if second is not None and second.dim() == 4 else 0.0,
        "output_channels": state[f"model.{last}.weight"].shape[0],
    }


def _resnet_name(name: str, config: ResNetConfig) -> str:
    head, block, tail = name.partition(".conv_block.")
    own = f"layers{head.removeprefix('model')}"
    number, _, rest = tail.partition(".")
    place = number if config.dropout else {"5": "6", "6": "7"}.get(number, number)
    return f"{own}.branch.{place}.{rest}" if block else own


def _bbdm_sizes(state: State) -> dict[str, Any]:
    first = state["input_blocks.0.0.weight"]
    total = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("output_blocks."))
    levels = 1 + sum(re.fullmatch(r"output_blocks\.\d+\.1\.in_layers\.2\.weight", name) is not None for name in state)
    step = total // levels  # residual blocks a level on the way up, one more than on the way down
    widths = [state[f"input_blocks.{1 + level * step}.0.out_layers.3.weight"].shape[0] for level in range(levels)]
    inputs = first.shape[1]
    if inputs == 3:
        raise ModelError("its network doesn't see the RGB image: of BBDM's latent variant, which nirgen lacks")
    return {
        "inputs": inputs - 3,
        "filters": first.shape[0],
        "multipliers": [width // first.shape[0] for width in widths],
        "blocks": step - 1,
    }


def _bbdm_name(name: str, _config: BBDMConfig) -> str:
    name = re.sub(r"^input_blocks\.0\.0\.", "first.", name)
    name = re.sub(r"^input_blocks\.(\d+)\.0\.", lambda match: f"down.{int(match[1]) - 1}.", name)
    return "network." + _renamed(
        name,
        [
            (r"^time_embed\.", "time."),
            (r"^middle_block\.", "middle."),
            (r"^output_blocks\.", "up."),
            (r"^out\.", "last."),
            (r"\.in_layers\.0\.", ".norm."),
            (r"\.in_layers\.2\.", ".conv."),
            (r"\.emb_layers\.1\.", ".time."),
            (r"\.out_layers\.0\.", ".norm_after."),
            (r"\.out_layers\.3\.", ".conv_after."),
            (r"\.skip_connection\.", ".shortcut."),
            (r"\.qkv\.", ".to_qkv."),
            (r"\.proj_out\.", ".out."),
        ],
    )


def _irformer_sizes(state: State) -> dict[str, Any]:
    first = state["conv1.conv2d.weight"]
    width, hidden = first.shape[0], state["transformer.0.ffn.project_out.weight"].shape[1]
    published = IRFormerConfig().expansion
    return {
        "inputs": first.shape[1],
        "width": width,
        "blocks": 1 + max(int(name.split(".")[1]) for name in state if name.startswith("transformer.")),
        "expansion": published if int(width * published) == hidden else (hidden + 0.5) / width,
        "output_channels": state["conv2.conv2d.weight"].shape[0],
    }


_IRFORMER = [
    (r"^conv1\.", "entry."),
    (r"^conv2\.", "exit."),
    (r"^agg\.conv\.conv2d\.", "join.conv.1."),
    (r"^agg\.conv\.normalization\.", "join.conv.2."),
    (r"^(entry|exit)\.conv2d\.", r"\1.0."),
    (r"^(entry|exit)\.normalization\.", r"\1.1."),
    (r"^(entry|exit)\.activation\.", r"\1.2."),
    (r"^color1\.", "colours."),
    (r"^color2\.", "colours_after."),
    (r"^(colours\w*\.\w+)_r\.", r"\1.0."),
    (r"^(colours\w*\.\w+)_g\.", r"\1.1."),
    (r"^(colours\w*\.\w+)_b\.", r"\1.2."),
    (r"\.conv_first\.", ".widen."),
    (r"\.instance\.", ".norms."),
    (r"\.conv_out\.", ".narrow."),
    (r"^enhance\.conv10([123])0\.", lambda match: f"context.pooled.{int(match[1]) - 1}."),
    (r"^enhance\.conv1\.", "context.refine."),
    (r"^enhance\.conv2\.", "context.out."),
    (r"^agg\.attention\.cw\.conv\.", "join.gates.0."),
    (r"^agg\.attention\.hc\.conv\.", "join.gates.1."),
    (r"^agg\.attention\.hw\.conv\.", "join.gates.2."),
    (r"^(join\.gates\.\d\.)conv\.", r"\g<1>0."),
    (r"^(join\.gates\.\d\.)bn\.", r"\g<1>1."),
    (r"^attn\.conv1\.", "detail.first."),
    (r"^attn\.conv2\.", "detail.second."),
    (r"^attn\.calayer\.conv_du\.", "detail.channels."),
    (r"^attn\.palayer\.pa\.", "detail.pixels."),
    (r"^(detail\.(?:first|second)\.)conv1\.", r"\1widen."),
    (r"^(detail\.(?:first|second)\.)conv2\.", r"\1depthwise."),
    (r"^(detail\.(?:first|second)\.)conv3\.", r"\1narrow."),
    (r"^(detail\.(?:first|second)\.)conv4\.", r"\1widen_after."),
    (r"^(detail\.(?:first|second)\.)conv5\.", r"\1narrow_after."),
    (r"^(detail\.(?:first|second)\.)sca\.1\.", r"\1channels."),
    (r"\.norm1\.(?:body\.)?", ".norm."),
    (r"\.norm2\.(?:body\.)?", ".norm_after."),
    (r"\.attn\.row_att\.", ".rows."),
    (r"\.attn\.col_att\.", ".columns."),
    (r"\.fac$", ".factor"),
    (r"\.q([123])\.", lambda match: f".to_qkv.{int(match[1]) - 1}."),
    (r"\.fin\.", ".out."),
    (r"\.ffn\.project_in\.", ".feed_forward.widen."),
    (r"\.ffn\.dwconv\.", ".feed_forward.depthwise."),
    (r"\.ffn\.project_out\.", ".feed_forward.narrow."),
]


def _uvcgan_sizes(state: State) -> dict[str, Any]:
    first = state["net.layer_input.0.weight"]
    levels = sorted((name for name in state if name.endswith(".conv.downsample.weight")), key=len)
    inner = f"net.unet.{'inner_module.' * len(levels)}"
    token, place = state[f"{inner}trans_input.output.weight"], state[f"{inner}trans_input.embed.projector.weight"]
    blocks = {name.split("encoder.encoder.")[1].split(".")[0] for name in state if "encoder.encoder." in name}
    return {
        "inputs": first.shape[1],
        "widths": [state[name].shape[0] for name in levels],
        "transformer_width": token.shape[0],
        "blocks": len(blocks),
        "hidden": state[f"{inner}encoder.encoder.0.ffn.net.0.weight"].shape[0],
        "embedding": place.shape[0],
        "output_channels": state["net.layer_output.weight"].shape[0],
    }


_UVCGAN = [
    (r"^net\.layer_input\.0\.", "entry."),
    (r"^net\.layer_output\.", "exit."),
    (r"^net\.unet\.", "levels."),
    (r"inner_module\.", "inner."),
    (r"\.conv\.downsample\.", ".down."),
    (r"\.conv\.block\.block\.", ".before."),
    (r"\.deconv\.upsample\.1\.", ".up."),
    (r"\.deconv\.block\.block\.", ".after."),
    (r"\.trans_input\.embed\.projector\.", ".places."),
    (r"\.trans_input\.output\.", ".entry."),
    (r"\.trans_output\.", ".exit."),
    (r"\.encoder\.encoder\.", ".blocks."),
    (r"\.re_alpha$", ".scale"),
    (r"\.norm1\.", ".norm."),
    (r"\.norm2\.", ".norm_after."),
    (r"\.atten\.in_proj_weight$", ".attention.to_qkv"),
    (r"\.atten\.in_proj_bias$", ".attention.bias"),
    (r"\.atten\.out_proj\.", ".attention.out."),
    (r"\.ffn\.net\.", ".feed_forward."),
]


def _renamed(name: str, rules: list[tuple[str, Any]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


LAYOUTS = {
    "pix2pix": Layout("model.model.0.weight", UNetConfig, _unet_sizes, _unet_name),
    "resnet": Layout("model.1.weight", ResNetConfig, _resnet_sizes, _resnet_name),
    "irformer": Layout(
        "color1.conv_first_r.weight", IRFormerConfig, _irformer_sizes, lambda name, _: _renamed(name, _IRFORMER)
    ),
    "uvcgan": Layout(
        "net.layer_input.0.weight",
        UNetViTConfig,
        _uvcgan_sizes,
        lambda name, _: _renamed(name, _UVCGAN),
        unused=(".x_const", ".y_const"),
    ),
    "bbdm": Layout("input_blocks.0.0.weight", BBDMConfig, _bbdm_sizes, _bbdm_name, prefix="denoise_fn."),
}
