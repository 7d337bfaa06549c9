"""Class policies: YAML files that map class names of a source to classes, regions to ignore, or nothing."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from nirgen.config import FrozenConfig, parse_yaml
from nirgen.errors import ConfigError, NirgenError, nearest, one_line
from nirgen.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


BUILT_IN = ("default", "paper", "bdd100k", "identity")


@dataclass(frozen=True, slots=True)
class Fate:
    """Treatment of the labels of one name."""

    kind: Literal["take", "ignore", "drop", "unknown"]  # ignore: they become regions to ignore
    category: str | None = None


class ClassRule(FrozenConfig):
    """A class and the names that it takes; names match in any case, with `_`, `-` and spaces alike."""

    name: str
    supercategory: str = "thing"  # not the name of a class, or some detectors drop that class
    take: tuple[str, ...] = ()  # names whose labels are of this class
    ignore: tuple[str, ...] = ()  # names whose labels are regions to ignore (`iscrowd` 1)


class Policy(FrozenConfig):
    """Treatment of each class name."""

    name: str
    about: str = ""  # one line for users
    classes: tuple[ClassRule, ...] = ()  # in the order of their ids, from 1
    drop: tuple[str, ...] = ()  # names whose labels are dropped
    others: Literal["stop", "drop"] = "stop"  # action at other names: stop, or drop their labels
    keep: bool = False  # keep every class of the source; excludes `classes` and `drop`

    @classmethod
    def load(cls, policy: str | Path) -> Self:
        """Read a built-in policy by its name, or a YAML file."""
        if policy in BUILT_IN:
            text = (resources.files("nirgen.labels") / "policies" / f"{policy}.yaml").read_text(encoding="utf-8")
            return cls.read({"name": policy, **parse_yaml(text)}, where=f"policy '{policy}'")
        path = Path(policy)
        try:
            values = parse_yaml(read_bytes(path))
        except OSError as error:
            raise ConfigError(
                f"policy '{policy}': no readable file ({error.strerror}), and none of "
                f"{', '.join(BUILT_IN)}{nearest(str(policy), BUILT_IN)}"
            ) from None
        except ValueError as error:
            raise ConfigError(f"{path}: no YAML ({one_line(error, 300)}); correct it") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: no policy; write 'classes', a list of name, supercategory, take and ignore")
        return cls.read({"name": path.name, **values}, where=str(path))

    def fate(self, name: str) -> Fate:
        """Return the treatment of one name of a source."""
        if self.keep:
            return Fate("take", name)
        return self.fates().get(normalise(name), Fate("drop" if self.others == "drop" else "unknown"))

    def fates(self) -> dict[str, Fate]:
        """Return the treatment of each known name; names are normalised."""
        found = {normalise(name): Fate("drop") for name in self.drop}
        for rule in self.classes:
            found |= {normalise(name): Fate("take", rule.name) for name in rule.take}
            found |= {normalise(name): Fate("ignore", rule.name) for name in rule.ignore}
        return found

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [*self.drop, *(name for rule in self.classes for name in (*rule.take, *rule.ignore))]
        classes = [rule.name for rule in self.classes]
        for name, count in Counter(normalise(name) for name in named).items():
            if count > 1:
                raise ValueError(f"'{name}' is named twice; name it once")
        for name, count in Counter(classes).items():
            if count > 1:
                raise ValueError(f"'{name}' is the name of two classes; rename one")
        clash = next((rule.supercategory for rule in self.classes if rule.supercategory in classes), None)
        if clash is not None:
            raise ValueError(f"the supercategory '{clash}' is the name of a class, too; rename it")
        if self.keep == bool(self.classes or self.drop):
            raise ValueError("write 'classes', or 'keep: true' alone")
        return self


def normalise(name: str) -> str:
    """Return a name in the form in which policies compare names.

    Example:
        >>> normalise("Person_sitting"), normalise("fire-hydrant ")
        ('person sitting', 'fire hydrant')
    """
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def source_categories(lists: Iterable[Sequence[Mapping[str, Any]]], names: set[str]) -> list[dict[str, Any]]:
    """Join the class lists of all sources by name; `names` of labels that no list has are appended in sorted order.

    The ids stay if they are unique whole numbers from 1; otherwise the classes are numbered from 1.
    """
    found: dict[str, dict[str, Any]] = {}
    for categories in lists:
        for name, count in Counter(category["name"] for category in categories).items():
            if count > 1:
                raise NirgenError(f"{count} categories are named '{name}'; rename one, or choose a policy")
        for category in categories:
            found.setdefault(category["name"], dict(category))
    found |= {name: {"name": name} for name in sorted(names - found.keys())}
    ids = [category.get("id") for category in found.values()]
    if len(set(ids)) == len(ids) and all(isinstance(number, int) and number > 0 for number in ids):
        return list(found.values())
    return [{**category, "id": number} for number, category in enumerate(found.values(), start=1)]
