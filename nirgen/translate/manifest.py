"""`manifest.parquet`: the result of every source of a translation folder.

The pairs that trained the model are listed beside it, in `training_pairs.json`, of which it has the sha256. The same
sources, model and options give the same bytes, however often the run was interrupted; see docs/formats.md.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import islice
from operator import attrgetter
from typing import IO, TYPE_CHECKING, Any

from nirgen import parquet
from nirgen.errors import OutputError
from nirgen.files import check_regular, check_schema, is_safe_path, open_regular, read_bytes, replacing, write_whole
from nirgen.translate.items import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

SCHEMA = 1
NAME = "manifest.parquet"
PAIRS = "training_pairs.json"
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
    model: Mapping[str, Any]  # the translator's header; as read, `training` has `pairs_sha256` in place of `pairs`
    # None for a whole listing; else `index`, `count`, and of the whole listing `sources` and `listing_sha256`
    shard: Mapping[str, Any] | None = None
    pairs: bytes | None = None  # list of training pairs of a manifest of an older version, which has it in itself

    def with_hash(self) -> Manifest:
        """Return it with the sha256 of the list of training pairs in place of the list."""
        training = self.model.get("training")
        if not isinstance(training, dict) or "pairs" not in training:
            return self
        pairs = json.dumps(training["pairs"], sort_keys=True).encode() + b"\n"
        hashed = {name: value for name, value in training.items() if name != "pairs"}
        hashed["pairs_sha256"] = hashlib.sha256(pairs).hexdigest()
        return replace(self, model={**self.model, "training": hashed}, pairs=pairs)

    @property
    def pairs_sha256(self) -> str | None:
        """Return the sha256 of the list of training pairs; None if the model has none."""
        training = self.model.get("training")
        return training.get("pairs_sha256") if isinstance(training, dict) else None


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write `OUT/manifest.parquet`, atomically, of rows in any order; see `write_rows`."""
    write_rows(out, sorted(manifest.rows, key=attrgetter("source")), manifest)


def write_rows(out: Path, rows: Iterable[Row], header: Manifest) -> None:
    """Write a manifest from a stream of rows, sorted by source; an equal existing one stays untouched.

    Rows are taken one group at a time; those of `header` are ignored. The list of training pairs is written first, if
    `header` has it. OSError if the folder can't be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = header.with_hash()
    if header.pairs is not None and _read_whole(out / PAIRS) != header.pairs:
        write_whole(out / PAIRS, header.pairs)
    metadata = {
        "nirgen.schema": str(SCHEMA),
        "nirgen.version": header.nirgen_version,
        "nirgen.seal": "sha256",
        "nirgen.options": json.dumps(header.options, sort_keys=True),
        "nirgen.model": json.dumps(header.model, sort_keys=True),
    }
    if header.shard is not None:
        metadata["nirgen.shard"] = json.dumps(header.shard, sort_keys=True)
    columns = _columns()
    current = read_header(out)
    same = current is not None and all(
        json.dumps(getattr(current, part), sort_keys=True) == json.dumps(getattr(header, part), sort_keys=True)
        for part in _PARTS
    )
    old = iter_rows(out) if same else iter(())
    with suppress(_Unchanged), replacing(out / NAME) as temporary:
        settings: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True, "store_schema": False}
        with pq.ParquetWriter(temporary, columns, **settings) as writer:
            writer.add_key_value_metadata(metadata)  # once: a schema that is stored repeats it in base64
            for group in _groups(rows):
                same = same and group == list(islice(old, len(group)))
                values = {name: [getattr(row, name) for row in group] for name in _COLUMNS}
                writer.write_table(pa.Table.from_pydict(values, schema=columns))
        if same and next(old, None) is None:
            raise _Unchanged
        with temporary.open("r+b") as file:
            parquet.seal(file)


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
    return Manifest((), metadata["nirgen.version"], options, model, shard).with_hash()


def read_pairs(out: Path, header: Manifest) -> list[Any] | None:
    """Return the pairs that trained the model of a manifest, as its header had them; errors as `read_pairs_file`."""
    data = read_pairs_file(out, header)
    pairs: list[Any] | None = None if data is None else json.loads(data)
    return pairs


def read_pairs_file(out: Path, header: Manifest) -> bytes | None:
    """Return the list of pairs that trained the model of a manifest as JSON; None if the model has no list.

    Raises:
        OutputError: `OUT/training_pairs.json` is missing, or isn't the one that the manifest names.
    """
    if header.pairs_sha256 is None:
        return None
    data = header.pairs or _read_whole(out / PAIRS)
    if data is None or hashlib.sha256(data).hexdigest() != header.pairs_sha256:
        what = "missing" if data is None else "changed since it was written"
        raise OutputError(f"{str(out / PAIRS)!r} is {what}; restore it, or run the same 'nirgen translate' again")
    return data


def _read_whole(path: Path) -> bytes | None:
    try:
        return read_bytes(path)
    except OSError:
        return None


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
    try:
        with open_regular(path) as file:
            whole = parquet.is_whole(file) or not ("nirgen.seal" in metadata or parquet.is_sealed(file))
    except OSError:
        whole = False
    if not whole:
        raise OutputError(
            f"{str(path)!r} has changed since it was written (its checksum is wrong); restore it, or remove it and run "
            "the same 'nirgen translate' again"
        )
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
