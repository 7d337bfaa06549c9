"""Translators that are made where they run: in other processes, on other devices or machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import torch

from nirgen.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from nirgen.models.precision import Wanted
    from nirgen.translate.translator import Translator


class Loader(Protocol):
    """Makes a translator. It is pickled on its way to the process that calls it, so its class must be importable."""

    def __call__(self, device: str) -> Translator:
        """The translator, on a device such as `cpu` or `cuda:1`.

        Raises:
            NirgenError: There is no such model or device.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loads a model by `nirgen.load_model`.

    Attributes:
        name: An embedded name, a `.safetensors` file, or a run folder.
        precision: What it computes in, or `auto`.
    """

    name: str | Path
    precision: Wanted = "auto"

    def __call__(self, device: str) -> Translator:
        """The model, on a device.

        Raises:
            ModelError: There is no such model, or its file is damaged.
            ConfigError: There is no such device or precision.
        """
        from nirgen.model import load_model

        return load_model(self.name, device=device, precision=self.precision)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a run records of a translator that computes in other processes; an engine has to do the work.

    Attributes:
        id: As the translator's.
        stride: As the translator's.
        header: As the translator's.
        precision: As the translator's; None if it doesn't say.
        device: Where it runs, for `run.json`, such as `cuda:0,cuda:1`.
    """

    id: str
    stride: int
    header: Mapping[str, Any]
    precision: str | None
    device: str

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> NoReturn:  # noqa: ARG002 - it can't
        """Refuse.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"this model computes on {self.device}: give its engine to `translate_folder` as well")


def describe(translator: Translator, device: str) -> Elsewhere:
    """What a run records of a translator.

    Args:
        translator: One like those that will do the work.
        device: Where they run.
    """
    precision = getattr(translator, "precision", None)
    return Elsewhere(translator.id, translator.stride, translator.header, precision, device)


def load_as_described(loader: Loader, device: str, wanted: Elsewhere) -> Translator:
    """Make a translator, and see that it is the one that a run records.

    Args:
        loader: Makes it.
        device: Where it runs.
        wanted: What the run records.

    Raises:
        NirgenError: It can't be made, is another model, or computes in another precision.
    """
    translator = loader(device)
    if translator.id != wanted.id:
        raise ModelError(
            f"on {device} the model is {translator.id[:12]}, in the run's records {wanted.id[:12]}: "
            "its file has changed, or differs between machines; run again"
        )
    precision = getattr(translator, "precision", None)
    if precision != wanted.precision:
        raise ConfigError(
            f"on {device} the model computes in {precision}, on others in {wanted.precision}; name one --precision"
        )
    return translator


def list_devices(names: str) -> list[str]:
    """The devices of a list.

    Args:
        names: Such as `cuda:0,cuda:1`, `cpu,cpu`, or `all`: every GPU, or the CPU if there is none.

    Raises:
        ConfigError: A name is empty.

    Example:
        >>> list_devices("cuda:0, cuda:1")
        ['cuda:0', 'cuda:1']
    """
    if names.strip() == "all":
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]
    devices = [name.strip() for name in names.split(",")]
    if not all(devices):
        raise ConfigError(f"device is {names!r}; give names with commas between, such as cuda:0,cuda:1, or all")
    return devices
