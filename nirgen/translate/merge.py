"""Joining the translation folders of shards, and proving that they cover the whole once."""

from __future__ import annotations

import hashlib
import heapq
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.errors import OutputError
from nirgen.files import replacing
from nirgen.translate import journal as journals
from nirgen.translate.journal import Journal
from nirgen.translate.manifest import NAME, Manifest, iter_rows, read_header, write_rows
from nirgen.translate.plan import make_plan
from nirgen.translate.resume import remove_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nirgen.translate.items import Row


_NAMED = 3


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge made.

    Attributes:
        out: The translation folder.
        shards: How many folders were joined.
        sources: Rows of the manifest.
        failed: How many of them failed.
    """

    out: str
    shards: int
    sources: int
    failed: int

    @property
    def exit_code(self) -> int:
        """0 if every source is done, 3 if some failed."""
        return 3 if self.failed else 0


def merge_shards(
    parts: Sequence[Path],
    out: Path,
    *,
    source: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Merged:
    """Join translation folders of shards into one, as if one run had written it.

    Nothing is written before it is proven that the parts are all shards of one listing and cover it once. Images are
    hard links where the file system allows it, else copies; each is there with its sha256. A merge that was killed is
    taken up by the same call.

    Args:
        parts: The folders, at least one, in any order.
        out: The folder to write; new, empty, or that of a merge that was killed.
        source: The folder of the sources, by which missing ones are named; it isn't needed otherwise.
        progress: Told how many images are in place.

    Raises:
        OutputError: A part is no finished translation folder of a shard; models, options or listings are mixed;
            sources are missing, or come twice; an output is missing or altered; or OUT can't be written or holds
            something else.
    """
    header = _check_headers(parts)
    failed, total = _check_cover(parts, header, source)
    _check_out(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with Journal(out):
            remove_temporary(out)
            for number, (part, row) in enumerate(_rows(parts), start=1):
                _place(part, row, out)
                progress(number)
            write_rows(out, (row for _, row in _rows(parts)), header)
    except OSError as error:
        raise OutputError(f"OUT {str(out)!r} can't be written: {error.strerror}; mend this and merge again") from error
    return Merged(str(out), len(parts), total, failed)


def _rows(parts: Sequence[Path]) -> Iterator[tuple[Path, Row]]:
    """The rows of all parts, sorted by source, each with its folder."""

    def ranked(number: int) -> Iterator[tuple[str, int, Row]]:
        return ((row.source, number, row) for row in iter_rows(parts[number]))

    for _, number, row in heapq.merge(*map(ranked, range(len(parts))), key=lambda entry: entry[:2]):
        yield parts[number], row


def _check_headers(parts: Sequence[Path]) -> Manifest:
    """The header of the whole; refuses what can't be joined."""
    headers = [(part, _header(part)) for part in parts]
    first, whole = headers[0]
    assert whole.shard is not None
    for part, header in headers[1:]:
        assert header.shard is not None
        for what, one, other in (
            ("another model", whole.model, header.model),
            ("other options", whole.options, header.options),
            ("another number of shards", whole.shard["count"], header.shard["count"]),
            ("another listing of the sources", _listing(whole.shard), _listing(header.shard)),
        ):
            if one != other:
                raise OutputError(
                    f"{str(part)!r} was made with {what} than {str(first)!r}; translate that shard again as the others"
                )
    count = whole.shard["count"]
    indices = Counter(header.shard["index"] for _, header in headers if header.shard is not None)
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in indices]
    doubled = [f"{index}/{count}" for index, times in indices.items() if times > 1]
    if missing:
        raise OutputError(f"shard {', '.join(missing)} is missing; translate it, and give its folder as well")
    if doubled:
        raise OutputError(f"shard {', '.join(doubled)} was given twice; give each folder once")
    return Manifest((), whole.nirgen_version, whole.options, whole.model)


def _listing(shard: Any) -> tuple[Any, Any]:
    return shard["sources"], shard["listing_sha256"]


def _header(part: Path) -> Manifest:
    header = read_header(part)
    if header is None:
        raise OutputError(f"{str(part)!r} has no {NAME}; give a folder that 'nirgen translate --shard' has finished")
    if journals.journal_path(part).exists():
        raise OutputError(f"the run of {str(part)!r} has not ended; run it again to its end, then merge")
    if header.shard is None:
        raise OutputError(f"{str(part)!r} is the translation of a whole folder, and no shard; it needs no merging")
    return header


def _check_cover(parts: Sequence[Path], header: Manifest, source: Path | None) -> tuple[int, int]:
    """How many sources failed, and how many there are; refuses parts that don't cover their listing once."""
    shard = (read_header(parts[0]) or header).shard
    assert shard is not None
    digest, count, failed, before = hashlib.sha256(), 0, 0, ""
    doubled: list[str] = []
    for _, row in _rows(parts):
        if count and row.source == before:
            doubled.append(row.source)
        before = row.source
        digest.update(row.source.encode() + b"\0")
        count += 1
        failed += row.status == "failed"
    if doubled:
        raise OutputError(f"{_some(doubled)} in more than one shard; translate these shards again into new folders")
    if digest.hexdigest() != shard["listing_sha256"]:
        names = "" if source is None else _difference(parts, source)
        raise OutputError(
            f"the shards have {count} sources of the {shard['sources']} that were listed{names}; run the shards again"
            + ("" if source is not None else " (--source SRC names what is missing)")
        )
    return failed, count


def _difference(parts: Sequence[Path], source: Path) -> str:
    """What a folder of sources has and the shards don't, and the other way round."""
    listed = {item.source for item in make_plan(source, parts[0] / journals.FOLDER / "none", ".png")}
    present = {row.source for _, row in _rows(parts)}
    missing, strange = sorted(listed - present), sorted(present - listed)
    texts = [f"missing: {_some(missing)}"] if missing else []
    texts += [f"not in the folder: {_some(strange)}"] if strange else []
    return f" ({'; '.join(texts)})" if texts else ""


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in names[:_NAMED]) + more


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"OUT {str(out)!r} is not a folder; use another OUT")
    if out.is_dir() and any(out.iterdir()) and not (out / journals.FOLDER).is_dir():
        raise OutputError(f"OUT {str(out)!r} has files that nirgen did not write; use another OUT")
    if read_header(out) is not None:
        raise OutputError(f"OUT {str(out)!r} is a finished translation folder; use another OUT")


def _place(part: Path, row: Row, out: Path) -> None:
    """Put an output in its place, unless it is there."""
    if row.output is None:
        return
    made, target = part / row.output, out / row.output
    if _sha256(made) != row.output_sha256:
        raise OutputError(f"{str(made)!r} is missing or altered; run that shard again, then merge")
    if _sha256(target) == row.output_sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        temporary.unlink()
        try:
            os.link(made, temporary)
        except OSError:
            shutil.copyfile(made, temporary)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
