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
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from nirgen.dataset.annotations import Annotation, Labelled
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


class Rows:
    """Rows of a dataset's provenance, collected into row groups.

    Args:
        plan: The plan.
        writer: Output file.
    """

    def __init__(self, plan: Plan, writer: pq.ParquetWriter) -> None:
        self._labels = plan.label_files
        self._categories = {category.id: category.name for category in plan.categories}
        self._writer = writer
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS.names}

    def add(self, labelled: Labelled, placed: Placed) -> None:
        """Add the row of an image and those of its annotations."""
        image = labelled.image
        common = self._common(image, placed)
        source_id = None if image.labels is None else image.labels.extra.get("source_id")
        self._append(
            common
            | {
                "kind": "image",
                "key": image.key,
                "id": labelled.id,
                "source_key": None if source_id is None else str(source_id),
                "source_category": None,
                "category": None,
                "transforms": _steps(image, placed),
            }
        )
        for box in labelled.boxes:
            self._append(common | self._of_box(box))
        if len(self._columns["id"]) >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the collected rows as a row group."""
        if self._columns["id"]:
            self._writer.write_table(pa.table(self._columns, schema=COLUMNS))
            self._columns = {name: [] for name in COLUMNS.names}

    def _common(self, image: PlannedImage, placed: Placed) -> dict[str, Any]:
        labels = None if image.labels is None else self._labels[image.label_file]
        return {
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

    def _of_box(self, box: Annotation) -> dict[str, Any]:
        unlabelled = {"label_file": None, "label_sha256": None} if box.added else {}
        return unlabelled | {
            "kind": "annotation",
            "key": box.coco["key"],
            "id": box.coco["id"],
            "source_key": box.source_key,
            "source_category": box.coco["source_category"],
            "category": self._categories[box.coco["category_id"]],
            "transforms": box.steps,
        }

    def _append(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            self._columns[name].append(value)


@contextmanager
def provenance_file(store: Store, plan: Plan) -> Generator[Callable[[Labelled, Placed], None]]:
    """Write `provenance.parquet`: a row for each image in the order of the keys, followed by those of its annotations.

    Yields:
        Callback that takes an image with its annotations and its placed file.
    """
    with (
        store.stream(PROVENANCE) as file,
        pq.ParquetWriter(file, COLUMNS.with_metadata(METADATA), compression="zstd") as writer,
    ):
        rows = Rows(plan, writer)
        yield rows.add
        rows.flush()


def _steps(image: PlannedImage, placed: Placed) -> tuple[str, ...]:
    steps = []
    if image.model_id is not None:
        steps.append(f"translated by model {image.model_id[:8]}")
    scaling = Scaling.of(image)
    if not scaling.identity:
        steps.append(str(scaling))
    if placed.encoded is not None:
        steps.append(placed.encoded)
    own = image.outcome.own if image.outcome else ()
    return (*steps, *(f"decision: {decision.action}{by(decision)}" for decision in own))


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
