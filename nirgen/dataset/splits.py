"""Which real images train a detector and which judge it; generated ones only train."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.pairs.splitting import divide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.real import RealImage


def assign_splits(images: Sequence[RealImage], locked: Sequence[bool], config: DatasetConfig) -> list[str]:
    """Choose a split for each real image.

    What labels or a list of pairs say stays. The others are dealt by whole recordings: into `train` where one has
    trained a generator, into the split of its other images where these have one, else so that the shares in all
    images to be dealt are near to those asked.

    Args:
        images: In any order.
        locked: Of each image, whether it or its recording has trained a generator.
        config: What was asked for.

    Returns:
        The split of each image.

    Raises:
        NirgenError: An image has no split, and no shares were asked for; or no known recording, and recordings are to
            stay whole; or there are fewer recordings than splits to be filled.
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
    """What a split keeps whole, with its input: the recording that the image is of, or the image."""
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
    """The splits of units that have none yet, one unit for each image to be dealt."""
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
