"""Splits of real images, the sample of generated ones, and leaks: images of val or test that training has seen.

The pairs that trained a generator count as training, because its translations carry what it has learnt from them.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from nirgen import images
from nirgen.dataset.folder import read_image
from nirgen.dataset.plan import Leak, PlannedImage
from nirgen.errors import ConfigError, ImageError, NirgenError
from nirgen.labels.file import box_counts
from nirgen.pairs.duplicates import Fingerprint, find_near_copies, fingerprint
from nirgen.pairs.find import divide
from nirgen.progress import in_threads, or_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.inputs import RealImage
    from nirgen.dataset.plan import TrainingPair
    from nirgen.progress import Progress


def assign_splits(
    reals: Sequence[RealImage], locked: Sequence[bool], shares: Mapping[str, float] | None, split_by: str, seed: int
) -> list[str]:
    """Return the split of each real image.

    Splits by labels or a list of pairs stay. Other images are assigned by whole recordings: to `train` if the recording
    has trained a generator (`locked`, for each image), to the split of its other images if these have one, else so that
    the splits come near to their `shares`. Images are assigned one by one if `split_by` is "frame".
    """
    splits = [image.split for image in reals]
    lone = [image for image in reals if image.split is None]
    stray = [image for image in lone if recording_of(image) is None] if split_by == "sequence" else []
    if lone and shares is None:
        where = " --split-by frame, as they are of no known recording" if stray else ""
        raise NirgenError(
            f"{len(lone)} of {len(reals)} real images, such as '{min(image.key for image in lone)}', have no split; "
            f"divide them with --split train=0.8,val=0.1,test=0.1{where}, or name their list of pairs with --real-pairs"
        )
    if stray:
        raise NirgenError(
            f"{len(stray)} of {len(reals)} real images, such as '{stray[0].key}', are of no known recording, and "
            "splits don't cut recordings; give each recording a folder or a 'sequence' in the labels, name the list of "
            "pairs with --real-pairs, or, if no two images show the same place, split them with --split-by frame"
        )
    if not lone or shares is None:
        return [split or "train" for split in splits]
    units = [image.key if split_by == "frame" else _recording(image) for image in reals]
    settled = {unit: split for unit, split in zip(units, splits, strict=True) if split}
    settled |= {unit: "train" for unit, lock in zip(units, locked, strict=True) if lock and unit not in settled}
    settled |= _deal([unit for unit, split in zip(units, splits, strict=True) if not split], settled, shares, seed)
    return [split or settled[unit] for unit, split in zip(units, splits, strict=True)]


def recording_of(image: RealImage | PlannedImage) -> str | None:
    """Return the recording of a real image: by its labels or pair, or else by its folder; None if it is unknown."""
    folder = image.key.removeprefix(f"{image.origin}/").rpartition("/")[0]
    sequence = image.sequence if isinstance(image, PlannedImage) else next(iter(image.sequences), None)
    return sequence or folder or None


def _recording(image: RealImage) -> str:
    return f"{image.origin}/{recording_of(image) or image.name}"


def _deal(units: Sequence[str], settled: Mapping[str, str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return the splits of units that have none; `units` has one entry for each image."""
    rest = sorted(unit for unit in units if unit not in settled)
    given = Counter(settled[unit] for unit in units if unit in settled)
    lacking = {split: max(share * len(units) - given[split], 0.0) for split, share in shares.items()}
    open_to = {split: count / sum(lacking.values()) for split, count in lacking.items() if count > 0}
    if not rest and set(shares) <= set(settled.values()):
        return {}
    if len(set(rest)) < len(open_to):
        raise NirgenError(
            f"{len(set(rest))} recording(s) of {len(rest)} real image(s) that may be dealt can't fill the split(s) "
            f"{', '.join(open_to)}; add recordings that no generator was trained on, or ask for fewer splits "
            "(--split-by frame cuts recordings)"
        )
    return dict(zip(rest, divide(rest, open_to, seed=seed), strict=True))


def most_generated(limit: int | None, per_real: float | None, real_training: int) -> int:
    """Return the maximum of generated images: `limit` in all, and `per_real` for each real training image."""
    limits = [sys.maxsize if limit is None else limit]
    if per_real is not None:
        limits.append(round(per_real * real_training))
    return min(limits)


def sample(generated: Sequence[PlannedImage], limit: int, balance: str | None, seed: int) -> list[PlannedImage]:
    """Sample generated images, and return them sorted by key.

    Images are ordered by the sha256 of seed and key: the sample doesn't depend on the order of inputs, and a larger
    limit only adds images. `balance` is "class" or the attribute whose values take turns.
    """
    ordered = sorted(generated, key=lambda image: hashlib.sha256(f"{seed} {image.key}".encode()).digest())
    if balance == "class":
        ordered = _by_class(ordered, limit)
    elif balance is not None:
        ordered = _by_attribute(ordered, balance)
    return sorted(ordered[:limit], key=lambda image: image.key)


def _by_attribute(ordered: Sequence[PlannedImage], attribute: str) -> list[PlannedImage]:
    """Order images so that the values of an attribute take turns; "unknown" is that of images without it."""
    strata: dict[str, deque[PlannedImage]] = defaultdict(deque)
    for image in ordered:
        attributes: Mapping[str, object] = image.labels.attributes if image.labels else {}
        strata[str(attributes.get(attribute, "unknown"))].append(image)
    if ordered and set(strata) == {"unknown"}:
        raise ConfigError(f"no label entry has the attribute '{attribute}'; balance by class, or not at all")
    turns: list[PlannedImage] = []
    while strata:
        for value in sorted(strata):
            turns.append(strata[value].popleft())
            if not strata[value]:
                del strata[value]
    return turns


