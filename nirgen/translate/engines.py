"""Choice of an engine, and the engine of this process."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from nirgen.errors import ConfigError
from nirgen.translate.job import Description, Engine, Job, ModelLoader, load_as_described

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from nirgen.devices import Wanted
    from nirgen.translate.items import Item, Row, Translator
    from nirgen.translate.summary import Stopwatch


class LocalEngine:
    """The engine of this process, which loads a named model once there is something to translate.

    `loader` loads it, None where the run has a translator; `device` is its device, None for the best one.
    """

    def __init__(self, loader: ModelLoader | None, device: str | None = None) -> None:
        self._loader = loader
        self._device = device
        self._loaded: Translator | None = None

    def describe(self) -> Description:
        """Return the description of a named model."""
        assert self._loader is not None
        return self._loader.describe(self._device)

    def load(self, described: Translator) -> Translator:
        """Return the translator of a run, loaded at the first call; errors as `load_as_described`."""
        if self._loaded is None:
            self._loaded = described
            if isinstance(described, Description) and self._loader is not None:
                self._loaded = load_as_described(self._loader, described.device, described)
        return self._loaded

    def __call__(
        self, items: Iterable[Item], job: Job, stopwatch: Stopwatch, stopped: Callable[[], bool]
    ) -> Generator[Row]:
        """Translate and store; see `translate_items`."""
        from nirgen.translate.engine import translate_items

        if job.run.image_timeout is not None:
            raise ConfigError("image_timeout needs processes that can be ended; give an engine of `Workers`")
        translator = self.load(job.translator)
        stopwatch.restart()
        yield from translate_items(items, replace(job, translator=translator), stopwatch, stopped)


def choose_engine(
    kind: Literal["local", "ray"],
    model: str | Path,
    device: str | None,
    precision: Wanted,
    *,
    ray_address: str | None = None,
    ray_workers: int | None = None,
    in_processes: bool = False,
    value_range: str | None = None,
    steps: int | None = None,
) -> Engine:
    """Return the engine of a named model, on one device or several (comma-separated, or `all`), or on a cluster of Ray.

    `in_processes`: One device has a process of its own too, which can be ended. `value_range` and `steps`: as
    `nirgen.load_model`.

    Raises:
        NirgenError: Ray is not installed, or a name of a device is empty.
    """
    if kind == "ray":
        # Set before Ray is imported: no usage statistics, and no messages about what it repairs itself.
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
        from nirgen.translate.cluster import Cluster

        if precision == "auto":  # the same on all machines, whatever this one has
            precision = "bf16" if device == "cuda" else "fp32"
        loader = ModelLoader(model, precision, value_range, steps)
        return Cluster(loader, address=ray_address, workers=ray_workers, device=device)
    loader = ModelLoader(model, precision, value_range, steps)
    from nirgen.devices import list_devices, resolve

    several = device is not None and ("," in device or device == "all")
    devices = list_devices(device or "") if several else [device]
    if len(devices) == 1 and not in_processes:
        return LocalEngine(loader, devices[0])
    from nirgen.translate.workers import Workers

    return Workers(loader, [each or resolve(each, precision)[0] for each in devices])
