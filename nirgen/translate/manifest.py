"""`manifest.parquet`: what became of every source of a translation folder.

One row a source, sorted by `source`, without clocks, hosts or absolute paths: the same sources, model and options give
the same bytes, however often the run was interrupted. The columns and the file's metadata stand in docs/formats.md.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from nirgen.errors import OutputError
from nirgen.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCHEMA = 1
NAME = "manifest.parquet"

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


@dataclass(frozen=True)
class Row:
    """What became of one source; the columns of the manifest, and a line of the journal.

    Attributes:
        source: POSIX path relative to the root of the sources.
        model_id: The translator's id.
        options_id: The id of the options that change pixels.
        status: `done` or `failed`.
        source_sha256: Of the file's bytes; None if they could not be read.
        source_width: In pixels, upright; None if the source could not be decoded.
        source_height: The same.
        output: POSIX path relative to the output folder; None if failed.
        output_sha256: Of the file's bytes; None if failed.
        width: Of the output, in pixels; None if failed.
        height: The same.
        error: Why it failed, in one line; None if done.
        method: How the network saw the image: `whole`.
        tiles: Into how many tiles it was cut; None if whole.
        seam: How much stands out at the tiles' borders; None if whole.
    """

    source: str
    model_id: str
    options_id: str
    status: Literal["done", "failed"]
    source_sha256: str | None = None
    source_width: int | None = None
    source_height: int | None = None
    output: str | None = None
    output_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None
    method: str = "whole"
    tiles: int | None = None
    seam: float | None = None


@dataclass(frozen=True)
class Manifest:
    """The rows of a translation folder, and what made them.

    Attributes:
        rows: Sorted by source.
        nirgen_version: Of the package that wrote it.
        options: The options that change pixels, as plain values.
        model: The translator's header.
    """

    rows: tuple[Row, ...]
    nirgen_version: str
    options: Mapping[str, Any]
    model: Mapping[str, Any]


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write `OUT/manifest.parquet`, whole or not at all; an equal one that is there stays untouched.

    Args:
        out: The translation folder.
        manifest: What to write; its rows are sorted here.

    Raises:
        OSError: The folder can't be written.
    """
    ordered = _sorted(manifest.rows)
    current = read_manifest(out)
    if current is not None and (current.rows, current.options, current.model) == (
        ordered,
        _plain(manifest.options),
        _plain(manifest.model),
    ):
        return
    metadata = {
        "nirgen.schema": str(SCHEMA),
        "nirgen.version": manifest.nirgen_version,
        "nirgen.options": json.dumps(manifest.options, sort_keys=True),
        "nirgen.model": json.dumps(manifest.model, sort_keys=True),
    }
    table = pa.Table.from_pylist([asdict(row) for row in ordered], schema=_COLUMNS.with_metadata(metadata))
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    write_whole(out / NAME, file.getvalue())


def read_manifest(out: Path) -> Manifest | None:
    """Read `OUT/manifest.parquet`.

    Args:
        out: A folder.

    Returns:
        The manifest, or None if there is none.

    Raises:
        OutputError: The file is not a manifest, or one of a schema that this version does not know.
    """
    path = out / NAME
    if not path.exists():
        return None
    try:
        table = pq.read_table(path, partitioning=None, memory_map=False)
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"{str(path)!r} is damaged or no manifest; use another OUT, or remove it") from error
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    schema = metadata.get("nirgen.schema")
    if schema != str(SCHEMA):
        what = (
            "is no manifest of nirgen's" if schema is None else f"has schema {schema}, and this nirgen reads {SCHEMA}"
        )
        raise OutputError(f"{str(path)!r} {what}; use another OUT")
    return Manifest(
        rows=tuple(Row(**values) for values in table.select([field.name for field in fields(Row)]).to_pylist()),
        nirgen_version=metadata["nirgen.version"],
        options=json.loads(metadata["nirgen.options"]),
        model=json.loads(metadata["nirgen.model"]),
    )


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest of nirgen's, of whatever schema."""
    try:
        return b"nirgen.schema" in (pq.read_metadata(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.source))


def _plain(values: Mapping[str, Any]) -> Any:
    """Values as they come back from JSON."""
    return json.loads(json.dumps(values))
