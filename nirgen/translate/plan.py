"""What a run is going to translate, and what the outputs will be called.

The sources are a folder (recursively, in sorted order, symbolic links followed), a single file, or a list of files.
The outputs are named by the rules of `naming`.

A folder's names decide about each other alone, so that a plan is walked folder by folder, and holds no more than the
names of the folders that it is in, however many sources there are.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nirgen.errors import NirgenError
from nirgen.images import SUFFIXES
from nirgen.translate.listing import Tally
from nirgen.translate.naming import in_order, key, name_outputs, problem, utf8
from nirgen.translate.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nirgen.translate.shard import Shard
    from nirgen.translate.url import Place

# How long a run waits for the sources to be counted before it begins.
_COUNTING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Item:
    """One source and its output.

    Attributes:
        source: POSIX path relative to the plan's root. Names that are not UTF-8 are written with escapes.
        path: Where the source is.
        output: POSIX path relative to the output folder.
        problem: Why this source can't be translated whatever its content, in one line; empty if it can.
    """

    source: str
    path: Place
    output: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a whole walk found.

    Attributes:
        sources: How many there are, those of other shards included.
        planned: How many of them are this plan's.
        listing_sha256: Of the names of all sources, those of other shards included, each followed by a zero byte.
        tally: What was left aside.
    """

    sources: int
    planned: int
    listing_sha256: str
    tally: Tally


class Tree(Protocol):
    """Names of sources, folder by folder."""

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """The names of the sources and of the folders in a folder.

        Args:
            prefix: The folder's path and a slash; empty for the root.
            tally: Counts what is left aside.
        """
        ...

    def has_sources(self, prefix: str) -> bool:
        """Whether there are sources in a folder, or below it."""
        ...


@dataclass
class _Count:
    """How far a survey is."""

    planned: int = 0
    sources: int = 0
    survey: Survey | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Plan:
    """The sources of a run in the order of their names, found anew at each iteration.

    Args:
        root: The folder that the sources' names are relative to.
        tree: The names.
        suffix: Ending of the outputs, such as `.png`.
        shard: Which part of the sources is this plan's.
    """

    def __init__(self, root: Place, tree: Tree, suffix: str, shard: Shard | None = None) -> None:
        self.root = root
        self.shard = shard
        self._tree = tree
        self._suffix = suffix
        self._count: _Count | None = None

    def __iter__(self) -> Iterator[Item]:
        for item in self._walk("", Tally()):
            if self.shard is None or self.shard.has(item.source):
                yield item

    @property
    def items(self) -> tuple[Item, ...]:
        """All at once."""
        return tuple(self)

    @property
    def other_files(self) -> int:
        """How many files were left aside because their endings are not those of images."""
        return self.survey().tally.other_files

    @property
    def hidden(self) -> int:
        """How many files and folders were left aside because their names begin with a dot."""
        return self.survey().tally.hidden

    @property
    def loops(self) -> tuple[str, ...]:
        """Symbolic links to a folder above them, which were not followed; relative to the root."""
        return tuple(self.survey().tally.loops)

    def survey(self) -> Survey:
        """Count everything, or wait until that is done.

        Raises:
            NirgenError: A folder can't be listed, is a translation folder, or leads into OUT.
        """
        count = self._begin_count()
        count.done.wait()
        if count.error is not None:
            raise count.error
        assert count.survey is not None
        return count.survey

    def count(self) -> int | None:
        """How many sources this plan has; None while they are still being counted.

        Raises:
            NirgenError: As for `survey`.
        """
        return self.survey().planned if self._begin_count().done.is_set() else None

    def begin(self) -> None:
        """Begin to count, and wait until that is done or there is something to begin with.

        Raises:
            NirgenError: As for `survey`.
        """
        count = self._begin_count()
        count.done.wait(_COUNTING_SECONDS)
        while not count.done.wait(0.05) and not count.sources:
            pass
        self.count()

    def _begin_count(self) -> _Count:
        if self._count is None:
            self._count = _Count()
            threading.Thread(target=self._run_count, args=(self._count,), name="nirgen-count", daemon=True).start()
        return self._count

    def _run_count(self, count: _Count) -> None:
        tally, digest = Tally(), hashlib.sha256()
        try:
            for source in self._names("", tally):
                digest.update(source.encode() + b"\0")
                count.sources += 1
                count.planned += self.shard is None or self.shard.has(source)
            count.survey = Survey(count.sources, count.planned, digest.hexdigest(), tally)
        except BaseException as error:  # noqa: BLE001 - it is raised where the count is asked for
            count.error = error
        finally:
            count.done.set()

    def _names(self, prefix: str, tally: Tally) -> Iterator[str]:
        """The names of all sources, in order."""
        files, folders = self._tree.entries(prefix, tally)
        for name, is_folder in in_order(files, folders):
            if is_folder:
                yield from self._names(f"{prefix}{name}/", tally)
            else:
                yield utf8(prefix + name)

    def _walk(self, prefix: str, tally: Tally) -> Iterator[Item]:
        """All sources and their outputs, in order."""
        files, folders = self._tree.entries(prefix, tally)
        taken = self._taken(prefix, files, folders)
        outputs = dict(zip(files, name_outputs([*files, *(f"{name}/x" for name in taken)], self._suffix), strict=False))
        for name, is_folder in in_order(files, folders):
            if is_folder:
                yield from self._walk(f"{prefix}{name}/", tally)
                continue
            source, output = prefix + name, prefix + outputs[name]
            why = problem(source, output, outputs[name] in taken)
            yield Item(utf8(source), self.root / source, utf8(output), why)

    def _taken(self, prefix: str, files: list[str], folders: list[str]) -> set[str]:
        """The folders that an output could be named as, and that have sources."""
        ends = {key(name) for name in folders if name.endswith(self._suffix) or key(name).endswith(self._suffix)}
        if not ends or not files:
            return set()
        return {name for name in folders if key(name) in ends and self._tree.has_sources(f"{prefix}{name}/")}


def make_plan(
    source: Place | None, out: Place, suffix: str, *, listing: Path | None = None, shard: Shard | None = None
) -> Plan:
    """Find the sources and name their outputs; nothing is written.

    Args:
        source: A folder or an image file. With a listing: the folder that the listed names are relative to; None for
            the listing's own folder.
        out: The output folder, which need not exist.
        suffix: Ending of the outputs, such as `.png`.
        listing: A text file with one path a line, which may be absolute if it lies in the folder.
        shard: Which part of the sources to take; None for all.

    Returns:
        The plan. Of a folder that takes long to walk, there is at least one source, and the rest is still being found.

    Raises:
        NirgenError: There is nothing to translate, source and output folders overlap, or the sources are outputs.
    """
    root, tree, where = find_sources(source, out, listing)
    plan = Plan(root, tree, suffix, shard)
    plan.begin()
    if plan.count() == 0:
        _refuse_nothing(plan, where)
    return plan


def _refuse_nothing(plan: Plan, where: str) -> None:
    survey = plan.survey()
    if survey.sources and plan.shard is not None:
        return
    raise NirgenError(
        f"no images in {where} ({survey.tally.other_files} other files, {survey.tally.hidden} hidden); "
        f"known endings: {' '.join(sorted(SUFFIXES))}"
    )
