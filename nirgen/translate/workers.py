"""The engine for several devices of one machine: a worker process for each.

Each runs the local engine; this process hands sources out, gives their rows, and alone writes the journal.
"""

from __future__ import annotations

import gc
import math
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

import torch

from nirgen.translate.crew import Crew
from nirgen.translate.loading import Elsewhere, describe
from nirgen.translate.options import processors
from nirgen.translate.profile import Stopwatch
from nirgen.translate.worker import Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from nirgen.translate.loading import Loader
    from nirgen.translate.manifest import Row
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.plan import Item
    from nirgen.translate.remote import UrlSink
    from nirgen.translate.storage import FolderSink, Source
    from nirgen.translate.translator import Translator


class Workers:
    """An engine of one worker process for each device.

    Args:
        loader: Makes the model in each of them.
        devices: Such as `["cuda:0", "cuda:1"]`; a name may come more than once.

    Example:
        ```python
        workers = Workers(ModelLoader("compact"), ["cuda:0", "cuda:1"])
        translate_folder("photos", "nir", model=workers.describe(), engine=workers)
        ```
    """

    def __init__(self, loader: Loader, devices: Sequence[str]) -> None:
        self._loader = loader
        self._devices = list(devices)

    def describe(self) -> Elsewhere:
        """What a run records of the model, which is loaded once for it on the first device.

        Raises:
            NirgenError: It can't be loaded.
        """
        described = describe(self._loader(self._devices[0]), ",".join(self._devices))
        if torch.cuda.is_initialized():  # what this process keeps of that GPU, its worker lacks
            gc.collect()
            torch.cuda.empty_cache()
        return described

    def __call__(
        self,
        items: Iterable[Item],
        *,
        source: Source,
        sink: FolderSink | UrlSink,
        translator: Translator,
        options: TranslateOptions,
        run: RunOptions,
        stopwatch: Stopwatch | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[Row]:
        """Translate and store; see `translate_items` and `Crew.rows`."""
        waiting, watch = iter(items), stopwatch or Stopwatch()
        first = next(waiting, None)
        if first is None:  # nothing to start processes for
            return
        on_device = Counter(self._devices)
        watch.devices = len(self._devices)
        each = run.model_copy(update={"workers": math.ceil(run.workers / len(self._devices))})
        setups = [
            Setup(
                loader=self._loader,
                device=device,
                model=describe(translator, ",".join(self._devices)),
                source=source,
                sink=sink,
                options=options,
                run=each,
                threads=max(1, processors() // len(self._devices)),
                memory_share=1 / on_device[device],
            )
            for device in self._devices
        ]
        crew = Crew(setups)
        try:
            yield from crew.rows(chain([first], waiting), sink=sink, stopwatch=watch, stopped=stopped)
        finally:
            crew.close()
