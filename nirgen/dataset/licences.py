"""What may be done with a dataset, as far as its parts say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen.errors import ConfigError
from nirgen.labels.licences import Licences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.dataset.plan import LabelInput, Plan

UNKNOWN = "unknown"

_RESTRICTING = re.compile(
    r"non-?\s?commercial|not[ -]for[ -]profit|\bnc\b|research|academic|educat|\bnd\b|no-?\s?deriv", re.IGNORECASE
)


@dataclass(frozen=True)
class Part:
    """A part of a dataset that has a licence of its own.

    Attributes:
        what: The part, in words.
        licence: As the part states it; `unknown` where it doesn't.
    """

    what: str
    licence: str

    @property
    def restricted(self) -> bool:
        """Whether the licence names a use that it doesn't allow, such as a commercial one."""
        return is_restricted(self.licence)


def is_restricted(licence: str) -> bool:
    """Whether a licence, going by its words, doesn't allow every use.

    Example:
        >>> is_restricted("CC BY-NC 4.0"), is_restricted("research only"), is_restricted("CC BY 4.0")
        (True, True, False)
    """
    return _RESTRICTING.search(licence) is not None


def parts_of(plan: Plan) -> list[Part]:
    """The parts of a dataset with their licences: models first, then labels and the images that they describe."""
    parts = [Part(f"model {each.model_id[:8]}, which made '{each.origin}'", each.licence) for each in plan.generators]
    for labels in plan.label_files:
        stated = [" ".join(filter(None, (entry.get("name"), entry.get("url")))) for entry in labels.licenses]
        what = f"images and labels of '{labels.origin}' ({labels.name})"
        parts += [Part(what, licence) for licence in dict.fromkeys(filter(None, stated))] or [Part(what, UNKNOWN)]
    return list(dict.fromkeys(parts))


def check_licence(plan: Plan) -> None:
    """Refuse a licence for the dataset that allows what one of its parts doesn't.

    The rule is simple: if the licence of any part names a restriction (non-commercial, research, education, no
    derivatives), so must the dataset's.

    Raises:
        ConfigError: It doesn't.
    """
    asked = plan.config.licence
    if asked is None or is_restricted(asked):
        return
    for part in parts_of(plan):
        if part.restricted:
            raise ConfigError(
                f"licence {asked!r}: the {part.what} says '{part.licence}', which is stricter; name a licence that "
                "keeps that restriction, or leave --licence out"
            )


def merge_licences(label_files: Sequence[LabelInput]) -> tuple[list[dict[str, Any]], dict[tuple[int, Any], int]]:
    """The COCO `licenses` of several label files as one list.

    Returns:
        The list, and the ids in it of licences that lost theirs to another one, by the position of their label file and
        their id there.
    """
    merged = Licences()
    renumbered: dict[tuple[int, Any], int] = {}
    for position, labels in enumerate(label_files):
        renumbered |= {(position, old): new for old, new in merged.add(labels.licenses).items()}
    return merged.all, renumbered
