"""Leaks: images of validation or test that training has seen, by file, by recording or as a near duplicate.

The pairs that trained a generator count as training, because its translations carry what it has learnt from them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from nirgen import images
from nirgen.dataset.folder import read_bytes
from nirgen.dataset.plan import Leak
from nirgen.errors import ImageError
from nirgen.pairs.duplicates import Fingerprint, find_near_copies, fingerprint
from nirgen.progress import in_threads, or_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.inputs import RealImage
    from nirgen.dataset.plan import PlannedImage, TrainingPair
    from nirgen.progress import Progress


K = TypeVar("K")

SMALL_SIDE = 64
"""Side in pixels of the reduced image that a fingerprint is computed from."""


def find_leaks(planned: Sequence[PlannedImage], reals: Iterable[RealImage], lineage: LeakRule) -> list[Leak]:
    """Find validation and test images whose file or recording is in training, the generators' training included.

    Args:
        planned: The images of the dataset, sorted by key.
        reals: Its real images with their partners.
        lineage: Training of the generators.

    Returns:
        At most one leak for each image, in their order: by file rather than by recording.
    """
    known = {image.key: image for image in reals}
    train = [image for image in planned if image.split == "train"]
    files = _first((image.sha256, image.key) for image in train)
    sources = _first((image.source_sha256, image.key) for image in train if image.source_sha256)
    recordings = _first(
        ((image.origin, sequence), image.key)
        for image in train
        if image.kind == "real"
        for sequence in known[image.key].sequences
    )
    leaks = []
    for image in planned:
        if image.split == "train":
            continue
        real = known[image.key]
        copy, partner = files.get(image.sha256), sources.get(image.source_sha256 or "")
        names = ((image.origin, name) for name in real.sequences)
        fellow = next((recordings[name] for name in names if name in recordings), None)
        file = (
            lineage.file(real)
            or (copy and f"'{copy}', the same file")
            or (partner and f"'{partner}', whose RGB partner is the same file")
        )
        sequence = lineage.sequence(real) or (fellow and f"'{fellow}' of the same recording")
        if file:
            leaks.append(Leak("file", image.key, image.split, file))
        elif sequence:
            leaks.append(Leak("sequence", image.key, image.split, sequence))
    return leaks


def find_near_duplicates(
    planned: Sequence[PlannedImage], rgb: Mapping[str, Path], *, report: Progress | None = None
) -> list[Leak]:
    """Find validation and test images that look like a training image, RGB and real NIR files each among themselves.

    Args:
        planned: The images of the dataset, sorted by key.
        rgb: RGB files by image key, where known.
        report: Progress of reading images.

    Returns:
        At most one leak for each image.
    """
    train = [image for image in planned if image.split == "train"]
    judging = [image for image in planned if image.split != "train"]
    nir = {image.key: image.path for image in (*judging, *train) if image.kind == "real"}
    by_rgb = _near(judging, train, rgb, "compare RGB", report)
    by_nir = _near(judging, train, nir, "compare NIR", report)
    found = ((image, by_rgb.get(image.key) or by_nir.get(image.key)) for image in judging)
    return [Leak("near-duplicate", image.key, image.split, other) for image, other in found if other]


def _near(
    judging: Sequence[PlannedImage],
    train: Sequence[PlannedImage],
    files: Mapping[str, Path],
    what: str,
    report: Progress | None,
) -> dict[str, str]:
    """Return the nearest training image, as text, for each image that has a near copy among `files`."""
    sought, others = ([image.key for image in group if image.key in files] for group in (judging, train))
    if not sought or not others:
        return {}
    paths = [files[key] for key in (*sought, *others)]
    read = in_threads(or_error(_fingerprint, ImageError), paths, what, report)
    prints = [None if isinstance(each, ImageError) else each for each in read]
    copies = find_near_copies(prints[: len(sought)], prints[len(sought) :])
    return {
        sought[position]: f"'{others[other]}', of whose 64 bits {distance} differ"
        for position, (other, distance) in copies.items()
    }


def _fingerprint(path: Path) -> Fingerprint:
    return fingerprint(images.decode_small(read_bytes(path), str(path), SMALL_SIDE))


def _first(pairs: Iterable[tuple[K, str]]) -> dict[K, str]:
    found: dict[K, str] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


@dataclass(frozen=True)
class TrainingList:
    """Training pairs of a generator."""

    model_id: str
    files: Mapping[str, str]  # name of the pair by the sha256 of its images
    sequences: Mapping[str, str]  # name of the first pair by sequence

    @classmethod
    def each_of(cls, pairs: Iterable[TrainingPair]) -> list[Self]:
        """Return a list for each generator that the pairs trained."""
        files: defaultdict[str, dict[str, str]] = defaultdict(dict)
        sequences: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for pair in pairs:
            of_model, name = files[pair.model_id], pair.name or "unnamed"
            for sha256 in filter(None, (pair.rgb_sha256, pair.nir_sha256)):
                of_model.setdefault(sha256, name)
            if pair.sequence:
                sequences[pair.model_id].setdefault(pair.sequence, name)
        return [cls(model_id, of_model, sequences[model_id]) for model_id, of_model in files.items()]


class LeakRule:
    """Training data that contains real images or their recordings.

    Args:
        lists: Training pairs of all generators.
        images: All real images.
        generated: Generated images; their RGB sources may be partners of real images.
    """

    def __init__(
        self, lists: Sequence[TrainingList], images: Sequence[RealImage], generated: Sequence[PlannedImage]
    ) -> None:
        self._lists = lists
        self._known = [{image.origin for image in images if self._seen_file(each, image)} for each in lists]
        sources = {image.source_sha256: image.key for image in reversed(generated) if image.source_sha256}
        self._sources: dict[str, str] = sources
        self._translated: dict[tuple[str, str], str] = {}
        for image in images:
            if image.pair and image.pair.rgb_sha256 in sources:
                for sequence in image.sequences:
                    self._translated.setdefault((image.origin, sequence), sources[image.pair.rgb_sha256])

    def file(self, image: RealImage) -> str | None:
        """Return the training data that contains an image or its RGB partner, as text, or None."""
        for each in self._lists:
            pair = self._seen_file(each, image)
            if pair is not None:
                return f"pair '{pair}' that trained {each.model_id[:12]}"
        source = self._sources.get(image.pair.rgb_sha256) if image.pair else None
        return None if source is None else f"'{source}', translated from its RGB partner"

    def sequence(self, image: RealImage) -> str | None:
        """Return the training data that contains another image of its recording, as text, or None."""
        for each, origins in zip(self._lists, self._known, strict=True):
            for sequence in image.sequences or _folder(image.name):
                telling = image.origin in origins or (image.sequences and any(map(str.isalpha, sequence)))
                if telling and sequence in each.sequences:
                    return f"pair '{each.sequences[sequence]}' of '{sequence}' that trained {each.model_id[:12]}"
        for sequence in image.sequences:
            if (image.origin, sequence) in self._translated:
                return f"'{self._translated[image.origin, sequence]}', translated from an RGB frame of '{sequence}'"
        return None

    @staticmethod
    def _seen_file(each: TrainingList, image: RealImage) -> str | None:
        partner = image.pair.rgb_sha256 if image.pair else None
        return each.files.get(image.file.sha256) or (each.files.get(partner) if partner else None)


def _folder(name: str) -> tuple[str, ...]:
    """Return the folder of an image, which may be its recording."""
    folder = name.rpartition("/")[0]
    return (folder,) if folder else ()
