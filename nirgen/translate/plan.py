"""Plan of a run: its sources in order, and the names of their outputs.

1. `a/b.jpg` becomes `a/b.png`.
2. Sources in one folder whose outputs would share a name (letter case and Unicode form aside) all keep their endings:
   `x.jpg` and `x.png` become `x.jpg.png` and `x.png.png`. So does a source whose output would be named as a folder is.

A plan is walked folder by folder, and holds no more than the names of the folders that it is in.
"""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.images import SUFFIXES
from nirgen.translate.items import Item
from nirgen.translate.sources import Tally, find_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nirgen.translate.options import Shard
    from nirgen.translate.sources import Tree
    from nirgen.translate.url import Place


# How long a run waits for the sources to be counted before it begins.
_COUNTING_SECONDS = 1.0


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
            why = name_problem(source, output, outputs[name] in taken)
            yield Item(utf8(source), self.root / source, utf8(output), why)

    def _taken(self, prefix: str, files: list[str], folders: list[str]) -> set[str]:
        """The folders that an output could be named as, and that have sources."""
        ends = {
            name_key(name) for name in folders if name.endswith(self._suffix) or name_key(name).endswith(self._suffix)
        }
        if not ends or not files:
            return set()
        return {name for name in folders if name_key(name) in ends and self._tree.has_sources(f"{prefix}{name}/")}


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


NAME_LIMIT_BYTES = 255


def name_outputs(sources: Sequence[str], suffix: str) -> list[str]:
    """The outputs' names, by the rules of this module.

    Args:
        sources: Distinct POSIX paths.
        suffix: Ending of the outputs, such as `.png`.

    Returns:
        As many distinct paths, in the same order.

    Example:
        >>> name_outputs(["a/b.jpg", "x.jpg", "X.png"], ".png")
        ['a/b.png', 'x.jpg.png', 'X.png.png']
    """
    folders = {name_key(folder) for source in sources for folder in _folders(source)}
    names = [_short_name(source, suffix) for source in sources]
    while True:
        takers = Counter(name_key(name) for name in names)
        lengthened = False
        for index, (source, name) in enumerate(zip(sources, names, strict=True)):
            taken = takers[name_key(name)] > 1 or name_key(name) in folders
            if taken and name != source + suffix:
                names[index] = source + suffix
                lengthened = True
        if not lengthened:
            return names


def _folders(source: str) -> Iterator[str]:
    """The folders that a path lies in, as far as it names them."""
    while "/" in source:
        source = source.rpartition("/")[0]
        yield source


def in_order(files: list[str], folders: list[str]) -> list[tuple[str, bool]]:
    """A folder's names in the order of the paths that begin with them, and whether each is a folder."""
    named = [(utf8(name), name, False) for name in files] + [(f"{utf8(name)}/", name, True) for name in folders]
    return [(name, is_folder) for _, name, is_folder in sorted(named)]


def _short_name(source: str, suffix: str) -> str:
    folder, slash, name = source.rpartition("/")
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return f"{folder}{slash}{stem}{suffix}"


def name_key(path: str) -> str:
    """What is equal for names that some file system takes for the same; folders are the file system's own matter."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


def utf8(path: str) -> str:
    """A path as text that UTF-8 can hold: other bytes become escapes."""
    return path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()


def name_problem(source: str, output: str, is_folder: bool) -> str:
    """Why a source's name forbids translating it; empty if it doesn't."""
    if utf8(source) != source:
        return f"{source!r} has a name that is not UTF-8; rename it"
    length = len(output.rpartition("/")[2].encode())
    if length > NAME_LIMIT_BYTES:
        return f"{source!r} gives an output name of {length} bytes, over the limit of {NAME_LIMIT_BYTES}; rename it"
    if is_folder:
        return f"{source!r} gives an output with the name of the folder {output!r}; rename one of them"
    return ""