def _by_class(ordered: Sequence[PlannedImage], limit: int) -> list[PlannedImage]:
    """Order images so that the class with the fewest boxes so far comes next; images without boxes come last."""
    counts = {image.key: box_counts(image.labels) if image.labels else Counter[int]() for image in ordered}
    queues: dict[int, deque[PlannedImage]] = defaultdict(deque)
    for image in ordered:
        for category in counts[image.key]:
            queues[category].append(image)
    chosen: dict[str, PlannedImage] = {}
    boxes = Counter[int]()
    while queues and len(chosen) < limit:
        category = min(queues, key=lambda each: (boxes[each], each))
        image = queues[category].popleft()
        if not queues[category]:
            del queues[category]
        if image.key not in chosen:
            chosen[image.key] = image
            boxes += counts[image.key]
    return [*chosen.values(), *(image for image in ordered if image.key not in chosen)]


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

    def pair_of(self, image: RealImage) -> str | None:
        """Return the name of the pair that has an image or its RGB partner, or None."""
        return self.files.get(image.file.sha256) or (self.files.get(image.pair.rgb_sha256) if image.pair else None)


class Lineage:
    """Training of the generators, searched for real images and their recordings.

    Args:
        pairs: That trained the generators.
        reals: All real images.
        generated: Generated images; their RGB sources may be partners of real images.
    """

    def __init__(
        self, pairs: Iterable[TrainingPair], reals: Sequence[RealImage], generated: Sequence[PlannedImage]
    ) -> None:
        self._lists = TrainingList.each_of(pairs)
        self._known = [{image.origin for image in reals if each.pair_of(image)} for each in self._lists]
        self._sources = {image.source_sha256: image.key for image in reversed(generated) if image.source_sha256}
        self._translated: dict[tuple[str, str], str] = {}
        for image in reals:
            if image.pair and image.pair.rgb_sha256 in self._sources:
                for sequence in image.sequences:
                    self._translated.setdefault((image.origin, sequence), self._sources[image.pair.rgb_sha256])

    def file(self, image: RealImage) -> str | None:
        """Return the training data that contains an image or its RGB partner, as text, or None."""
        for each in self._lists:
            if pair := each.pair_of(image):
                return f"pair '{pair}' that trained {each.model_id[:12]}"
        source = self._sources.get(image.pair.rgb_sha256) if image.pair else None
        return None if source is None else f"'{source}', translated from its RGB partner"

    def sequence(self, image: RealImage) -> str | None:
        """Return the training data that contains another image of its recording, as text, or None."""
        folder = image.name.rpartition("/")[0]  # may be the recording
        for each, origins in zip(self._lists, self._known, strict=True):
            for sequence in image.sequences or filter(None, [folder]):
                telling = image.origin in origins or (image.sequences and any(map(str.isalpha, sequence)))
                if telling and sequence in each.sequences:
                    return f"pair '{each.sequences[sequence]}' of '{sequence}' that trained {each.model_id[:12]}"
        for sequence in image.sequences:
            if (image.origin, sequence) in self._translated:
                return f"'{self._translated[image.origin, sequence]}', translated from an RGB frame of '{sequence}'"
        return None


def find_leaks(planned: Sequence[PlannedImage], reals: Iterable[RealImage], lineage: Lineage) -> list[Leak]:
    """Find validation and test images whose file or recording is in training, the generators' training included.

    `planned` is sorted by key.

    Returns:
        At most one leak for each image, in their order: by file rather than by recording.
    """
    known = {image.key: image for image in reals}
    train = [image for image in reversed(planned) if image.split == "train"]  # reversed: the first of several stays
    files = {image.sha256: image.key for image in train}
    sources = {image.source_sha256: image.key for image in train if image.source_sha256}
    recordings = {
        (image.origin, sequence): image.key
        for image in train
        if image.kind == "real"
        for sequence in known[image.key].sequences
    }
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


SMALL_SIDE = 64  # pixels of the reduced image that a fingerprint is computed from


def find_near_duplicates(
    planned: Sequence[PlannedImage], rgb: Mapping[str, Path], report: Progress | None
) -> list[Leak]:
    """Find validation and test images that look like a training image, RGB and real NIR files each among themselves.

    `planned` is sorted by key; `rgb` has the RGB files by image key, where known.

    Returns:
        At most one leak for each image.
    """
    train = [image for image in planned if image.split == "train"]
    judging = [image for image in planned if image.split != "train"]
    nir = {image.key: image.path for image in planned if image.kind == "real"}
    near: dict[str, str] = {}
    for files, stage in ((rgb, "compare RGB"), (nir, "compare NIR")):
        sought, others = ([image.key for image in group if image.key in files] for group in (judging, train))
        if not sought or not others:
            continue
        paths = [files[key] for key in (*sought, *others)]
        read = in_threads(or_error(_fingerprint, ImageError), paths, stage, report)
        prints = [None if isinstance(each, ImageError) else each for each in read]
        copies = find_near_copies(prints[: len(sought)], prints[len(sought) :])
        for place, (other, distance) in copies.items():
            near.setdefault(sought[place], f"'{others[other]}', of whose 64 bits {distance} differ")
    return [Leak("near-duplicate", image.key, image.split, near[image.key]) for image in judging if image.key in near]


def _fingerprint(path: Path) -> Fingerprint:
    return fingerprint(images.decode_small(read_image(path), str(path), SMALL_SIDE))
