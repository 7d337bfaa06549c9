"""Checks of provenance rows, and of leaks between the generator's training data and the judging splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nirgen.dataset.folder import LINEAGE, PROVENANCE
from nirgen.dataset.leaks import TrainingList
from nirgen.dataset.provenance import SCHEMA, pairs_of, read_pairs
from nirgen.errors import NirgenError
from nirgen.models.catalog import embedded_models, find_model
from nirgen.validate.coco import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.dataset.plan import TrainingPair
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


@dataclass(frozen=True, slots=True)
class _Row:
    """An image as its provenance has it."""

    key: str
    split: str
    origin: str
    input_sha256: str
    source_sha256: str | None
    model_id: str | None


def agreed_leaks(info: DatasetInfo, findings: Findings) -> set[str]:
    """The keys of the images that the dataset was built with though training has seen them.

    Args:
        info: What the dataset says of itself.
        findings: Takes them as warnings.
    """
    leaks: Sequence[Mapping[str, Any]] = info.values.get("leaks") or ()
    findings.add_all(
        "agreed-leak", leaks, lambda leak: f"{leak['split']}: {leak['key']!r} ({leak['kind']}: {leak['other']})"
    )
    return {leak["key"] for leak in leaks}


def check_lineage(
    info: DatasetInfo,
    files: Sequence[CocoFile],
    rows: pa.Table,
    findings: Findings,
    *,
    models: Sequence[str] = (),
    agreed: Collection[str] = (),
) -> None:
    """Look for images in validation or test that training has seen, by the hashes in the dataset's provenance.

    What trained the generators is in the dataset's `lineage.parquet`, or else in the header of a model's file.

    Args:
        info: What the dataset says of itself.
        files: The annotation files.
        rows: What `provenance.read_provenance` gave.
        findings: Takes the leaks, and which generator's training list is not known.
        models: Files of generators, besides the embedded ones, that may have translated images of the dataset.
        agreed: Keys of images that were accepted as leaks.
    """
    images = _rows(rows)
    judges = [row for row in images if row.split != "train" and row.key not in agreed]
    _check_sources(judges, [row for row in images if row.split == "train"], findings)
    if not judges:
        return
    generators = sorted({row.model_id for row in images if row.model_id})
    lists = {each.model_id: each for each in _lists(info, generators, models, findings)}
    for model_id in generators:
        if model_id in lists:
            _check_list(lists[model_id], images, judges, _sequences(files), findings)
        else:
            remedy = "if a file of it has one, name it with --model"
            findings.skip("lineage", f"there is no list of what trained model {model_id[:12]}; {remedy}", partly=True)


def _sequences(files: Sequence[CocoFile]) -> dict[str, str]:
    """The recordings of images, by the images' keys."""
    return {
        str(key): str(sequence)
        for file in files
        for key, sequence in zip(file.images.keys, file.images.sequences, strict=True)
        if sequence is not None
    }


def _rows(rows: pa.Table) -> list[_Row]:
    import pyarrow.compute as pc

    columns = list(_Row.__dataclass_fields__)
    images = rows.filter(pc.equal(rows["kind"], "image")).select(columns)
    return [_Row(**values) for values in images.to_pylist()]


def _check_sources(judges: Sequence[_Row], train: Sequence[_Row], findings: Findings) -> None:
    """Look for RGB partners of the judging images among the RGB sources of training."""
    sources = {row.source_sha256: row.key for row in reversed(train) if row.source_sha256}
    for row in judges:
        if row.source_sha256 in sources:
            findings.add("leak", f"{row.split}: {row.key!r} and {sources[row.source_sha256]!r} have one RGB source")


def _check_list(
    trained: TrainingList,
    images: Sequence[_Row],
    judges: Sequence[_Row],
    sequences: Mapping[str, str],
    findings: Findings,
) -> None:
    """Look for files and sequences of a generator's training pairs; see `nirgen.dataset.leaks` for the rule."""
    by = f"trained {trained.model_id[:12]}"
    files = trained.files
    seen = {row.key: files.get(row.input_sha256) or files.get(row.source_sha256 or "") for row in images}
    origins = {row.origin for row in images if seen[row.key]}
    for row in judges:
        named = sequences.get(row.key, "")
        sequence = named or _folder(row)
        telling = row.origin in origins or any(map(str.isalpha, named))
        if seen[row.key]:
            findings.add("leak", f"{row.split}: {row.key!r} is of pair {seen[row.key]!r} that {by}")
        elif telling and sequence in trained.sequences:
            pair = trained.sequences[sequence]
            findings.add("leak", f"{row.split}: {row.key!r} is of {sequence!r}, as is pair {pair!r} that {by}")


def _folder(row: _Row) -> str:
    """The folder of an image in its input, which may be its recording."""
    return row.key.removeprefix(f"{row.origin}/").rpartition("/")[0]


def _lists(
    info: DatasetInfo, generators: Collection[str], models: Sequence[str], findings: Findings
) -> list[TrainingList]:
    """What trained the generators, as far as the dataset or the headers of models' files have it."""
    pairs: tuple[TrainingPair, ...] = ()
    if LINEAGE in info.files:
        try:
            pairs = read_pairs(info.folder)
        except NirgenError as error:
            findings.skip("lineage", str(error), partly=True)
    if not {*generators} <= {pair.model_id for pair in pairs}:
        pairs += tuple(_pairs_of_files(models))
    return TrainingList.each_of(pairs)


def _pairs_of_files(models: Sequence[str]) -> Iterator[TrainingPair]:
    """The training pairs of the embedded models and of others."""
    from nirgen.models.catalog import read_header  # imports torch, which few validations need

    for path in (*embedded_models().values(), *map(find_model, models)):
        header = read_header(path)
        yield from pairs_of(header, header["model_id"])
