"""Whether every image and annotation of a nirgen dataset has its row in `provenance.parquet`, and the row fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nirgen.dataset.folder import PROVENANCE
from nirgen.dataset.provenance import SCHEMA
from nirgen.validate.coco import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings

_COLUMNS = (
    *("kind", "key", "id", "split", "image_key", "file_name", "sha256", "origin", "generated", "category"),
    *("input_sha256", "source_sha256", "model_id"),
)
_DICTIONARIES = (
    "kind",
    "split",
    "image_key",
    "file_name",
    "sha256",
    "origin",
    "category",
    "input_sha256",
    "source_sha256",
    "model_id",
)


def read_provenance(info: DatasetInfo, findings: Findings) -> pa.Table | None:
    """Read the rows of a dataset's provenance, as far as they are checked.

    Args:
        info: What the dataset says of itself.
        findings: Learns why there are none.

    Returns:
        The rows, or None if they can't be read.
    """
    path = info.folder / PROVENANCE
    try:
        metadata = pq.read_schema(path).metadata or {}
        schema = metadata.get(b"nirgen.schema", b"none").decode()
        if schema != str(SCHEMA):
            findings.skip("provenance", f"{path.name} has schema {schema}, and this nirgen reads {SCHEMA}")
            return None
        return pq.read_table(path, columns=list(_COLUMNS), read_dictionary=list(_DICTIONARIES), partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        findings.skip("provenance", f"{path.name} can't be read ({' '.join(str(error).split())[:120]})")
        return None


def check_provenance(files: Sequence[CocoFile], rows: pa.Table, hashes: Mapping[str, str], findings: Findings) -> None:
    """Compare the rows with the annotation files.

    Args:
        files: The dataset's.
        rows: What `read_provenance` gave.
        hashes: The sha256 of each file by its name, as `dataset.json` has it.
        findings: Takes what is wrong.
    """
    for kind, expected in (("image", _images), ("annotation", _annotations)):
        table = pa.concat_tables([expected(file, hashes) for file in files]).unify_dictionaries()
        _compare(table, rows.filter(pc.equal(rows["kind"], kind)), kind, findings)


def _images(file: CocoFile, hashes: Mapping[str, str]) -> pa.Table:
    images = file.images
    kinds = np.array([kind == "generated" for kind in images.kinds], np.int32)
    return pa.table(
        {
            "id": images.ids,
            "key": _strings(images.keys),
            "split": _repeated(np.zeros(len(images), np.int32), [file.split]),
            "file_name": _strings(images.names),
            "origin": _strings(images.origins),
            "generated": _repeated(kinds, ["false", "true"]),
            "sha256": _strings([hashes.get(name) for name in images.names]),
        }
    )


def _annotations(file: CocoFile, _hashes: Mapping[str, str]) -> pa.Table:
    table = file.annotations
    return pa.table(
        {
            "id": table.ids,
            "key": pa.array(table.keys, pa.string()),
            "split": _repeated(np.zeros(len(table), np.int32), [file.split]),
            "image_key": _repeated(table.images, file.images.keys),
            "file_name": _repeated(table.images, file.images.names),
            "category": _repeated(table.categories, file.categories.names),
        }
    )


def _compare(expected: pa.Table, rows: pa.Table, kind: str, findings: Findings) -> None:
    """Match both by id, and compare the columns of `expected`."""
    ids, known = expected["id"].to_numpy(), rows["id"].to_numpy()
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known[order], ids)
    found = np.zeros(len(ids), np.bool_)
    inside = at < len(known)
    found[inside] = known[order[at[inside]]] == ids[inside]

    def describe(table: pa.Table) -> Callable[[int], str]:
        return lambda position: f"{kind} {table['id'][position]} {table['key'][position]}"

    findings.add_all("no-provenance", np.flatnonzero(~found), describe(expected))
    findings.add_all("stray-provenance", np.flatnonzero(~np.isin(known, ids)), describe(rows))
    ours, theirs = expected.filter(pa.array(found)), rows.take(pa.array(order[at[found]]))
    for column in expected.column_names[1:]:
        differs = _different(ours[column], theirs[column])
        findings.add_all("wrong-provenance", differs, _describe_difference(kind, column, ours, theirs))


def _different(one: pa.ChunkedArray, other: pa.ChunkedArray) -> NDArray[np.intp]:
    one, other = (pc.fill_null(pc.cast(column, pa.string()), "") for column in (one, other))
    return np.flatnonzero(pc.not_equal(one, other).to_numpy())


def _describe_difference(kind: str, column: str, ours: pa.Table, theirs: pa.Table) -> Callable[[int], str]:
    return lambda position: (
        f"{kind} {ours['id'][position]}: {column} {ours[column][position].as_py()!r}, "
        f"its row says {theirs[column][position].as_py()!r}"
    )


def _strings(values: Sequence[object]) -> pa.Array:
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _repeated(positions: NDArray[np.int32], values: Sequence[object]) -> pa.Array:
    """A value for each position; null for `NOWHERE`."""
    return pa.DictionaryArray.from_arrays(pa.array(positions, mask=positions == NOWHERE), _strings(values))
