"""Which labels of a detector are which of our categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.errors import ConfigError
from nirgen.labels.policy import Policy, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

_POLICIES = ("default", "bdd100k")
"""Their tables say what else a category is called, the first that knows a label and has its category."""


def find_sources(labels: Sequence[str], categories: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Find the labels that each category is made of.

    A label belongs to the category of its own name; else to the one that the built-in policies take it for, such as
    `truck` for `car`; else to none.

    Args:
        labels: Of a detector, in its order.
        categories: Ours.

    Returns:
        For each category the positions of its labels, that of its own name first; empty where none is.

    Example:
        >>> find_sources(["person", "bicycle", "car", "motorbike", "aeroplane", "bus"], ["person", "bicycle", "car"])
        ((0,), (1, 3), (2, 5))
    """
    found: dict[str, list[int]] = {normalise(name): [] for name in categories}
    tables = [Policy.load(name).fates() for name in _POLICIES]
    for position, label in enumerate(map(normalise, labels)):
        takes = [fates[label].category for fates in tables if label in fates and fates[label].kind == "take"]
        owner = next((name for name in (label, *takes) if name in found), None)
        if owner == label:
            found[owner].insert(0, position)
        elif owner is not None:
            found[owner].append(position)
    return tuple(tuple(found[normalise(name)]) for name in categories)


def refuse_unknown(
    name: str, labels: Sequence[str], categories: Sequence[str], sources: Sequence[Sequence[int]]
) -> None:
    """Refuse categories that none of a detector's labels is.

    Args:
        name: Of the detector, for the error.
        labels: Its own.
        categories: Ours.
        sources: What `find_sources` gave for them.

    Raises:
        ConfigError: A category has no label.
    """
    unknown = [category for category, positions in zip(categories, sources, strict=True) if not positions]
    if unknown:
        shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        raise ConfigError(
            f"{name}: knows no {' and no '.join(repr(one) for one in unknown)} (its labels: {shown}); train it on them "
            "with 'nirgen detect train', or choose other classes with 'nirgen labels --policy'"
        )
