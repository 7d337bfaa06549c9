"""A detector: images in, boxes of the dataset's categories out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nirgen import images
from nirgen.detect.networks import read_network
from nirgen.devices import choose_device
from nirgen.errors import ConfigError, ModelError
from nirgen.labels.policy import Policy, normalise
from nirgen.models.checkpoint import model_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from nirgen.detect.networks import Network


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


KEEP = 100
"""Most boxes of an image, as COCO counts."""
BATCH = 8
"""Images that the network sees at once."""
MODEL_FOLDER = "model"
"""In a run folder: what was trained, as transformers and `load_detector` read it."""
ABOUT = "nirgen.json"
"""In that folder: what trained it."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found on one image.

    Attributes:
        boxes: (n, 4) float64, COCO xywh in pixels of the image as it was given, inside of it.
        scores: (n,) float64 in [0, 1], falling.
        categories: (n,) int64, positions in the detector's `names`.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    categories: NDArray[np.int64]


@dataclass(frozen=True)
class Detector:
    """A network of transformers', and how its labels become our categories.

    Attributes:
        network: With the labels that it was trained to tell apart.
        names: Our categories.
        sources: For each of them the positions of the network's labels that are it; its score is the highest of theirs.
        size: S, in pixels: images are squashed to it.
    """

    network: Network
    names: tuple[str, ...]
    sources: tuple[tuple[int, ...], ...]
    size: int

    @property
    def model(self) -> nn.Module:
        """Takes (N, 3, S, S) float; gives `logits` (N, queries, labels) and `pred_boxes` (N, queries, 4), cxcywh."""
        return self.network.model

    @property
    def id(self) -> str:
        """Sha256 of the model's kind and its tensors as they are now."""
        return model_id(self.model.state_dict(), {"kind": str(self._config.model_type)})

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def _config(self) -> Any:
        return self.model.config

    def predict(self, pictures: Sequence[NDArray[np.uint8]], *, keep: int = KEEP) -> list[Detections]:
        """Find what is on images.

        Args:
            pictures: Each (H, W, 3) uint8, of any size.
            keep: Most boxes of an image; those with the highest scores stay.

        Returns:
            What was found, an entry an image. The model is left in evaluation mode.
        """
        self.model.eval()
        found = []
        for start in range(0, len(pictures), BATCH):
            part = pictures[start : start + BATCH]
            with torch.inference_mode():
                outputs = self.model(pixel_values=self.pixels(part))
            shapes = [picture.shape[:2] for picture in part]
            boxes = outputs.pred_boxes.cpu().double().numpy()  # not every device has doubles
            for shares, scores, (height, width) in zip(boxes, self._scores(outputs.logits), shapes, strict=True):
                found.append(_best(shares, scores, height, width, keep))
        return found

    def pixels(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Images as the model takes them.

        Args:
            pictures: Each (H, W, 3) uint8.

        Returns:
            (N, 3, S, S) float32 on the model's device.
        """
        squashed = [images.resize(picture, (self.size, self.size), resample="bilinear") for picture in pictures]
        return self.network.normalise(torch.from_numpy(np.stack(squashed)).to(self.device))

    def _scores(self, logits: Tensor) -> NDArray[np.float64]:
        """(N, queries, labels) as (N, queries, categories) in [0, 1]."""
        scores = logits.cpu().double().sigmoid()
        return torch.stack([scores[..., list(which)].amax(-1) for which in self.sources], dim=-1).numpy()


def load_detector(
    name: str | Path,
    *,
    categories: Sequence[str],
    device: str | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Detector:
    """Load a detector that knows our categories, such as one that COCO trained, as it is.

    Args:
        name: A run folder of `nirgen detect train`, a folder that transformers wrote, an id of the hub's, or `fresh` or
            `fresh-tiny` for random weights.
        categories: Ours, by name.
        device: `cpu`, `cuda`...; the best there is by default.
        size: Side that images are squashed to, in pixels; the model's own by default.
        seed: Of fresh weights.

    Returns:
        The detector, in evaluation mode.

    Raises:
        ConfigError: It doesn't know a category, the size is no multiple of 32, there is no such device, or transformers
            isn't installed.
        ModelError: It can't be had or read.
    """
    if size is not None and (size < 32 or size % 32):
        raise ConfigError(f"size {size}: these networks take multiples of 32; give such as 640")
    network = read_network(str(model_folder(name)), categories=categories, seed=seed)
    sources = find_sources(network.labels, categories)
    refuse_unknown(str(name), network.labels, categories, sources)
    network.model.to(choose_device(device)).eval()
    return Detector(network, tuple(categories), sources, size or network.size)


def model_folder(name: str | Path) -> str | Path:
    """The folder of the model where a run folder is named; else the name itself.

    Raises:
        ModelError: The run has no model yet.
    """
    folder = Path(name)
    if (folder / MODEL_FOLDER / "config.json").is_file():
        return folder / MODEL_FOLDER
    if (folder / "checkpoints").is_dir() and (folder / "config.yaml").is_file():
        raise ModelError(f"{folder}: a run without a model yet; let it train until it has saved one")
    return name


def read_about(name: str | Path) -> dict[str, Any] | None:
    """What trained a model, as `nirgen.json` beside it says; None of a model that isn't nirgen's."""
    path = Path(model_folder(name)) / ABOUT
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: can't be read ({error}); train the detector again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: holds no names and values; train the detector again")
    return values


def _best(shares: NDArray[np.float64], scores: NDArray[np.float64], height: int, width: int, keep: int) -> Detections:
    """The boxes of the highest scores, in pixels; a query may give one of each category.

    Args:
        shares: (queries, 4) cxcywh as shares of the image.
        scores: (queries, categories) in [0, 1].
        height: Of the image, in pixels.
        width: The same.
        keep: At most so many.
    """
    order = np.argsort(-scores, axis=None, kind="stable")[:keep]
    queries, categories = np.unravel_index(order, scores.shape)
    middle, extent = shares[queries, :2], shares[queries, 2:]
    scale = np.array([width, height], np.float64)
    start = np.clip(middle - extent / 2, 0, 1) * scale
    end = np.clip(middle + extent / 2, 0, 1) * scale
    boxes = np.concatenate([start, end - start], axis=1)
    return Detections(boxes, scores.reshape(-1)[order], categories.astype(np.int64))
