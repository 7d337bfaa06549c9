"""`manifest.parquet`: the result of every source of a translation folder.

The same sources, model and options give the same bytes, however often the run was interrupted; see docs/formats.md.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import islice
from operator import attrgetter
from typing import IO, TYPE_CHECKING, Any

from nirgen.errors import OutputError
from nirgen.files import check_regular, check_schema, is_safe_path, replacing
from nirgen.translate.items import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

SCHEMA = 1
NAME = "manifest.parquet"
# Rows of a group of the file, and rows that are read at once: memory does not grow with the file.
_ROWS_IN_GROUP, _ROWS_AT_ONCE = 8_192, 4_096
_COLUMNS = {
    "source": "string", "source_sha256": "string", "source_width": "int32", "source_height": "int32",
    "output": "string", "output_sha256": "string", "width": "int32", "height": "int32",
    "status": "string", "error": "string", "model_id": "string", "options_id": "string",
    "method": "string", "tiles": "int32", "seam": "float32",
    "damage": "string", "note": "string", "brightest": "float64",
    "captured": "string", "latitude": "float64", "longitude": "float64",
}  # fmt: skip
_PARTS = ("options", "model", "shard")
_ADDED = {"damage", "note", "brightest", "captured", "latitude", "longitude"}  # since schema 1 was first written
_NEVER_NULL = {"source", "status", "model_id", "options_id", "method"}


@dataclass(frozen=True)
class Manifest:
    """The rows of a translation folder, and what made them."""

    rows: tuple[Row, ...]  # sorted by source
    nirgen_version: str  # that wrote it
    options: Mapping[str, Any]  # that change pixels
    model: Mapping[str, Any]  # the translator's header
    # None for a whole listing; else `index`, `count`, and of the whole listing `sources` and `listing_sha256`
    shard: Mapping[str, Any] | None = None


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write `OUT/manifest.parquet`, atomically, of rows in any order; see `write_rows`."""
    write_rows(out, sorted(manifest.rows, key=attrgetter("source")), manifest)


def write_rows(out: Path, rows: Iterable[Row], header: Manifest) -> None:
    """Write a manifest from a stream of rows, sorted by source; an equal existing one stays untouched.

    Rows are taken one group at a time; those of `header` are ignored. OSError if the folder can't be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {
        "nirgen.schema": str(SCHEMA),
        "nirgen.version": header.nirgen_version,
        "nirgen.options": json.dumps(header.options, sort_keys=True),
        "nirgen.model": json.dumps(header.model, sort_keys=True),
    }
    if header.shard is not None:
        metadata["nirgen.shard"] = json.dumps(header.shard, sort_keys=True)
    columns = _columns().with_metadata(metadata)
    current = read_header(out)
    same = current is not None and all(
        json.dumps(getattr(current, part), sort_keys=True) == json.dumps(getattr(header, part), sort_keys=True)
        for part in _PARTS
    )
    old = iter_rows(out) if same else iter(())
    with suppress(_Unchanged), replacing(out / NAME) as temporary:
        with pq.ParquetWriter(temporary, columns, compression="zstd", write_page_checksum=True) as writer:
            for group in _groups(rows):
                same = same and group == list(islice(old, len(group)))
                values = {name: [getattr(row, name) for row in group] for name in _COLUMNS}
                writer.write_table(pa.Table.from_pydict(values, schema=columns))
        if same and next(old, None) is None:
            raise _Unchanged


def _columns() -> pa.Schema:
    import pyarrow as pa

    types = {"string": pa.string(), "int32": pa.int32(), "float32": pa.float32(), "float64": pa.float64()}
    return pa.schema([pa.field(name, types[kind], nullable=name not in _NEVER_NULL) for name, kind in _COLUMNS.items()])


class _Unchanged(Exception):  # noqa: N818 - leaves a block, and is no error
    """The new manifest equals the existing one."""


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in the file's groups; one empty group if there are none."""
    left = iter(rows)
    yield list(islice(left, _ROWS_IN_GROUP))
    while group := list(islice(left, _ROWS_IN_GROUP)):
        yield group


def read_manifest(out: Path) -> Manifest | None:
    """Read `OUT/manifest.parquet`; None if it does not exist, OutputError if it is damaged or of another schema."""
    header = read_header(out)
    return None if header is None else replace(header, rows=tuple(iter_rows(out)))


def read_header(out: Path) -> Manifest | None:
    """Read a manifest without its rows; as `read_manifest`."""
    path = out / NAME
    if not path.exists():
        return None
    metadata = _metadata(path)
    try:
        options, model, shard = (json.loads(metadata.get(f"nirgen.{name}", "null")) for name in _PARTS)
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    whole = isinstance(options, dict) and isinstance(model, dict) and isinstance(shard, dict | None)
    if not whole or "nirgen.version" not in metadata:
        raise _damaged(path)
    return Manifest((), metadata["nirgen.version"], options, model, shard)


def iter_rows(out: Path) -> Iterator[Row]:
    """Read a manifest's rows one by one, none if it does not exist; errors as `read_manifest`."""
    path = out / NAME
    if not path.exists():
        return
    _metadata(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=False, page_checksum_verification=True) as file:
            there = set(file.schema_arrow.names)  # those of older versions lack some
            columns = [field for field in _columns() if field.name in there or field.name not in _ADDED]
            if not {*columns} <= {*file.schema_arrow}:
                raise _damaged(path)
            names = [field.name for field in fields(Row) if field.name in there]
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=names):
                for values in batch.to_pylist():
                    yield Row(**values)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path) from error


def is_named(row: Row) -> bool:
    """Return True if the names in a row are paths below the folders that they are relative to."""
    return is_safe_path(row.source) and (row.output is None or is_safe_path(row.output))


def count_rows(out: Path) -> int | None:
    """Return the number of rows by a manifest's header; None if it does not exist, or is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        check_regular(out / NAME)
        return int(pq.read_metadata(out / NAME).num_rows)
    except (pa.ArrowException, OSError, ValueError):
        return None


def is_manifest(file: Path | IO[bytes]) -> bool:
    """Return True if a file is a manifest of nirgen, of any schema."""
    return b"nirgen.schema" in (_stored_metadata(file) or {})


def _metadata(path: Path) -> dict[str, str]:
    """Return the file's `nirgen.*` metadata; refuse other files and schemas."""
    stored = _stored_metadata(path)
    if stored is None:
        raise _damaged(path)
    try:
        metadata = {key.decode(): value.decode() for key, value in stored.items() if key.startswith(b"nirgen.")}
    except UnicodeDecodeError:
        raise _damaged(path) from None
    if "nirgen.schema" not in metadata:
        raise OutputError(f"{str(path)!r} is no manifest of nirgen; use another OUT")
    check_schema(path, metadata["nirgen.schema"], SCHEMA, "use another OUT", error=OutputError)
    return metadata


def _stored_metadata(file: Path | IO[bytes]) -> dict[bytes, bytes] | None:
    """Return a Parquet file's metadata; None if it can't be read as one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not hasattr(file, "read") and not file.is_file():
        return None
    try:
        return dict(pq.read_metadata(file).metadata or {})
    except (pa.ArrowException, OSError, ValueError):
        return None


def _damaged(path: Path) -> OutputError:
    return OutputError(f"{str(path)!r} is damaged or no manifest; use another OUT, or remove it")
