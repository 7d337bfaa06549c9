"""Base of networks of other programs."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


class ForeignNetwork(ABC):
    """A network, of which only inputs and outputs are known.

    Attributes:
        id: Sha256 of what decides its outputs.
        header: Description for manifests.
        stride: Heights and widths of its inputs are multiples of this.
        window: (height, width) of all its inputs; None if it takes any.
    """

    id: str
    header: dict[str, Any]
    stride: int
    window: tuple[int, int] | None = None

    @abstractmethod
    def intensities(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map one image, (H, W, 3) uint8, to (H, W) float32 in [0, 1]; ShapeError if the network fails."""

    def load(self) -> None:  # noqa: B027 - most have read them
        """Read the weights, if they weren't yet, before the first image; errors as `open_network`."""

    def count_parameters(self) -> int | None:
        """Return the number of the network's values; None where it can't be known."""
        return None

    def describe(self, kind: str, facts: Mapping[str, Any], licence: str) -> None:
        """Set id and header by the facts that decide the outputs."""
        text = repr(sorted(facts.items()))
        self.id = hashlib.sha256(f"{kind} {text}".encode()).hexdigest()
        self.header = {
            "model_id": self.id,
            "licence": licence,
            "provenance": f"made elsewhere: {kind}",
            "architecture": {"kind": kind, **facts},
            "training": {},
        }
