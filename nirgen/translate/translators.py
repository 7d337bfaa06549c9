"""Translators by name: their loaders, and their description where the model itself is not loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from nirgen.errors import ConfigError, ModelError
from nirgen.translate.items import precision_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from nirgen.devices import Wanted
    from nirgen.translate.items import Translator


@dataclass(frozen=True, slots=True)
class Description:
    """Id, header and stride of a translator that an engine loads, perhaps in other processes."""

    id: str
    stride: int
    header: Mapping[str, Any]
    precision: str | None  # None if the translator doesn't state one
    device: str  # for `run.json`, such as `cuda:0,cuda:1`

    @classmethod
    def of(cls, translator: Translator, device: str) -> Description:
        """Describe a translator like those that will do the work on `device`."""
        return cls(translator.id, translator.stride, translator.header, precision_of(translator), device)

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> NoReturn:  # noqa: ARG002 - of the protocol
        """Raise TypeError."""
        raise TypeError(f"this model computes on {self.device}: give its engine to `translate_folder` as well")


class Loader(Protocol):
    """Makes a translator. It is pickled on its way to the process that calls it, so its class must be importable."""

    def __call__(self, device: str) -> Translator:
        """Return the translator, on a device such as `cpu` or `cuda:1`.

        Raises:
            NirgenError: There is no such model or device.
        """


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loads a model by `nirgen.load_model`.

    Attributes:
        name: An embedded name, a `.safetensors` file, or a run folder.
        precision: Precision that it computes in, or `auto`.
    """

    name: str | Path
    precision: Wanted = "auto"

    def __call__(self, device: str | None) -> Translator:
        """Return the model, on a device.

        Raises:
            ModelError: There is no such model, or its file is damaged.
            ConfigError: There is no such device or precision.
        """
        from nirgen.model import load_model

        return load_model(self.name, device=device, precision=self.precision)

    def describe(self, device: str | None) -> Description:
        """Return the model's description, read from its file without torch; errors as for loading."""
        from nirgen.devices import resolve
        from nirgen.models.catalog import find_model, verify
        from nirgen.models.config import GeneratorConfig

        path = find_model(self.name)
        header, _ = verify(path)
        config = GeneratorConfig.read(header["architecture"], where=str(path))
        chosen, precision = resolve(device, self.precision)
        return Description(header["model_id"], math.lcm(config.stride, 32), header, precision, chosen)


def describe(loader: Loader, device: str, shown: str) -> Description:
    """Return the description of a loader's translator, as on `device`; `shown` are all devices, for `run.json`.

    Raises:
        NirgenError: It can't be loaded.
    """
    if isinstance(loader, ModelLoader):
        return replace(loader.describe(device), device=shown)
    return Description.of(loader(device), shown)


def load_as_described(loader: Loader, device: str, wanted: Description) -> Translator:
    """Load a translator, and compare it with the description in a run's records.

    Raises:
        NirgenError: It can't be loaded, is another model, or computes in another precision.
    """
    translator = loader(device)
    if translator.id != wanted.id:
        raise ModelError(
            f"on {device} the model is {translator.id[:12]}, in the run's records {wanted.id[:12]}: "
            "its file has changed, or differs between machines; run again"
        )
    if precision_of(translator) != wanted.precision:
        raise ConfigError(
            f"on {device} the model computes in {precision_of(translator)}, on others in {wanted.precision}; "
            "name one --precision"
        )
    return translator
