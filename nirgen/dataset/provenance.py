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
from nirgen.files import check_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import Plan, PlannedImage
    from nirgen.dataset.store import Placed, Store


SCHEMA = 1
ROWS = 65_536
"""Smallest row group."""

COLUMNS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("id", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("image_key", pa.string(), nullable=False),
        pa.field("file_name", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("input_sha256", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("generated", pa.bool_(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("source_sha256", pa.string()),
        pa.field("label_file", pa.string()),
        pa.field("label_sha256", pa.string()),
        pa.field("source_key", pa.string()),
        pa.field("source_category", pa.string()),
        pa.field("category", pa.string()),
        pa.field("transforms", pa.list_(pa.string()), nullable=False),
        pa.field("model_id", pa.string()),
        pa.field("options_id", pa.string()),
    ]
)
METADATA = {"nirgen.schema": str(SCHEMA), "nirgen.version": __version__}


@contextmanager
def open_provenance(folder: Path) -> Generator[pq.ParquetFile]:
    """Open the provenance of a dataset folder for reading.

    Raises:
        NirgenError: It can't be read, or is of another schema.
    """
    with _open(folder / PROVENANCE, SCHEMA) as file:
        yield file


@contextmanager
def _open(path: Path, schema: int) -> Generator[pq.ParquetFile]:
    remedy = "build the dataset again"
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            found = (file.schema_arrow.metadata or {}).get(b"nirgen.schema", b"none").decode()
            check_schema(path, found, schema, remedy)
            yield file
    except (pa.ArrowException, OSError, KeyError) as error:
        raise NirgenError(f"{path}: can't be read ({one_line(error, 100)}); {remedy}") from None


@contextmanager
def provenance_file(store: Store, plan: Plan) -> Generator[Callable[[Labelled, Placed], None]]:
    """Write `provenance.parquet`: a row for each image in the order of the keys, followed by those of its annotations.

    Yields:
        Callback that takes an image with its annotations and its placed file.
    """
    categories = {category.id: category.name for category in plan.categories}
    rows: list[dict[str, Any]] = []
    with (
        store.stream(PROVENANCE) as file,
        pq.ParquetWriter(file, COLUMNS.with_metadata(METADATA), compression="zstd") as writer,
    ):

        def flush(least: int) -> None:
            if len(rows) >= least:
                writer.write_table(pa.Table.from_pylist(rows, schema=COLUMNS))
                rows.clear()

        def add(labelled: Labelled, placed: Placed) -> None:
            rows.extend(_rows(labelled, placed, plan, categories))
            flush(ROWS)

        yield add
        flush(1)


def _rows(labelled: Labelled, placed: Placed, plan: Plan, categories: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """Yield the row of an image, then those of its annotations."""
    image = labelled.image
    labels = None if image.labels is None else plan.label_files[image.label_file]
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
        "transforms": _steps(image, placed),
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


def _steps(image: PlannedImage, placed: Placed) -> list[str]:
    steps = [] if image.model_id is None else [f"translated by model {image.model_id[:8]}"]
    scaling = Scaling.of(image)
    if not scaling.identity:
        steps.append(str(scaling))
    if placed.encoded is not None:
        steps.append(placed.encoded)
    own = image.outcome.own if image.outcome else ()
    return [*steps, *(f"decision: {decision.action}{by(decision)}" for decision in own)]


LINEAGE_SCHEMA = 1

LINEAGE_COLUMNS = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("rgb_sha256", pa.string(), nullable=False),
        pa.field("nir_sha256", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
    ]
)
LINEAGE_METADATA = {"nirgen.schema": str(LINEAGE_SCHEMA), "nirgen.version": __version__}


def pairs_of(header: Mapping[str, Any], model_id: str) -> tuple[TrainingPair, ...]:
    """Return the training pairs in a model's header; empty if it has no list."""
    pairs = (header.get("training") or {}).get("pairs") or ()
    return tuple(
        TrainingPair(model_id, *(str(pair.get(name) or "") for name in LINEAGE_COLUMNS.names[1:])) for pair in pairs
    )


def write_pairs(store: Store, pairs: Iterable[TrainingPair]) -> None:
    """Write `lineage.parquet`: each training pair once, sorted. There is no file without pairs."""
    rows = sorted(set(pairs), key=astuple)
    if rows:
        file = io.BytesIO()
        table = pa.Table.from_pylist(
            [asdict(row) for row in rows], schema=LINEAGE_COLUMNS.with_metadata(LINEAGE_METADATA)
        )
        pq.write_table(table, file, compression="zstd")
        store.write(LINEAGE, file.getvalue())


def read_pairs(folder: Path) -> tuple[TrainingPair, ...]:
    """Read the pairs that trained the generators of a dataset, which has a `lineage.parquet`.

    Raises:
        NirgenError: The file can't be read, or is of another schema.
    """
    with _open(folder / LINEAGE, LINEAGE_SCHEMA) as file:
        return tuple(TrainingPair(**row) for row in file.read().select(LINEAGE_COLUMNS.names).to_pylist())
