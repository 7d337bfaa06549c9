"""How many generated images a dataset takes, and which."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING

from nirgen.errors import ConfigError
from nirgen.labels.file import box_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.plan import PlannedImage

UNKNOWN = "unknown"
"""The stratum of images without the attribute."""


def sample(images: Sequence[PlannedImage], real_training: int, config: DatasetConfig) -> list[PlannedImage]:
    """Choose generated images.

    Images are put into an order of their own, by the sha256 of seed and key, so that the choice doesn't depend on the
    order of inputs, and a larger limit only adds to a smaller one.

    Args:
        images: All generated images.
        real_training: How many real images the training split has.
        config: What was asked for.

    Returns:
        The chosen ones, sorted by key.

    Raises:
        ConfigError: They are to be balanced by an attribute that none of them has.
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
    """Images so that the values of an attribute take turns, as long as they last."""
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
    """Images so that the class with the fewest boxes so far is always served next; those without boxes come last."""
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
