"""The licences of images, which COCO files number each in their own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Licences:
    """The licences of several sources under one numbering.

    Attributes:
        all: As the sources have them, but for the ids of those that clash.
    """

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def add(self, licences: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
        """Add those of a source.

        Returns:
            The new ids of licences whose own id stands for another one already.
        """
        renumbered: dict[Any, int] = {}
        for licence in licences:
            taken = {other.get("id"): other for other in self.all}
            number = licence.get("id")
            if number not in taken:
                self.all.append(dict(licence))
            elif taken[number] != licence:
                renumbered[number] = self._number_of(licence)
        return renumbered

    def _number_of(self, licence: Mapping[str, Any]) -> int:
        """The id of a licence that was renumbered before, or a free one."""
        for other in self.all:
            if {**other, "id": None} == {**licence, "id": None}:
                return int(other["id"])
        number: int = 1 + max((other["id"] for other in self.all if isinstance(other.get("id"), int)), default=0)
        self.all.append({**licence, "id": number})
        return number
