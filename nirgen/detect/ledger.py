"""The table of a comparison's runs, which grows with each of them, and the time that they took."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from nirgen.detect.evaluation import METRICS
from nirgen.files import output_file, read_bytes, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.detect.arms import Run


TABLE, TIMES = "runs.csv", "times.json"


class Ledger:
    """The runs of a comparison so far: `runs.csv`, the same for the same runs, and `times.json`."""

    def __init__(self, out: Path, split: str, names: Sequence[str]) -> None:
        self.found: dict[Run, float] = {}  # mAP; 0 if it is undefined
        self._out, self._split = out, split
        self._columns = ["ap", *(f"ap/{name}" for name in names)]
        self._rows: list[list[str]] = []
        try:
            self._times = {str(name): float(seconds) for name, seconds in read_json(out / TIMES).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self._times = {}

    @property
    def seconds(self) -> float:
        """The time that all runs took, those of earlier sittings too."""
        return sum(self._times.values())

    def add(self, run: Run, seconds: float) -> None:
        """Add a finished run by its evaluation, and what it took; 0 if it was finished before."""
        values = read_json(self._out / run.name / self._split / METRICS)
        classes = {f"ap/{name}": each["ap"] for name, each in values["classes"].items()}
        numbers = [({"ap": values["numbers"]["ap"]} | classes)[name]["value"] for name in self._columns]
        self.found[run] = numbers[0] or 0.0
        seed = "" if run.seed is None else str(run.seed)
        counts = (run.arm.real, run.arm.generated, run.arm.copies)
        cells = ("" if number is None else f"{number:.4f}" for number in numbers)
        self._rows.append([run.arm.name, seed, *map(str, counts), *cells])
        if seconds:
            self._times[run.name] = self._times.get(run.name, 0.0) + round(seconds, 1)
            self._write(TIMES, json.dumps(self._times, indent=1) + "\n")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([["arm", "seed", "real", "generated", "rgb", *self._columns], *self._rows])
        table = self._out / TABLE
        if not (table.is_file() and read_bytes(table).startswith(text.getvalue().encode())):  # a table only grows
            self._write(TABLE, text.getvalue())

    def _write(self, name: str, text: str) -> None:
        with output_file(self._out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
