"""Model files: safetensors with one JSON header, from which the network is built; nothing is ever unpickled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nirgen._version import __version__
from nirgen.errors import ModelError, first_line, one_line
from nirgen.files import seal
from nirgen.models.baselines import Linear, LinearConfig, Trees, TreesConfig
from nirgen.models.bbdm import BBDM
from nirgen.models.catalog import HEADER_KEY, SCHEMA, architecture_of, check_id, generator_of, hash_model, read_header
from nirgen.models.config import GeneratorConfig
from nirgen.models.extractors import build_extractor
from nirgen.models.generator import Pix2Next
from nirgen.models.irformer import IRFormer
from nirgen.models.munit import MUNIT, UNIT
from nirgen.models.resnet import ResNet
from nirgen.models.unet import UNet
from nirgen.models.uvcgan import UNetViT
from nirgen.models.weights import write_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from nirgen.config import FrozenConfig
    from nirgen.models.config import AnyGeneratorConfig
    from nirgen.models.network import Generator


def model_id(state: Mapping[str, Tensor], architecture: Mapping[str, Any]) -> str:
    """Return the sha256 of tensors, on any device, and the architecture as plain values (see `catalog.hash_model`)."""
    tensors = ((name, state[name].detach().cpu().contiguous()) for name in sorted(state))
    parts = (
        (name, tensor.shape, str(tensor.dtype), [tensor.reshape(-1).view(torch.uint8).numpy().tobytes()])
        for name, tensor in tensors
    )
    return hash_model(architecture, parts)


_NETWORKS: dict[str, Callable[[Any], Generator]] = {  # by kind, beside Pix2Next, which has an extractor
    "bbdm": BBDM,
    "irformer": IRFormer,
    "resnet": ResNet,
    "unet": UNet,
    "unet-vit": UNetViT,
    "unit": UNIT,
    "munit": MUNIT,
}


def build(config: AnyGeneratorConfig, *, load_weights: bool = False) -> Generator:
    """Build a generator of any kind with random weights, except for those of `build_extractor`.

    Raises:
        ModelError: The extractor can't be built, or its maps don't fit the generator's widths.
    """
    if not isinstance(config, GeneratorConfig):
        return _NETWORKS[config.kind](config)
    extractor = build_extractor(config, load_weights=load_weights)
    try:
        return Pix2Next(config, extractor)
    except ValueError as error:  # GroupNorm's, of widths that only the extractor knows
        raise ModelError(f"generator: {error}; choose widths and maps that norm_groups divides") from None


def save(
    path: Path,
    state: Mapping[str, Tensor],
    config: FrozenConfig,
    *,
    training: Mapping[str, Any] | None = None,
    metrics: list[dict[str, Any]] | None = None,
    licence: str = "unknown",
    provenance: str = "",
) -> dict[str, Any]:
    """Write a model file (docs/formats.md), whole or not at all, and return its header.

    Args:
        path: The file.
        state: The tensors.
        config: The architecture: that of a generator of any kind, a `LinearConfig` or a `TreesConfig`.
        training: Record of its training.
        metrics: Scores, as mappings of `name`, `value` and `on`.
        licence: Licence of the weights.
        provenance: Origin of imported weights.
    """
    architecture = config.model_dump(mode="json")
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "nirgen": __version__,
        "architecture": architecture,
        "model_id": model_id(state, architecture),
        "training": dict(training or {}),
        "metrics": metrics or [],
        "licence": licence,
        "provenance": provenance,
    }
    write_tensors(path, state, {HEADER_KEY: json.dumps(seal(header), sort_keys=True)})
    return header


def record_metrics(path: Path, metrics: list[dict[str, Any]]) -> None:
    """Replace the scores in a model file's header by mappings of `name`, `value` and `on`."""
    state, header = load_state(path)
    write_tensors(path, state, {HEADER_KEY: json.dumps(seal(header | {"metrics": metrics}), sort_keys=True)})


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors, on the CPU, and the header of a model file, and verify the hash."""
    header = read_header(path)
    state = _read_tensors(path)
    check_id(model_id(state, header["architecture"]), header, path)
    return state, header


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged ({one_line(error, 200)}); fetch or export it again") from None


def load(path: Path) -> tuple[Generator, dict[str, Any]]:
    """Build the generator of a model file, in float32 and evaluation mode, and return it with the header.

    Raises:
        ModelError: The file can't be read, its hash is wrong, its tensors don't fit its architecture, or it holds a
            baseline.
    """
    header = read_header(path)
    config, state = generator_of(header, path), _read_tensors(path)
    generator = build(config)
    check_fits(state, generator, path)
    check_id(model_id(state, header["architecture"]), header, path)
    generator.load_state_dict(state)
    return generator.float().eval(), header


def save_baseline(
    path: Path, baseline: Linear | Trees, *, training: Mapping[str, Any], licence: str = "unknown"
) -> None:
    """Write a model file of a baseline, whole or not at all."""
    state = {name: torch.from_numpy(values.copy()) for name, values in baseline.arrays().items()}
    save(path, state, baseline.config, training=training, licence=licence)


def load_baseline(path: Path) -> tuple[Linear | Trees, dict[str, Any]]:
    """Build the baseline of a model file, and return it with the header.

    Raises:
        ModelError: The file can't be read, its hash is wrong, or it doesn't hold a baseline.
    """
    state, header = load_state(path)
    config = architecture_of(header, path)
    if not isinstance(config, LinearConfig | TreesConfig):
        raise ModelError(f"{path}: a generator, not a baseline; name the model file of a baseline")
    try:
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        if isinstance(config, LinearConfig):
            return Linear.from_arrays(config, arrays), header
        return Trees.from_arrays(config, arrays), header
    except (TypeError, ValueError) as error:  # TypeError: a type that NumPy lacks
        raise ModelError(f"{path}: no '{config.kind}' ({first_line(error)}); fetch or fit it again") from None


def load_pix2next(path: Path) -> tuple[Pix2Next, dict[str, Any]]:
    """Build the Pix2Next generator of a model file; as `load`, and a ModelError for another kind of generator."""
    generator, header = load(path)
    if not isinstance(generator, Pix2Next):
        raise ModelError(f"{path}: a generator of the kind '{generator.config.kind}'; this needs one of Pix2Next")
    return generator, header


def check_fits(state: Mapping[str, Tensor], network: torch.nn.Module, path: Path) -> None:
    """Refuse tensors of another architecture; the error names the first missing, unknown or misshapen one."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{path}: another architecture: '{name}' has shape {found.get(name, 'none')} in the file, "
                f"{expected.get(name, 'none')} in the network; name the right architecture or file"
            )
