"""Checks for leaks: training data of the generators, and RGB sources of training images, in validation or test."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from nirgen.dataset.folder import LINEAGE, PROVENANCE
from nirgen.dataset.provenance import SCHEMA, pairs_of, read_pairs
from nirgen.dataset.splits import TrainingList
from nirgen.errors import NirgenError, one_line
from nirgen.files import check_regular, check_schema
from nirgen.models.catalog import embedded_models, find_model, read_header

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.dataset.plan import TrainingPair
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings


@dataclass(frozen=True, slots=True)
class ImageRow:
    """Columns of an image's row in `provenance.parquet`."""

    key: str
    split: str
    origin: str
    input_sha256: str
    source_sha256: str | None
    model_id: str | None


def read_provenance(info: DatasetInfo, findings: Findings) -> list[ImageRow] | None:
    """Read the images' rows of a dataset's provenance; if that fails, skip the group `lineage` and return None."""
    path = info.folder / PROVENANCE
    columns = [field.name for field in fields(ImageRow)]
    try:
        check_regular(path)
        found = (pq.read_schema(path).metadata or {}).get(b"nirgen.schema", b"none").decode()
        check_schema(path.name, found, SCHEMA, "there is no provenance to go by")
        rows = pq.read_table(path, columns=columns, filters=[("kind", "=", "image")], partitioning=None)
        return [ImageRow(**values) for values in rows.to_pylist()]
    except NirgenError as error:
        findings.skip("lineage", str(error))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        findings.skip("lineage", f"{path.name} can't be read ({one_line(error, 120)})")
    return None


def agreed_leaks(info: DatasetInfo, findings: Findings) -> set[str]:
    """Return the keys of images that `--allow-leak` accepted when the dataset was built; each is a warning."""
    leaks: Sequence[Mapping[str, Any]] = info.values.get("leaks") or ()
    findings.add_all(
        "agreed-leak", leaks, lambda leak: f"{leak['split']}: {leak['key']!r} ({leak['kind']}: {leak['other']})"
    )
    return {leak["key"] for leak in leaks}


def check_lineage(
    info: DatasetInfo,
    files: Sequence[CocoFile],
    rows: Sequence[ImageRow],
    findings: Findings,
    *,
    models: Sequence[str] = (),
    agreed: Collection[str] = (),
) -> None:
    """Find leaks by the hashes in the dataset's provenance; `agreed` are the keys of images accepted as leaks.

    The training pairs of the generators are in the dataset's `lineage.parquet`, else in the header of a model file: an
    embedded one, or one of `models`.
    """
    judges = [row for row in rows if row.split != "train" and row.key not in agreed]
    sources = {row.source_sha256: row.key for row in reversed(rows) if row.split == "train" and row.source_sha256}
    for row in judges:
        if row.source_sha256 in sources:
            findings.add("leak", f"{row.split}: {row.key!r} and {sources[row.source_sha256]!r} have one RGB source")
    if not judges:
        return
    sequences = {
        str(key): str(sequence)
        for file in files
        for key, sequence in zip(file.images.keys, file.images.sequences, strict=True)
        if sequence is not None
    }
    generators = sorted({row.model_id for row in rows if row.model_id})
    pairs: tuple[TrainingPair, ...] = ()
    if LINEAGE in info.files:
        try:
            pairs = read_pairs(info.folder)
        except NirgenError as error:
            findings.skip("lineage", str(error), partly=True)
    if not {*generators} <= {pair.model_id for pair in pairs}:
        headers = [read_header(path) for path in (*embedded_models().values(), *map(find_model, models))]
        pairs += tuple(pair for header in headers for pair in pairs_of(header, header["model_id"]))
    lists = {each.model_id: each for each in TrainingList.each_of(pairs)}
    for model_id in generators:
        if model_id in lists:
            _check_list(lists[model_id], rows, judges, sequences, findings)
        else:
            remedy = "if a file of it has one, name it with --model"
            findings.skip("lineage", f"there is no list of what trained model {model_id[:12]}; {remedy}", partly=True)


def _check_list(
    trained: TrainingList,
    rows: Sequence[ImageRow],
    judges: Sequence[ImageRow],
    sequences: Mapping[str, str],
    findings: Findings,
) -> None:
    """Find files and sequences of a generator's training pairs in `judges`; `nirgen.dataset.splits` has the rule."""
    by = f"trained {trained.model_id[:12]}"
    files = trained.files
    seen = {row.key: files.get(row.input_sha256) or files.get(row.source_sha256 or "") for row in rows}
    origins = {row.origin for row in rows if seen[row.key]}
    for row in judges:
        named = sequences.get(row.key, "")
        folder = row.key.removeprefix(f"{row.origin}/").rpartition("/")[0]  # may be named by its recording
        sequence = named or folder
        comparable = row.origin in origins or any(map(str.isalpha, named))
        if seen[row.key]:
            findings.add("leak", f"{row.split}: {row.key!r} is of pair {seen[row.key]!r} that {by}")
        elif comparable and sequence in trained.sequences:
            pair = trained.sequences[sequence]
            findings.add("leak", f"{row.split}: {row.key!r} is of {sequence!r}, as is pair {pair!r} that {by}")
