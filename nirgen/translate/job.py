"""The work of a run as its engine gets it: items apart, and all else that does not change from item to item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from nirgen.translate.items import Item, Row, Translator
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


class Engine(Protocol):
    """Translates the items of a run: in this process, in worker processes, or on a cluster."""

    def describe(self) -> Translator:
        """Return the model's id, stride and header; it need not be able to translate.

        Raises:
            NirgenError: There is no such model or device.
        """

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
