"""Plan of a run: its sources in order, and the names of their outputs, of one folder at a time."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.files import folded, name_outputs
from nirgen.images import SUFFIXES
from nirgen.translate.items import Item
from nirgen.translate.sources import Tally, Tree, find_sources, has_sources, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nirgen.translate.options import Shard
    from nirgen.translate.url import Place

# A run waits this long for the count of its sources before it begins.
_COUNTING_SECONDS = 1.0
_NAME_LIMIT_BYTES = 255


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a whole walk."""

    sources: int  # of the listing, other shards included
    planned: int  # of this plan
    listing_sha256: str  # of the names of all sources, other shards included, each followed by a zero byte
    tally: Tally


class Plan:
    """The sources of a run, or of its shard, in the order of their names; walked anew at each iteration."""

    def __init__(self, root: Place, tree: Tree, suffix: str, shard: Shard | None) -> None:
        self.root = root  # the sources' names are relative to it
        self.shard = shard  # None for all
        self._tree = tree
        self._suffix = suffix
        self._found = 0  # so far
        self._survey: Future[Survey] = Future()

    def __iter__(self) -> Iterator[Item]:
        return (item for item in self._walk("") if self.shard is None or self.shard.has(item.source))

    def survey(self) -> Survey:
        """Wait for the count of all sources; NirgenError if a folder is refused, or can't be listed."""
        return self._survey.result()

    def count(self) -> int | None:
        """Return the number of sources; None while they are being counted. Errors as `survey`."""
        return self.survey().planned if self._survey.done() else None

    def begin(self) -> None:
        """Start to count, and wait until that is done or there is a source to begin with; errors as `survey`."""
        # A daemon thread: an interrupted run does not wait for it.
        threading.Thread(target=self._count_all, name="nirgen-count", daemon=True).start()
        wait([self._survey], timeout=_COUNTING_SECONDS)
        while not self._found and not wait([self._survey], timeout=0.05).done:
            pass
        self.count()

    def _count_all(self) -> None:
        tally, digest, planned = Tally(), hashlib.sha256(), 0
        try:
            for source in self._names("", tally):
                digest.update(source.encode() + b"\0")
                self._found += 1
                planned += self.shard is None or self.shard.has(source)
            self._survey.set_result(Survey(self._found, planned, digest.hexdigest(), tally))
        except BaseException as error:  # noqa: BLE001 - raised by `survey`
            self._survey.set_exception(error)

    def _names(self, prefix: str, tally: Tally) -> Iterator[str]:
        files, folders = self._tree.entries(prefix, tally)
        for name, is_folder in _in_order(files, folders):
            if is_folder:
                yield from self._names(f"{prefix}{name}/", tally)
            else:
                yield _utf8(prefix + name)

    def _walk(self, prefix: str) -> Iterator[Item]:
        files, folders = self._tree.entries(prefix, Tally())
        taken = self._taken(prefix, files, folders)
        outputs = dict(zip(files, name_outputs([*files, *(f"{name}/x" for name in taken)], self._suffix), strict=False))
        for name, is_folder in _in_order(files, folders):
            if is_folder:
                yield from self._walk(f"{prefix}{name}/")
                continue
            source, output = prefix + name, prefix + outputs[name]
            yield Item(_utf8(source), _utf8(output), _name_problem(source, output, outputs[name] in taken))

    def _taken(self, prefix: str, files: list[str], folders: list[str]) -> set[str]:
        """The folders whose names an output could have, and that have sources."""
        ends = {folded(name) for name in folders if name.endswith(self._suffix) or folded(name).endswith(self._suffix)}
        named = (name for name in folders if files and folded(name) in ends)
        return {name for name in named if has_sources(self._tree, f"{prefix}{name}/")}


def make_plan(
    source: Place | None,
    out: Place,
    suffix: str,
    *,
    listing: Path | None = None,
    files: Sequence[Path] = (),
    shard: Shard | None = None,
) -> Plan:
    """Find at least one source, and name the outputs; nothing is written. A large folder is still being counted.

    With a listing, the names are relative to `source`, or to the listing's own folder; those of `files` to the folder
    that all of them are in. `suffix` is such as `.png`.
    NirgenError if there is nothing to translate, source and output folders overlap, or the sources are outputs.
    """
    root, tree, where = find_sources(source, out, listing, files)
    plan = Plan(root, tree, suffix, shard)
    plan.begin()
    if plan.count() == 0 and (shard is None or not plan.survey().sources):
        tally = plan.survey().tally
        raise NirgenError(
            f"no images in {where} ({named(tally.left_aside) or 'no other files'}, {tally.hidden} hidden); "
            f"known endings: {' '.join(sorted(SUFFIXES))}"
        )
    return plan


def _in_order(files: list[str], folders: list[str]) -> list[tuple[str, bool]]:
    """(name, is folder) in the order of the paths that begin with the names."""
    named = [(_utf8(name), name, False) for name in files] + [(f"{_utf8(name)}/", name, True) for name in folders]
    return [(name, is_folder) for _, name, is_folder in sorted(named)]


def _utf8(path: str) -> str:
    """A path as valid UTF-8 text: other bytes are escaped."""
    return path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()


def _name_problem(source: str, output: str, is_folder: bool) -> str:
    if _utf8(source) != source:
        return f"{source!r} has a name that is not UTF-8; rename it"
    length = len(output.rpartition("/")[2].encode())
    if length > _NAME_LIMIT_BYTES:
        return f"{source!r} gives an output name of {length} bytes, over the limit of {_NAME_LIMIT_BYTES}; rename it"
    if is_folder:
        return f"{source!r} gives an output with the name of the folder {output!r}; rename one of them"
    return ""
