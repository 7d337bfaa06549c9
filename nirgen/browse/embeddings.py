"""Features of a collection's images by the embedded model's backbone: computed once, and shown in FiftyOne."""

from __future__ import annotations

import hashlib
import io
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nirgen import images, parquet
from nirgen.browse import neighbours
from nirgen.browse.documents import main_slice, object_id
from nirgen.browse.fields import (
    COVERED,
    DUPLICATE_OF,
    EMBEDDED,
    MAIN_SLICES,
    NEAREST,
    NEAREST_DISTANCE,
    NIR,
    OUTLIER,
    REAL_NIR,
    RGB,
)
from nirgen.browse.selection import flat
from nirgen.dataset.folder import EMBEDDINGS
from nirgen.devices import choose_device
from nirgen.errors import ImageError
from nirgen.evaluate.features import Backbone
from nirgen.files import output_file, read_bytes, sha256_of
from nirgen.images.arrays import resize, to_grey
from nirgen.progress import in_batches, or_error

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.browse.schema import Layout
    from nirgen.collection import Collection
    from nirgen.progress import Progress

SCHEMA = 1
SIDE = 224  # pixels of the square that the backbone sees, that of its training
MAP, SIMILARITY = "embeddings", "similarity"  # names in the App's panels
_BATCH = 32  # images
_SAVE_EVERY = 64  # batches; as many as are lost if the process is killed


class Picture(NamedTuple):
    """A sample of FiftyOne and its file."""

    sample: str  # id
    slice: str
    key: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Counts of what embeddings tell of the images of a dataset."""

    duplicates: int
    outliers: int
    real: int  # images that were judged for coverage
    covered: int  # of these
    unread: tuple[str, ...]  # keys of images whose files can't be read


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Features of the samples of a collection."""

    pictures: list[Picture]
    features: NDArray[np.float32]  # (N, D), rows of length 1, parallel to `pictures`
    unread: tuple[str, ...]  # keys of images whose files can't be read
    state: str  # digest of the samples and the network

    def show(self, dataset: Any) -> None:
        """Put them into FiftyOne's panels, and near-duplicates, outliers and coverage into fields."""
        import fiftyone as fo

        known = dataset.get_field_schema()
        fields = {name: fo.StringField() for name in (NEAREST, DUPLICATE_OF)}
        fields |= {NEAREST_DISTANCE: fo.FloatField(), OUTLIER: fo.BooleanField(), COVERED: fo.BooleanField()}
        dataset._merge_sample_field_schema({name: field for name, field in fields.items() if name not in known})
        everything = flat(dataset)
        for name, values in self.judged().items():
            everything.set_values(name, dict.fromkeys(everything.values("id")) | values, key_field="id")
        self._show_panels(dataset, everything)

    def judged(self) -> dict[str, dict[str, Any]]:
        """Return the values of the fields `EMBEDDED` by sample; an image is compared with those of its own kind."""
        values: dict[str, dict[str, Any]] = {name: {} for name in EMBEDDED}
        of_slice = {name: [at for at, each in enumerate(self.pictures) if each.slice == name] for name in MAIN_SLICES}
        for places in of_slice.values():
            if len(places) < 2:
                continue
            own = self.features[places]
            near, distances = neighbours.nearest(own)
            originals, far = neighbours.duplicates(own), neighbours.outliers(distances)
            for row, place in enumerate(places):
                sample = self.pictures[place].sample
                values[NEAREST][sample] = self.pictures[places[near[row]]].key
                values[NEAREST_DISTANCE][sample] = float(distances[row])
                values[OUTLIER][sample] = bool(far[row])
                if originals[row] >= 0:
                    values[DUPLICATE_OF][sample] = self.pictures[places[originals[row]]].key
        real = of_slice[REAL_NIR]
        covered = neighbours.covered(self.features[real], self.features[of_slice[NIR]])
        if covered is not None:
            values[COVERED] = {
                self.pictures[place].sample: bool(each) for place, each in zip(real, covered, strict=True)
            }
        return values

    def _show_panels(self, dataset: Any, everything: Any) -> None:
        from fiftyone import brain

        with _quietly():
            for name in (MAP, SIMILARITY):
                if dataset.has_brain_run(name):
                    dataset.delete_brain_run(name)
            if len(self.pictures) > 1:
                ids = [picture.sample for picture in self.pictures]
                points = dict(zip(ids, neighbours.layout(self.features), strict=True))
                brain.compute_visualization(everything, points=points, brain_key=MAP)
                rows = dict(zip(ids, self.features, strict=True))
                brain.compute_similarity(everything, embeddings=rows, brain_key=SIMILARITY, backend="sklearn")

    def findings(self, dataset: Any) -> Findings:
        """Count what a dataset shows."""
        samples = dataset._sample_collection
        counts = {
            name: samples.count_documents(match)
            for name, match in {
                "duplicates": {DUPLICATE_OF: {"$type": "string"}},
                "outliers": {OUTLIER: True},
                "real": {COVERED: {"$type": "bool"}},
                "covered": {COVERED: True},
            }.items()
        }
        return Findings(**counts, unread=self.unread)


