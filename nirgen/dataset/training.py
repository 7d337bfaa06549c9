"""`lineage.parquet`: the pairs that trained the generators, so that a dataset alone can be held against them."""

from __future__ import annotations

import io
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nirgen import __version__
from nirgen.dataset.folder import LINEAGE
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nirgen.dataset.store import Store

SCHEMA = 1

COLUMNS = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("rgb_sha256", pa.string(), nullable=False),
        pa.field("nir_sha256", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
    ]
)
METADATA = {"nirgen.schema": str(SCHEMA), "nirgen.version": __version__}


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """A pair that a generator was trained on; what its model's header doesn't say is empty.

    Attributes:
        model_id: Of the generator.
        name: Of the pair.
        rgb_sha256: Of the RGB image's file.
        nir_sha256: Of the NIR image's file.
        sequence: The recording that it comes from.
    """

    model_id: str
    name: str
    rgb_sha256: str
    nir_sha256: str
    sequence: str


def pairs_of(header: Mapping[str, Any], model_id: str) -> tuple[TrainingPair, ...]:
    """The pairs that a model's header lists, in its order; none if it has no list."""
    pairs = (header.get("training") or {}).get("pairs") or ()
    return tuple(TrainingPair(model_id, *(str(pair.get(name) or "") for name in COLUMNS.names[1:])) for pair in pairs)


def write_pairs(store: Store, pairs: Iterable[TrainingPair]) -> None:
    """Write `lineage.parquet`: each pair once, sorted. There is no file if there are no pairs.

    Args:
        store: The dataset.
        pairs: Of all its generators.
    """
    rows = sorted(set(pairs), key=astuple)
    if rows:
        file = io.BytesIO()
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=COLUMNS.with_metadata(METADATA))
        pq.write_table(table, file, compression="zstd")
        store.write(LINEAGE, file.getvalue())


def read_pairs(folder: Path) -> tuple[TrainingPair, ...]:
    """Read the pairs that trained the generators of a dataset.

    Args:
        folder: The dataset, which has a `lineage.parquet`.

    Raises:
        NirgenError: The file can't be read, or is of another schema.
    """
    path = folder / LINEAGE
    try:
        table = pq.read_table(path, partitioning=None)
        schema = (table.schema.metadata or {}).get(b"nirgen.schema", b"none").decode()
        if schema != str(SCHEMA):
            raise NirgenError(f"{path}: has schema {schema}, and this nirgen reads {SCHEMA}; build the dataset again")
        return tuple(TrainingPair(**row) for row in table.select(COLUMNS.names).to_pylist())
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:100]
        raise NirgenError(f"{path}: can't be read ({reason}); build the dataset again") from None
