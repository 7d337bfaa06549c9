"""Tensor files: reading, including untrusted files, whose code is never run, and atomic writing."""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nirgen.errors import ModelError, OutputError, first_line, one_line
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


# Names that projects wrap a state_dict in; a moving average goes before the weights that it is of.
_WRAPPERS = (
    "params_ema", "state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model", "model_state_dict",
    "netG", "netG_A", "generator", "params", "module",
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "netG.", "generator.")  # of DataParallel, torch.compile and networks in networks


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Read the tensors, by name and on the CPU, of a `.safetensors`, `.pt`, `.pth` or `.bin` file; no code is run.

    A wrapping mapping such as `{"state_dict": ...}` is removed, and so is a prefix that all names share, if it is of
    `DataParallel`, `torch.compile` or a generator in a larger model.

    Raises:
        ModelError: The file is missing, cut off, holds anything but tensors and plain values, or holds no tensors.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; name a .pt, .pth, .bin or .safetensors file")
    try:
        state = _unwrap(load_file(path) if path.suffix == ".safetensors" else load_tensors(path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: can't be read as safetensors ({one_line(error, 200)}); fetch it again") from None
    if not state:
        raise ModelError(f"{path}: holds no tensors by name; expected a state_dict")
    while prefix := next((each for each in _PREFIXES if all(name.startswith(each) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def write_tensors(path: Path, state: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a `.safetensors` file, whole or not at all, and the folders above it."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with output_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OutputError(f"{path}: can't be written ({error}); name another place") from error


def load_tensors(path: Path, *, remedy: str = "; is it cut off? fetch it again") -> Any:
    """Unpickle a file of `torch.save`; anything but tensors and plain values is refused before it runs.

    `remedy` ends the error of a file that can't be read.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle protocols, which the loader checks itself
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path}: holds more than tensors, perhaps code that would run on loading; it was not loaded. "
            "Ask its author for a state_dict or a .safetensors file"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - on damaged bytes the reader may raise anything
        raise ModelError(f"{path}: can't be read ({first_line(error)}){remedy}") from None


def _unwrap(content: Any) -> dict[str, Tensor]:
    while isinstance(content, dict):
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), dict)), None)
        if inner is None:
            return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        content = inner
    return {}
