"""Splits of real images, and the sample of generated images."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING

from nirgen.errors import ConfigError, NirgenError
from nirgen.labels.file import box_counts
from nirgen.pairs.find import divide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.inputs import RealImage
    from nirgen.dataset.plan import PlannedImage


def assign_splits(images: Sequence[RealImage], locked: Sequence[bool], config: DatasetConfig) -> list[str]:
    """Return the split of each real image.

    Splits by labels or a list of pairs stay. Other images are assigned by whole recordings: to `train` if the recording
    has trained a generator, to the split of its other images if these have one, else so that the shares come near to
    `config.splits`.

    Args:
        images: In any order.
        locked: For each image, True if it or its recording has trained a generator.
        config: Settings of the dataset.

    Raises:
        NirgenError: An image has no split and no shares are given; a recording is unknown; or there are fewer
            recordings than splits.
    """
    splits = [image.split for image in images]
    lone = [image for image in images if image.split is None]
    if lone and config.splits is None:
        raise NirgenError(
            f"{len(lone)} of {len(images)} real images, such as '{min(image.key for image in lone)}', have no split; "
            "divide them with --split train=0.8,val=0.1,test=0.1, or name their list of pairs with --real-pairs"
        )
    if not lone or config.splits is None:
        return [split or "train" for split in splits]
    units = [_unit(image, config.split_by) for image in images]
    settled = {unit: split for unit, split in zip(units, splits, strict=True) if split}
    settled |= {unit: "train" for unit, lock in zip(units, locked, strict=True) if lock and unit not in settled}
    settled |= _deal([unit for unit, split in zip(units, splits, strict=True) if not split], settled, config)
    return [split or settled[unit] for unit, split in zip(units, splits, strict=True)]


def _unit(image: RealImage, split_by: str) -> str:
    """Return the unit that a split keeps whole: the recording with its input, or the image."""
    if split_by == "frame":
        return image.key
    sequence = next(iter(image.sequences), "") or image.name.rpartition("/")[0]
    if not sequence and image.split is None:
        raise NirgenError(
            f"{image.path}: of no known recording, and splits don't cut recordings; name its list of pairs with "
            "--real-pairs, or ask for a frame-wise split with --split-by frame"
        )
    return f"{image.origin}/{sequence or image.name}"


def _deal(units: Sequence[str], settled: Mapping[str, str], config: DatasetConfig) -> dict[str, str]:
    """Return the splits of units that have none; `units` has one entry for each image."""
    rest = sorted(unit for unit in units if unit not in settled)
    given = Counter(settled[unit] for unit in units if unit in settled)
    shares = config.splits or {}
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
    return dict(zip(rest, divide(rest, open_to, seed=config.seed), strict=True))


UNKNOWN = "unknown"
"""Stratum of images without the attribute."""


def sample(images: Sequence[PlannedImage], real_training: int, config: DatasetConfig) -> list[PlannedImage]:
    """Sample generated images, and return them sorted by key.

    Images are ordered by the sha256 of seed and key: the sample doesn't depend on the order of inputs, and a larger
    limit only adds images.

    Args:
        images: All generated images.
        real_training: Number of real training images.
        config: Settings of the dataset.

    Raises:
        ConfigError: No image has the attribute to balance by.
    """
    limit = _limit(len(images), real_training, config)
    ordered = sorted(images, key=lambda image: _rank(config.seed, image.key))
    if config.balance == "class":
        ordered = _by_class(ordered, limit)
    elif config.balance is not None:
        ordered = _by_attribute(ordered, config.balance)
    return sorted(ordered[:limit], key=lambda image: image.key)


def _limit(available: int, real_training: int, config: DatasetConfig) -> int:
    limits = [available]
    if config.limit is not None:
        limits.append(config.limit)
    if config.generated_per_real is not None:
        limits.append(round(config.generated_per_real * real_training))
    return min(limits)


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed} {key}".encode()).digest()


def _by_attribute(ordered: Sequence[PlannedImage], attribute: str) -> list[PlannedImage]:
    """Order images so that the values of an attribute take turns."""
    strata: dict[str, deque[PlannedImage]] = defaultdict(deque)
    for image in ordered:
        attributes: Mapping[str, object] = image.labels.attributes if image.labels else {}
        strata[str(attributes.get(attribute, UNKNOWN))].append(image)
    if ordered and set(strata) == {UNKNOWN}:
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
