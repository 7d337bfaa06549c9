"""Provenance of a dataset: `provenance.parquet` of images and boxes, `lineage.parquet` of the generators' training."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nirgen._version import __version__
from nirgen.dataset.annotations import Scaling
from nirgen.dataset.decisions import by
from nirgen.dataset.folder import LINEAGE, PROVENANCE
from nirgen.dataset.plan import TrainingPair
from nirgen.errors import NirgenError, one_line
from nirgen.files import check_regular, check_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Placed, Store


SCHEMA = 1  # of both files
ROWS = 65_536  # smallest row group


def _texts(names: str, *, nullable: bool = False) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=nullable) for name in names.split()]


COLUMNS = pa.schema(
    [
        *_texts("kind key"),
        pa.field("id", pa.int64(), nullable=False),
        *_texts("split image_key file_name sha256 input_sha256 origin"),
        pa.field("generated", pa.bool_(), nullable=False),
        *_texts("source source_sha256 label_file label_sha256 source_key source_category category", nullable=True),
        pa.field("transforms", pa.list_(pa.string()), nullable=False),
        *_texts("model_id options_id", nullable=True),
    ]
)
LINEAGE_COLUMNS = pa.schema(_texts("model_id name rgb_sha256 nir_sha256 sequence"))
METADATA = {"nirgen.schema": str(SCHEMA), "nirgen.version": __version__}


@contextmanager
def open_provenance(folder: Path, name: str = PROVENANCE) -> Generator[pq.ParquetFile]:
    """Open the provenance of a dataset folder, or its `lineage.parquet`, for reading."""
    path, remedy = folder / name, "build the dataset again"
    try:
        check_regular(path)
        with pq.ParquetFile(path, memory_map=True) as file:
            found = (file.schema_arrow.metadata or {}).get(b"nirgen.schema", b"none").decode()
            check_schema(path, found, SCHEMA, remedy)
            yield file
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise NirgenError(f"{path}: can't be read ({one_line(error, 100)}); {remedy}") from None


@contextmanager
def provenance_file(store: Store, plan: Plan) -> Generator[Callable[[Labelled, Placed], None]]:
    """Write `provenance.parquet`: a row for each image in the order of the keys, followed by those of its annotations.

    Yields:
        Callback that takes an image with its annotations and its placed file.
    """
    categories = {category.id: category.name for category in plan.categories}
    rows: list[dict[str, Any]] = []
    schema = COLUMNS.with_metadata(METADATA)
    with store.stream(PROVENANCE) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def add(labelled: Labelled, placed: Placed) -> None:
            rows.extend(_rows(labelled, placed, plan, categories))
            if len(rows) >= ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=COLUMNS))
                rows.clear()

        yield add
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=COLUMNS))


def _rows(labelled: Labelled, placed: Placed, plan: Plan, categories: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """Yield the row of an image, then those of its annotations."""
    image = labelled.image
    labels = None if image.labels is None else plan.label_files[image.label_file]
    scaling, decisions = Scaling.of(image), image.outcome.own if image.outcome else ()
    source_id = None if image.labels is None else image.labels.extra.get("source_id")
    common = {
        "split": image.split,
        "image_key": image.key,
        "file_name": image.target,
        "sha256": placed.sha256,
        "input_sha256": image.sha256,
        "origin": image.origin,
        "generated": image.kind == "generated",
        "source": image.source,
        "source_sha256": image.source_sha256,
        "label_file": labels and labels.name,
        "label_sha256": labels and labels.sha256,
        "model_id": image.model_id,
        "options_id": image.options_id,
    }
    yield common | {
        "kind": "image",
        "key": image.key,
        "id": labelled.id,
        "source_key": None if source_id is None else str(source_id),
        "transforms": [
            *([] if image.model_id is None else [f"translated by model {image.model_id[:8]}"]),
            *([] if scaling.identity else [str(scaling)]),
            *([] if placed.encoded is None else [placed.encoded]),
            *(f"decision: {decision.action}{by(decision)}" for decision in decisions),
        ],
    }
    for box in labelled.boxes:
        yield common | {
            "kind": "annotation",
            "key": box.coco["key"],
            "id": box.coco["id"],
            "source_key": box.source_key,
            "source_category": box.coco["source_category"],
            "category": categories[box.coco["category_id"]],
            "transforms": box.steps,
            **({"label_file": None, "label_sha256": None} if box.added else {}),
        }


def pairs_of(header: Mapping[str, Any], model_id: str) -> tuple[TrainingPair, ...]:
    """Return the training pairs in a model's header; empty if it has no list."""
    pairs = (header.get("training") or {}).get("pairs") or ()
    return tuple(
        TrainingPair(model_id, *(str(pair.get(name) or "") for name in LINEAGE_COLUMNS.names[1:])) for pair in pairs
    )


def write_pairs(store: Store, pairs: Iterable[TrainingPair]) -> None:
    """Write `lineage.parquet`: each training pair once, sorted. There is no file without pairs."""
    rows = [asdict(row) for row in sorted(set(pairs), key=astuple)]
    if rows:
        file = io.BytesIO()
        table = pa.Table.from_pylist(rows, schema=LINEAGE_COLUMNS.with_metadata(METADATA))
        pq.write_table(table, file, compression="zstd")
        store.write(LINEAGE, file.getvalue())


def read_pairs(folder: Path) -> tuple[TrainingPair, ...]:
    """Read the pairs that trained the generators of a dataset, which has a `lineage.parquet`."""
    with open_provenance(folder, LINEAGE) as file:
        return tuple(TrainingPair(**row) for row in file.read().select(LINEAGE_COLUMNS.names).to_pylist())