def embed(collection: Collection, layout: Layout, report: Progress | None = None) -> Embeddings:
    """Compute features of all images in FiftyOne: generated, real, and RGB, each as grey.

    `embeddings.parquet` in the collection's folder keeps them by the sha256 of the files, so that only new files are
    computed. An interruption keeps the work done.

    Args:
        collection: Dataset or translation folder.
        layout: Its samples.
        report: Progress callback.
    """
    backbone = Backbone.read(device=choose_device(None))
    pictures = list(_pictures(collection, layout))
    known = read_features(collection.folder, backbone.id)
    wanted = {picture.sha256: picture for picture in pictures}
    missing = sorted((each for each in wanted.values() if each.sha256 not in known), key=lambda each: each.path)
    new = 0
    try:
        batches = in_batches(or_error(_grey, ImageError), [each.path for each in missing], _BATCH)
        for number, batch in enumerate(batches, start=1):
            first = (number - 1) * _BATCH
            read = [
                (missing[first + at].sha256, grey) for at, grey in enumerate(batch) if not isinstance(grey, Exception)
            ]
            if read:
                found = neighbours.normalized(backbone.pooled(np.stack([grey for _, grey in read])))
                known |= {sha256: row for (sha256, _), row in zip(read, found, strict=True)}
                new += len(read)
            if number % _SAVE_EVERY == 0:
                _write(collection, known, backbone.id)
                new = 0
            if report is not None:
                report("embed", first + len(batch), len(missing))
    except BaseException:
        if new:
            _write(collection, known, backbone.id)
        raise
    kept = {sha256: row for sha256, row in known.items() if sha256 in wanted}
    if new or len(kept) < len(known):
        _write(collection, kept, backbone.id)
    there = [picture for picture in pictures if picture.sha256 in kept]
    features = np.stack([kept[each.sha256] for each in there]) if there else np.zeros((0, 1), np.float32)
    unread = tuple(sorted({picture.key for picture in pictures if picture.sha256 not in kept}))
    return Embeddings(there, features, unread, state_of(layout, backbone.id, len(there)))


def state_of(layout: Layout, network: str = "", count: int | str = "") -> str:
    """Return the digest of samples and network; without the others, the beginning that tells the samples."""
    return f"{layout.state} {network} {count}".rstrip()


def _pictures(collection: Collection, layout: Layout) -> Iterator[Picture]:
    for item in collection.items():
        own = main_slice(item)
        files = [(own, item.path, item.sha256)]
        if item.rgb is not None and item.key not in layout.covered:
            files.append((RGB, item.rgb, item.rgb_sha256 or ""))
        for name, path, sha256 in files:
            yield Picture(str(object_id("sample", name, item.key)), name, item.key, path, sha256 or _sha256_of(path))


def _sha256_of(path: Path) -> str:
    """Return the hash of a file, or if it can't be read, that of its path."""
    try:
        return sha256_of(path)
    except OSError:
        return hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()


def _grey(path: Path) -> NDArray[np.uint8]:
    """Return the luma of an image file as (SIDE, SIDE), whatever its aspect ratio."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ImageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    return resize(to_grey(images.decode_small(data, str(path), 2 * SIDE)), (SIDE, SIDE))


def read_features(folder: Path, network: str) -> dict[str, NDArray[np.float32]]:
    """Read the features of a folder by the sha256 of files; none if missing, damaged, or of another network."""
    try:
        data = read_bytes(folder / EMBEDDINGS)
        if not parquet.is_whole(io.BytesIO(data)):
            return {}
        table = pq.read_table(io.BytesIO(data))
        if (table.schema.metadata or {}).get(b"nirgen.embeddings") != f"{SCHEMA} {network}".encode():
            return {}
        column = table["features"].combine_chunks()
        rows = np.asarray(column.flatten().to_numpy(), np.float32).reshape(len(table), column.type.list_size)
        return dict(zip(table["sha256"].to_pylist(), rows, strict=True))
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError):
        return {}


def _write(collection: Collection, known: Mapping[str, NDArray[np.float32]], network: str) -> None:
    names = sorted(known)
    rows = np.stack([known[name] for name in names]) if names else np.zeros((0, 1), np.float32)
    features = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    table = pa.table({"sha256": pa.array(names, pa.string()), "features": features})
    file = io.BytesIO()
    metadata = {"nirgen.embeddings": f"{SCHEMA} {network}"}
    pq.write_table(table.replace_schema_metadata(metadata), file, compression="zstd")
    parquet.seal(file)
    collection.check()  # what took its place gets no features
    with output_file(collection.folder / EMBEDDINGS) as temporary:
        temporary.write_bytes(file.getvalue())


@contextmanager
def _quietly() -> Generator[None]:
    """Silence FiftyOne's bars and lines."""
    logger = logging.getLogger("fiftyone")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
