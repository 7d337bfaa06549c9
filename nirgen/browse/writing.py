"""The decisions that FiftyOne has, as a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.browse.exporting import collect_decisions
from nirgen.curation import merge, read_decisions, unite, write_decisions
from nirgen.dataset.folder import is_dataset, read_dataset
from nirgen.dataset.foresee import own_decisions

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.curation import Decision
    from nirgen.dataset.plan import Report


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        decisions: All that the file has, sorted.
        new: How many of them neither the file nor the folder had.
        only_there: How many of them only the file has had: made elsewhere, or taken back in FiftyOne since.
    """

    decisions: tuple[Decision, ...]
    new: int
    only_there: int


def export_decisions(
    folder: Path,
    out: Path,
    *,
    name: str | None = None,
    database: str | None = None,
    author: str = "",
    replace: bool = False,
    report: Report | None = None,
) -> Written:
    """Write the decisions that FiftyOne has about a folder, on top of those that it was built with.

    A file that is there is added to, unless it is to be replaced: its decisions stay, unless a newer one contradicts
    them. It is written whole or not at all.

    Args:
        folder: A dataset or a translation folder that `nirgen browse` has loaded.
        out: The file.
        name: Of the FiftyOne dataset; by default of the one that was loaded from the folder.
        database: The URI of the MongoDB, if FiftyOne's settings don't name it.
        author: Whose decisions those are that FiftyOne names no author of.
        replace: Whether decisions that only a file that is there has are left out.
        report: Told how many images are done.

    Raises:
        NirgenError: What is there isn't a file of decisions, or they can't be collected (`collect_decisions`).
        OutputError: The file can't be written.
    """
    own = own_decisions(read_dataset(folder)) if is_dataset(folder) else ()
    there = read_decisions(out).all if out.exists() and not replace else ()
    base = unite(own, there)
    new = collect_decisions(folder, name=name, database=database, author=author, report=report)
    decisions, without = merge(base, new), merge(own, new)
    write_decisions(out, decisions)
    return Written(decisions, len({*decisions} - {*base}), len({*decisions} - {*without}))
