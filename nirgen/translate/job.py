"""The work of a run as an engine gets it, and translators by name or by their description alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from nirgen.errors import ConfigError, ModelError
from nirgen.images import Reading
from nirgen.translate.items import Item, Row, Translator, precision_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from nirgen.devices import Wanted
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.stores import Sink, Source
    from nirgen.translate.summary import Stopwatch


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that translation of an item needs; goes to other processes if the translator can."""

    translator: Translator
    source: Source
    sink: Sink
    options: TranslateOptions
    run: RunOptions
    memory_share: float = 1.0  # of the device's available memory, for this process; in (0, 1]
    host_share: float = 1.0  # of the machine's available memory, likewise

    @property
    def reading(self) -> Reading:
        """Return the choices of how sources are read."""
        return Reading(damaged=self.run.damaged, alpha=self.options.alpha, white_level=self.options.white_level)


class Engine(Protocol):
    """Translates the items of a run: in this process, in worker processes, or on a cluster."""

    def describe(self) -> Translator:
        """Return the model's id, stride and header; it need not be able to translate. NirgenError if it is missing."""

    def __call__(
        self, items: Iterable[Item], job: Job, stopwatch: Stopwatch, stopped: Callable[[], bool]
    ) -> Generator[Row]:
        """Translate at least one item, and yield the row of each once its output is stored.

        Args:
            items: Taken as they are needed.
            job: The rest; its translator is that of `describe`.
            stopwatch: Gets the times of all stages.
            stopped: Checked before each batch; once True, no other is begun, and batches in flight are finished.
        """


@dataclass(frozen=True, slots=True)
class Description:
    """Id, header and stride of a translator that an engine loads, perhaps in other processes."""

    id: str
    stride: int
    header: Mapping[str, Any]
    precision: str | None  # None if the translator doesn't state one
    device: str  # for `run.json`, such as `cuda:0,cuda:1`
    whole_only: bool = False

    @classmethod
    def of(cls, translator: Translator, device: str) -> Description:
        """Describe a translator like those that will do the work on `device`."""
        whole_only = getattr(translator, "whole_only", False)
        return cls(translator.id, translator.stride, translator.header, precision_of(translator), device, whole_only)

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> NoReturn:  # noqa: ARG002 - of the protocol
        """Raise TypeError."""
        raise TypeError(f"this model computes on {self.device}: give its engine to `translate_folder` as well")


class Loader(Protocol):
    """Makes a translator. It is pickled on its way to the process that calls it, so its class must be importable."""

    def __call__(self, device: str) -> Translator:
        """Return the translator, on a device such as `cpu` or `cuda:1`; NirgenError if model or device are missing."""


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loads a model by `nirgen.load_model`."""

    name: str | Path  # as `nirgen.load_model` takes it
    precision: Wanted = "auto"
    value_range: str | None = None  # of a network of another program
    steps: int | None = None  # of a model of diffusion; None for those in its file

    def __call__(self, device: str | None) -> Translator:
        """Return the model, on a device; errors as `nirgen.load_model`."""
        from nirgen.model import load_model

        options: dict[str, Any] = {"precision": self.precision, "value_range": self.value_range, "steps": self.steps}
        return load_model(self.name, device=device, **options)

    def describe(self, device: str | None) -> Description:
        """Return the model's description, read from its file without torch; errors as for loading."""
        from nirgen.devices import resolve
        from nirgen.models.catalog import architecture_of, find_model, verify, with_steps
        from nirgen.models.config import NetworkConfig
        from nirgen.models.foreign import is_foreign, open_network

        if is_foreign(self.name):
            with_steps({"architecture": {}}, self.name, self.steps)
            network = open_network(self.name, value_range=self.value_range)
            return Description(network.id, network.stride, network.header, None, device or "cpu", whole_only=True)
        path = find_model(self.name)
        header = with_steps(verify(path)[0], path, self.steps)
        config = architecture_of(header, path)
        chosen, precision = resolve(device, self.precision)
        if not isinstance(config, NetworkConfig):  # as `nirgen.model.BaselineModel`
            return Description(header["model_id"], 1, header, None, "cpu", whole_only=config.whole_only)
        stride = math.lcm(config.stride, 32)
        return Description(header["model_id"], stride, header, precision, chosen, whole_only=config.whole_only)


def describe(loader: Loader, device: str, shown: str) -> Description:
    """Return the description of a loader's translator, as on `device`; `shown` are all devices, for `run.json`."""
    if isinstance(loader, ModelLoader):
        return replace(loader.describe(device), device=shown)
    return Description.of(loader(device), shown)


def load_as_described(loader: Loader, device: str, wanted: Description) -> Translator:
    """Load a translator; NirgenError if its id or precision are not those in the run's records."""
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
