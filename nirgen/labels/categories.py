"""The classes of a labels file: a policy's, or the sources' own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nirgen.labels.policy import Policy


def policy_categories(policy: Policy) -> list[dict[str, Any]]:
    """The classes of a policy, with ids from 1 in its order."""
    return [
        {"id": number, "name": rule.name, "supercategory": rule.supercategory}
        for number, rule in enumerate(policy.classes, start=1)
    ]


def source_categories(lists: Iterable[Sequence[Mapping[str, Any]]], names: set[str]) -> list[dict[str, Any]]:
    """The sources' own classes, joined by name.

    Args:
        lists: Those of each source, which may have none.
        names: All that labels are called.

    Returns:
        The classes as listed, then those that no source lists, sorted. Their ids are the sources' if these are all
        whole numbers from 1 on and no two the same, else they are counted from 1.

    Raises:
        NirgenError: A source lists a name twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for categories in lists:
        for name, count in Counter(category["name"] for category in categories).items():
            if count > 1:
                raise NirgenError(f"{count} categories are named '{name}'; give each its own name, or choose a policy")
        for category in categories:
            found.setdefault(category["name"], dict(category))
    for name in sorted(names - found.keys()):
        found[name] = {"name": name}
    ids = [category.get("id") for category in found.values()]
    if len(set(ids)) == len(ids) and all(isinstance(number, int) and number > 0 for number in ids):
        return list(found.values())
    return [{**category, "id": number} for number, category in enumerate(found.values(), start=1)]
