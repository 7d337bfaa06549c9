"""Join the translation folders of shards, after proof that they cover the whole listing once."""

from __future__ import annotations

import hashlib
import heapq
import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nirgen.errors import OutputError
from nirgen.files import safe_path
from nirgen.translate.folder import OpenFolder
from nirgen.translate.journal import FOLDER, Journal, journal_path
from nirgen.translate.manifest import NAME, Manifest, iter_rows, read_header, read_pairs_file, write_rows
from nirgen.translate.plan import make_plan
from nirgen.translate.records import Records
from nirgen.translate.url import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nirgen.translate.items import Row

_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge."""

    out: str
    shards: int
    sources: int
    failed: int

    @property
    def exit_code(self) -> int:
        """0 if every source is done, 3 if some failed."""
        return 3 if self.failed else 0


def merge_shards(
    parts: Sequence[Path], out: Path, *, source: Path | None = None, progress: Callable[[int], None] = lambda _: None
) -> Merged:
    """Join translation folders of shards into one, equal to that of a single run.

    Nothing is written before the parts have proven to be all shards of one listing, and to cover it once; OutputError
    if not, or if OUT has other files. Images are hard links where possible, else copies; each is checked by its sha256.
    A merge that was killed is resumed by the same call. `source` is the folder of the sources, to name missing ones;
    `progress` is called with the number of images in place.
    """
    header, shard = _check_headers(parts)
    failed, total = _check_cover(parts, shard, source)
    if Records(out).exist and read_header(out) is not None:
        raise OutputError(f"OUT {str(out)!r} is a finished translation folder; use another OUT")
    if out.is_dir() and any(out.iterdir()) and not (out / FOLDER).is_dir():
        raise OutputError(f"OUT {str(out)!r} has files that nirgen did not write; use another OUT")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with Journal(out) as journal:
            folder = OpenFolder(out)
            Records(out).remove_temporary()
            for number, (part, row) in enumerate(_rows(parts), start=1):
                _place(part, row, folder)
                progress(number)
            journal.check()
            write_rows(out, (row for _, row in _rows(parts)), header)
    except OSError as error:
        raise OutputError(f"OUT {str(out)!r} can't be written: {error.strerror}; mend this and merge again") from error
    return Merged(str(out), len(parts), total, failed)


def _rows(parts: Sequence[Path]) -> Iterator[tuple[Path, Row]]:
    """The rows of all parts, sorted by source, each with its folder."""

    def placed(part: Path) -> Iterator[tuple[Path, Row]]:
        return ((part, row) for row in iter_rows(part))

    return heapq.merge(*map(placed, parts), key=lambda entry: entry[1].source)


def _check_headers(parts: Sequence[Path]) -> tuple[Manifest, dict[str, Any]]:
    """Return the header of the whole, and the first part's shard; refuse parts that can't be joined."""
    headers = [_header(part) for part in parts]
    whole, shards = headers[0], [dict(header.shard or {}) for header in headers]
    for part, header, shard in zip(parts, headers, shards, strict=True):
        for what, same in (
            ("another model", header.model == whole.model),
            ("other options", header.options == whole.options),
            ("another number of shards", shard["count"] == shards[0]["count"]),
            ("another listing of the sources", shard | {"index": 0} == shards[0] | {"index": 0}),
        ):
            if not same:
                first = f"{str(parts[0])!r}; translate that shard again as the others"
                raise OutputError(f"{str(part)!r} was made with {what} than {first}")
    count, indices = shards[0]["count"], Counter(shard["index"] for shard in shards)
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in indices]
    doubled = [f"{index}/{count}" for index, times in indices.items() if times > 1]
    if missing:
        raise OutputError(f"shard {', '.join(missing)} is missing; translate it, and give its folder as well")
    if doubled:
        raise OutputError(f"shard {', '.join(doubled)} was given twice; give each folder once")
    return replace(whole, shard=None, pairs=read_pairs_file(parts[0], whole)), shards[0]


def _header(part: Path) -> Manifest:
    header = read_header(part)
    if header is None:
        raise OutputError(f"{str(part)!r} has no {NAME}; give a folder that 'nirgen translate --shard' has finished")
    if journal_path(part).exists():
        raise OutputError(f"the run of {str(part)!r} has not ended; run it again to its end, then merge")
    if header.shard is None:
        raise OutputError(f"{str(part)!r} is the translation of a whole folder, and no shard; it needs no merging")
    return header


def _check_cover(parts: Sequence[Path], shard: dict[str, Any], source: Path | None) -> tuple[int, int]:
    """Return the numbers of failed and of all sources; refuse parts that don't cover their listing once."""
    digest, count, failed, before = hashlib.sha256(), 0, 0, None
    doubled: list[str] = []
    for _, row in _rows(parts):
        if row.source == before:
            doubled.append(row.source)
        before = row.source
        digest.update(row.source.encode() + b"\0")
        count += 1
        failed += row.status == "failed"
    if doubled:
        raise OutputError(f"{_some(doubled)} in more than one shard; translate these shards again into new folders")
    if digest.hexdigest() != shard["listing_sha256"]:
        names = " (--source SRC names what is missing)" if source is None else ""
        found = "" if source is None else _difference(parts, source)
        raise OutputError(
            f"the shards have {count} sources of the {shard['sources']} that were listed{found}; run the shards again"
            f"{names}"
        )
    return failed, count


def _difference(parts: Sequence[Path], source: Path) -> str:
    listed = {item.source for item in make_plan(source, parts[0] / FOLDER / "none", ".png")}
    present = {row.source for _, row in _rows(parts)}
    missing, strange = sorted(listed - present), sorted(present - listed)
    texts = [f"missing: {_some(missing)}"] if missing else []
    texts += [f"not in the folder: {_some(strange)}"] if strange else []
    return f" ({'; '.join(texts)})" if texts else ""


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(repr(name) for name in names[:_NAMES_SHOWN]) + more


def _place(part: Path, row: Row, out: OpenFolder) -> None:
    if row.output is None:
        return
    name = safe_path(row.output, str(part / NAME))
    made = part / name
    if sha256_of(made) != row.output_sha256:
        raise OutputError(f"{str(made)!r} is missing or altered; run that shard again, then merge")
    if sha256_of(out.path / name) == row.output_sha256:
        return
    with out.replacing(name) as (folder, temporary):
        try:
            os.link(made, temporary, dst_dir_fd=folder)
        except OSError:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with made.open("rb") as source, open(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as target:  # noqa: PTH123
                shutil.copyfileobj(source, target)
