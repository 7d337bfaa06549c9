"""Model files: safetensors with one JSON header, from which the network is built; nothing is ever unpickled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nirgen._version import __version__
from nirgen.errors import ModelError
from nirgen.files import seal
from nirgen.models.catalog import HEADER_KEY, SCHEMA, check_id, hash_model, read_header
from nirgen.models.config import GeneratorConfig
from nirgen.models.extractors import build_extractor
from nirgen.models.generator import Pix2Next
from nirgen.models.weights import write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def model_id(state: Mapping[str, Tensor], architecture: Mapping[str, Any]) -> str:
    """Return the sha256 of tensors, on any device, and the architecture as plain values (see `catalog.hash_model`)."""
    tensors = ((name, state[name].detach().cpu().contiguous()) for name in sorted(state))
    parts = (
        (name, tensor.shape, str(tensor.dtype), [tensor.reshape(-1).view(torch.uint8).numpy().tobytes()])
        for name, tensor in tensors
    )
    return hash_model(architecture, parts)


def build(config: GeneratorConfig, *, load_weights: bool = False) -> Pix2Next:
    """Build a generator with random weights, except for those of `build_extractor`."""
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
    """Write a model file (docs/formats.md), whole or not at all, and return its header."""
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
        raise ModelError(f"{path}: damaged ({error}); fetch or export it again") from None


def load(path: Path) -> tuple[Pix2Next, dict[str, Any]]:
    """Build the generator of a model file, in float32 and evaluation mode, and return it with the header.

    Raises:
        ModelError: The file can't be read, its hash is wrong, or its tensors don't fit its architecture.
    """
    header, state = read_header(path), _read_tensors(path)
    generator = build(GeneratorConfig.read(header["architecture"], where=f"{path} (architecture)"))
    check_fits(state, generator, path)
    check_id(model_id(state, header["architecture"]), header, path)
    generator.load_state_dict(state)
    return generator.float().eval(), header


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
