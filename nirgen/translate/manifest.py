"""`manifest.parquet`: what became of every source of a translation folder.

One row a source, sorted by `source`, without clocks, hosts or absolute paths: the same sources, model and options give
the same bytes, however often the run was interrupted. The columns and the file's metadata stand in docs/formats.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nirgen.errors import OutputError
from nirgen.files import replacing
from nirgen.translate.items import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


SCHEMA = 1
NAME = "manifest.parquet"
# Rows of a group of the file, and rows that are read at once: what is in memory, however many there are.
_ROWS_IN_GROUP, _ROWS_AT_ONCE = 8_192, 4_096

_COLUMNS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_sha256", pa.string()),
        pa.field("source_width", pa.int32()),
        pa.field("source_height", pa.int32()),
        pa.field("output", pa.string()),
        pa.field("output_sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("options_id", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("tiles", pa.int32()),
        pa.field("seam", pa.float32()),
    ]
)


_NAMES = [field.name for field in fields(Row)]


@dataclass(frozen=True)
class Manifest:
    """The rows of a translation folder, and what made them.

    Attributes:
        rows: Sorted by source.
        nirgen_version: Of the package that wrote it.
        options: The options that change pixels, as plain values.
        model: The translator's header.
        shard: Which part of a listing it is about: `index`, `count`, and of the whole listing `sources` and
            `listing_sha256`; None for all of it.
    """

    rows: tuple[Row, ...]
    nirgen_version: str
    options: Mapping[str, Any]
    model: Mapping[str, Any]
    shard: Mapping[str, Any] | None = None


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write `OUT/manifest.parquet`, whole or not at all; an equal one that is there stays untouched.

    Args:
        out: The translation folder.
        manifest: What to write; its rows are sorted here.

    Raises:
        OSError: The folder can't be written.
    """
    write_rows(out, _sorted(manifest.rows), manifest)


def write_rows(out: Path, rows: Iterable[Row], header: Manifest) -> int:
    """`write_manifest` of rows that come one by one.

    Args:
        out: The translation folder.
        rows: Sorted by source.
        header: The rest of the manifest; its rows don't count.

    Returns:
        How many rows there were.

    Raises:
        OSError: The folder can't be written.
    """
    metadata = {
        "nirgen.schema": str(SCHEMA),
        "nirgen.version": header.nirgen_version,
        "nirgen.options": json.dumps(header.options, sort_keys=True),
        "nirgen.model": json.dumps(header.model, sort_keys=True),
    }
    if header.shard is not None:
        metadata["nirgen.shard"] = json.dumps(header.shard, sort_keys=True)
    current = read_header(out)
    same = current is not None and _says_as_much(current, header)
    old = iter_rows(out) if same else iter(())
    columns = _COLUMNS.with_metadata(metadata)
    count = 0
    try:
        with replacing(out / NAME) as temporary:
            with pq.ParquetWriter(temporary, columns, compression="zstd") as writer:
                for part in _parts(rows):
                    same = same and part == list(islice(old, len(part)))
                    count += len(part)
                    values = {name: [getattr(row, name) for row in part] for name in _COLUMNS.names}
                    writer.write_table(pa.Table.from_pydict(values, schema=columns))
            if same and next(old, None) is None:
                raise _Unchanged
    except _Unchanged:
        pass
    return count


class _Unchanged(Exception):  # noqa: N818 - it ends a block, and is no error
    """The manifest that is there says the same."""


def _says_as_much(one: Manifest, other: Manifest) -> bool:
    said = [(manifest.options, manifest.model, manifest.shard) for manifest in (one, other)]
    return bool(_plain(said[0]) == _plain(said[1]))


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in groups of the file's; one empty group if there are none."""
    left = iter(rows)
    part = list(islice(left, _ROWS_IN_GROUP))
    yield part
    while part := list(islice(left, _ROWS_IN_GROUP)):
        yield part


def read_header(out: Path) -> Manifest | None:
    """Read a manifest without its rows; see `read_manifest`."""
    path = out / NAME
    if not path.exists():
        return None
    metadata = _metadata(path)
    return Manifest(
        rows=(),
        nirgen_version=metadata["nirgen.version"],
        options=json.loads(metadata["nirgen.options"]),
        model=json.loads(metadata["nirgen.model"]),
        shard=json.loads(metadata["nirgen.shard"]) if "nirgen.shard" in metadata else None,
    )


def iter_rows(out: Path) -> Iterator[Row]:
    """Read a manifest's rows one by one; none if there is no manifest.

    Raises:
        OutputError: As for `read_manifest`.
    """
    path = out / NAME
    if not path.exists():
        return
    _metadata(path)
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=_NAMES):
                for values in batch.to_pylist():
                    yield Row(**values)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path) from error


def read_manifest(out: Path) -> Manifest | None:
    """Read `OUT/manifest.parquet`.

    Args:
        out: A folder.

    Returns:
        The manifest, or None if there is none.

    Raises:
        OutputError: The file is not a manifest, or one of a schema that this version does not know.
    """
    header = read_header(out)
    return None if header is None else replace(header, rows=tuple(iter_rows(out)))


def _metadata(path: Path) -> dict[str, str]:
    """The file's own entries, of a manifest of the schema that this version knows."""
    try:
        stored = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path) from error
    metadata = {key.decode(): value.decode() for key, value in stored.items() if key.startswith(b"nirgen.")}
    schema = metadata.get("nirgen.schema")
    if schema != str(SCHEMA):
        what = (
            "is no manifest of nirgen's" if schema is None else f"has schema {schema}, and this nirgen reads {SCHEMA}"
        )
        raise OutputError(f"{str(path)!r} {what}; use another OUT")
    return metadata


def _damaged(path: Path) -> OutputError:
    return OutputError(f"{str(path)!r} is damaged or no manifest; use another OUT, or remove it")


def is_manifest(path: Path | IO[bytes]) -> bool:
    """Whether a file is a manifest of nirgen's, of whatever schema."""
    try:
        return b"nirgen.schema" in (pq.read_metadata(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.source))


def _plain(values: Any) -> Any:
    """Values as they come back from JSON."""
    return json.loads(json.dumps(values))


RUN_NAME = "run.json"
