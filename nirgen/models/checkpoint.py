"""Model files: safetensors with one JSON header that describes the model.

A file is complete: its header holds the architecture, so that nothing else is needed to build the network, and
`model_id`, so that a damaged or exchanged tensor is noticed. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nirgen._version import __version__
from nirgen.errors import ModelError
from nirgen.models.catalog import HEADER_KEY, SCHEMA, read_header
from nirgen.models.config import GeneratorConfig
from nirgen.models.extractors import build_extractor
from nirgen.models.generator import Pix2Next
from nirgen.models.weights import write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def model_id(state: Mapping[str, Tensor], architecture: Mapping[str, Any]) -> str:
    """Sha256 of a model: its architecture, and its tensors' names, shapes, dtypes and bytes in the order of the names.

    The architecture counts because some of it, such as the number of heads, changes what the tensors compute without
    changing their shapes.

    Args:
        state: Tensors by name, on any device.
        architecture: The configuration as the file's header states it, plain values.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tuple(tensor.shape)}|{tensor.dtype}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def build(config: GeneratorConfig, *, load_weights: bool = False) -> Pix2Next:
    """A fresh generator of a configuration, with the extractor that it names.

    Args:
        config: The architecture.
        load_weights: Whether the extractor starts from the weights that the configuration names, as in training.

    Raises:
        ModelError: The extractor is unknown, or its weights can't be had.
    """
    return Pix2Next(config, build_extractor(config, load_weights=load_weights))


def save(
    path: Path,
    state: Mapping[str, Tensor],
    config: GeneratorConfig,
    *,
    training: Mapping[str, Any] | None = None,
    metrics: list[dict[str, Any]] | None = None,
    licence: str = "unknown",
    provenance: str = "",
) -> dict[str, Any]:
    """Write a model file, whole or not at all.

    Args:
        path: The file to write, ending in `.safetensors`.
        state: The generator's tensors by name.
        config: Its architecture.
        training: Data names, list of pairs with hashes, steps, seed and the like.
        metrics: One mapping a number: `name`, `value`, `on`.
        licence: What may be done with the weights.
        provenance: Where imported weights came from, and by which rule.

    Returns:
        The header as written.

    Raises:
        OutputError: The file can't be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    architecture = config.model_dump(mode="json")
    header = {
        "schema": SCHEMA,
        "nirgen": __version__,
        "architecture": architecture,
        "model_id": model_id(tensors, architecture),
        "training": dict(training or {}),
        "metrics": metrics or [],
        "licence": licence,
        "provenance": provenance,
    }
    write_tensors(path, tensors, {HEADER_KEY: json.dumps(header, sort_keys=True)})
    return header


def record_metrics(path: Path, metrics: list[dict[str, Any]]) -> None:
    """Write a model file again with other numbers in its header, whole or not at all.

    Args:
        path: A `.safetensors` file that nirgen wrote.
        metrics: One mapping a number: `name`, `value`, `on`.

    Raises:
        ModelError: As `load_state`.
        OutputError: The file can't be written.
    """
    state, header = load_state(path)
    write_tensors(path, state, {HEADER_KEY: json.dumps(header | {"metrics": metrics}, sort_keys=True)})


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a model file's tensors and header, and check that they belong together.

    Args:
        path: A `.safetensors` file that nirgen wrote.

    Returns:
        Tensors by name on the CPU, and the header.

    Raises:
        ModelError: As `read_header`; or the file is cut off, or its tensors don't have the hash that its header states.
    """
    header = read_header(path)
    state = _read_tensors(path)
    _verify(state, header, path)
    return state, header


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged ({error}); fetch or export it again") from None


def _verify(state: Mapping[str, Tensor], header: Mapping[str, Any], path: Path) -> None:
    """Refuse tensors or an architecture that aren't those that the file was written with."""
    found = model_id(state, header["architecture"])
    if found != header["model_id"]:
        raise ModelError(
            f"{path}: tensors and architecture hash to {found[:12]}, the header says {str(header['model_id'])[:12]}; "
            "the file was changed or damaged: fetch or export it again"
        )


def load(path: Path) -> tuple[Pix2Next, dict[str, Any]]:
    """Build the generator that a model file holds, in float32 and evaluation mode.

    Args:
        path: A `.safetensors` file that nirgen wrote.

    Returns:
        The generator and the header.

    Raises:
        ModelError: As `load_state`; or the tensors don't fit the architecture that the header states.
    """
    header, state = read_header(path), _read_tensors(path)
    config = GeneratorConfig.read(header["architecture"], where=f"{path} (architecture)")
    generator = build(config)
    check_fits(state, generator, path)
    _verify(state, header, path)
    generator.load_state_dict(state)
    return generator.float().eval(), header


def check_fits(state: Mapping[str, Tensor], generator: torch.nn.Module, path: Path) -> None:
    """Refuse tensors that aren't of the architecture.

    Raises:
        ModelError: A name is missing or unknown, or a shape differs; the first such is named.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{path}: another architecture: '{name}' has shape {found.get(name, 'none')} in the file, "
                f"{expected.get(name, 'none')} in the network; name the right architecture or file"
            )
