"""What an output folder says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.errors import OutputError
from nirgen.translate import journal as journals
from nirgen.translate import manifest as manifests
from nirgen.translate.ordered import merge_rows, sort_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nirgen.translate.manifest import Row

RUN_NAME = "run.json"
RUN_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an output folder says of itself.

    Attributes:
        out: The folder.
        run: `run.json` of the last run; empty if there is none, or it is damaged.
        forgotten: Whether its rows are not to count.
    """

    out: Path
    run: Mapping[str, Any]
    forgotten: bool = False

    def rows(self) -> Iterator[Row]:
        """One row a source, sorted; the journal's before the manifest's, the later before the earlier.

        They are read anew each time, and never held all at once.
        """
        if self.forgotten:
            return iter(())
        lines = sort_lines(journals.read_lines(self.out), self.out / journals.FOLDER)
        return merge_rows(manifests.iter_rows(self.out), lines)

    @property
    def empty(self) -> bool:
        """Whether there are no rows."""
        return next(self.rows(), None) is None


def read_recorded(out: Path) -> Recorded:
    """Read what a folder, which need not exist, says of itself.

    Raises:
        OutputError: Manifest, journal or run.json are not of this nirgen's making.
    """
    manifests.read_header(out)
    next(journals.read_lines(out), None)
    return Recorded(out, _read_run(out))


def _read_run(out: Path) -> dict[str, Any]:
    """`run.json`; empty if it is missing or damaged, for then nothing relies on it (see `_other_root`)."""
    try:
        run = json.loads((out / RUN_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(run, dict) or "schema" not in run:
        return {}
    if run["schema"] != RUN_SCHEMA:
        raise OutputError(
            f"{str(out / RUN_NAME)!r} has schema {run['schema']}, and this nirgen reads {RUN_SCHEMA}; use another OUT"
        )
    return run
