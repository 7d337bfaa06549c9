"""Class policies: which names of a source become which class, and which are ignored or dropped.

Built-in policies are YAML files in `policies/`; a user's policy is a file of the same form.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import model_validator

from nirgen.config import FrozenConfig
from nirgen.errors import ConfigError, NirgenError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


BUILT_IN = ("default", "paper", "bdd100k", "identity")
"""The policies of nirgen."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a name's labels.

    Attributes:
        kind: `take`: they are of the class; `ignore`: they mark regions of it to ignore; `drop`: they are left out;
            `unknown`: nothing says it.
        category: The class, if they have one.
    """

    kind: Literal["take", "ignore", "drop", "unknown"]
    category: str | None = None


class ClassRule(FrozenConfig):
    """A class and what it takes; names match in any case, with `_`, `-` and spaces alike.

    Attributes:
        name: What detectors call it.
        supercategory: What groups it; not the name of a class, or some detectors drop that.
        take: The names whose labels are of this class.
        ignore: The names whose labels are regions to ignore (`iscrowd` 1).
    """

    name: str
    supercategory: str = "thing"
    take: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


class Policy(FrozenConfig):
    """What becomes of each name.

    Attributes:
        name: What the labels file says of it: its name, or that of its file.
        about: One line for people.
        classes: In the order of their ids, from 1.
        drop: The names whose labels are left out.
        others: What a name that stands nowhere does: stop, or drop its labels.
        keep: Whether every class stays as in the source, and nothing else counts.
    """

    name: str
    about: str = ""
    classes: tuple[ClassRule, ...] = ()
    drop: tuple[str, ...] = ()
    others: Literal["stop", "drop"] = "stop"
    keep: bool = False

    @classmethod
    def load(cls, policy: str | Path) -> Self:
        """Read a policy.

        Args:
            policy: A name in `BUILT_IN`, or a YAML file.

        Returns:
            The policy.

        Raises:
            ConfigError: It isn't there, has an unknown key (the nearest is named), or contradicts itself.
        """
        if policy in BUILT_IN:
            text = (resources.files("nirgen.labels") / "policies" / f"{policy}.yaml").read_text(encoding="utf-8")
            return cls.read({"name": policy, **yaml.safe_load(text)}, where=f"policy '{policy}'")
        path = Path(policy)
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"policy '{policy}': no file that can be read ({error.strerror}), and none of "
                f"{', '.join(BUILT_IN)}{nearest(str(policy), BUILT_IN)}"
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: no YAML ({' '.join(str(error).split())}); correct it") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: no policy; it needs 'classes', a list of name, supercategory, take and ignore")
        return cls.read({"name": path.name, **values}, where=str(path))

    def fate(self, name: str) -> Fate:
        """What becomes of the labels that a source calls by a name."""
        if self.keep:
            return Fate("take", name)
        return self.fates().get(normalise(name), Fate("drop" if self.others == "drop" else "unknown"))

    def fates(self) -> dict[str, Fate]:
        """What becomes of each name that the policy knows, names as `normalise` has them."""
        found = {normalise(name): Fate("drop") for name in self.drop}
        for rule in self.classes:
            found |= {normalise(name): Fate("take", rule.name) for name in rule.take}
            found |= {normalise(name): Fate("ignore", rule.name) for name in rule.ignore}
        return found

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [*self.drop, *(name for rule in self.classes for name in (*rule.take, *rule.ignore))]
        _refuse_repeated([normalise(name) for name in named], "is named twice, and can have one fate only")
        _refuse_repeated([rule.name for rule in self.classes], "is the name of two classes")
        classes = {rule.name for rule in self.classes}
        clash = next((rule.supercategory for rule in self.classes if rule.supercategory in classes), None)
        if clash is not None:
            raise ValueError(f"the supercategory '{clash}' is the name of a class, which some detectors then drop")
        if self.keep == bool(self.classes or self.drop):
            raise ValueError("it needs 'classes', or 'keep: true' alone")
        return self


def normalise(name: str) -> str:
    """A name as policies compare it.

    Example:
        >>> normalise("Person_sitting"), normalise("fire-hydrant ")
        ('person sitting', 'fire hydrant')
    """
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _refuse_repeated(names: list[str], what: str) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"'{twice}' {what}")


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
