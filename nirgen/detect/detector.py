"""Detectors: images in, boxes of given categories out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nirgen import images
from nirgen.detect.networks import FRESH, read_network
from nirgen.devices import choose_device
from nirgen.errors import ConfigError, ModelError
from nirgen.files import read_json, sha256_of, unseal
from nirgen.labels.policy import Policy, normalise
from nirgen.models.checkpoint import model_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from nirgen.detect.networks import Network


KEEP = 100  # most boxes of an image, as in COCO's evaluation
BATCH = 8
MODEL_FOLDER = "model"  # in a run folder
ABOUT = "nirgen.json"  # in the model's folder: its training
_POLICIES = ("default", "bdd100k")  # label policies that map labels to categories, in order of preference


def find_sources(labels: Sequence[str], categories: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return for each category the positions of a detector's labels that belong to it; possibly none.

    A label belongs to the category of its own name, where it comes first; else to the one that the built-in policies
    map it to, such as `truck` to `car`; else to none.

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
    """Raise a ConfigError for categories without a label; `sources` are those of `find_sources`."""
    unknown = [category for category, positions in zip(categories, sources, strict=True) if not positions]
    if unknown:
        shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        raise ConfigError(
            f"{name}: knows no {' and no '.join(repr(one) for one in unknown)} (its labels: {shown}); train it on them "
            "with 'nirgen detect train', or choose other classes with 'nirgen labels --policy'"
        )


@dataclass(frozen=True, slots=True)
class Detections:
    """The n boxes found on an image, by falling score."""

    boxes: NDArray[np.float64]  # (n, 4) COCO xywh in pixels of the given image, inside of it
    scores: NDArray[np.float64]  # (n,) in [0, 1]
    categories: NDArray[np.int64]  # (n,) positions in the detector's `names`


@dataclass(frozen=True)
class Detector:
    """A network of transformers whose labels are mapped to categories."""

    network: Network
    names: tuple[str, ...]  # categories
    sources: tuple[tuple[int, ...], ...]  # positions of each category's labels; their highest score counts
    size: int  # S: side in pixels of the square that images are resized to

    @property
    def model(self) -> nn.Module:
        """(N, 3, S, S) float -> `logits` (N, queries, labels) and `pred_boxes` (N, queries, 4), cxcywh as shares."""
        return self.network.model

    @property
    def id(self) -> str:
        """Hash of the model's kind and tensors."""
        config: Any = self.model.config
        return model_id(self.model.state_dict(), {"kind": str(config.model_type)})

    def predict(self, pictures: Sequence[NDArray[np.uint8]], *, keep: int = KEEP) -> list[Detections]:
        """Detect objects on images, (H, W, 3) uint8 each, and keep the boxes with the highest scores.

        The model stays in evaluation mode.
        """
        self.model.eval()
        found: list[Detections] = []
        for start in range(0, len(pictures), BATCH):
            part = pictures[start : start + BATCH]
            with torch.inference_mode():
                outputs = self.model(pixel_values=self.pixels(part))
            boxes = outputs.pred_boxes.cpu().double().numpy()  # not every device has doubles
            logits = outputs.logits.cpu().double().sigmoid()
            scores = torch.stack([logits[..., list(which)].amax(-1) for which in self.sources], dim=-1).numpy()
            shapes = [picture.shape[:2] for picture in part]
            found += [_best(*each, keep) for each in zip(boxes, scores, shapes, strict=True)]
        return found

    def pixels(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Convert images, (H, W, 3) uint8 each, to the model's input: (N, 3, S, S) float32 on its device."""
        squashed = [images.resize(picture, (self.size, self.size), resample="bilinear") for picture in pictures]
        return self.network.normalise(torch.from_numpy(np.stack(squashed)).to(next(self.model.parameters()).device))


def load_detector(
    name: str | Path,
    *,
    categories: Sequence[str] | None,
    device: str | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Detector:
    """Load a detector of given categories, such as one that was trained on COCO, in evaluation mode.

    Args:
        name: A run folder of `nirgen detect train`, a folder of transformers, a hub id, or `fresh` or `fresh-tiny` for
            random weights.
        categories: Names of the categories; all labels of the model if None.
        device: `cpu`, `cuda`...; the best available one by default.
        size: Side that images are resized to, in pixels; the model's own by default.
        seed: Random seed of fresh weights.

    Raises:
        ConfigError: It doesn't know a category, the size is no multiple of 32, the device does not exist, or
            transformers isn't installed.
        ModelError: It can't be loaded.
    """
    if size is not None and (size < 32 or size % 32):
        raise ConfigError(f"size {size}: these networks take multiples of 32; give such as 640")
    folder = model_folder(name)
    problem = altered(Path(folder)) if (Path(folder) / ABOUT).is_file() else None
    if problem is not None:
        raise ModelError(f"{problem}; run the same 'nirgen detect train' again, which writes it anew, or copy it again")
    if categories is None and str(name) in FRESH:
        raise ConfigError(f"{name}: random weights know no classes; name a trained model, or a run")
    network = read_network(str(folder), categories=categories or (), seed=seed)
    categories = network.labels if categories is None else categories
    sources = find_sources(network.labels, categories)
    refuse_unknown(str(name), network.labels, categories, sources)
    network.model.to(choose_device(device)).eval()
    return Detector(network, tuple(categories), sources, size or network.size)


def model_folder(name: str | Path) -> str | Path:
    """Return the model's folder in a run folder, or any other name as it is."""
    folder = Path(name)
    if (folder / MODEL_FOLDER / "config.json").is_file():
        return folder / MODEL_FOLDER
    if (folder / "checkpoints").is_dir() and (folder / "config.yaml").is_file():
        raise ModelError(f"{folder}: a run without a model yet; let it train until it has saved one")
    return name


def read_about(name: str | Path) -> dict[str, Any] | None:
    """Return the `nirgen.json` of a model; None for a model of another program."""
    path = Path(model_folder(name)) / ABOUT
    if not path.is_file():
        return None
    try:
        return unseal(read_json(path))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: damaged ({error}); run the same 'nirgen detect train' again, which writes it anew"
        ) from None


def altered(model: Path) -> str | None:
    """Return what is wrong with a model's folder that `nirgen detect train` wrote; None if it is whole."""
    try:
        files = (read_about(model) or {}).get("files", {})
    except ModelError as error:
        return str(error)
    if not isinstance(files, dict) or not (model / "config.json").is_file():
        return f"{model}: no whole model"
    for name, sha256 in files.items():
        path = model / name
        if not path.is_file() or sha256_of(path) != sha256:
            return f"{path}: {'damaged or altered since it was written' if path.is_file() else 'missing'}"
    return None


def _best(shares: NDArray[np.float64], scores: NDArray[np.float64], shape: tuple[int, int], keep: int) -> Detections:
    """Return the boxes of the highest scores, `keep` at most; a query may give one of each category.

    `shares` are (queries, 4) cxcywh as shares of the image, `scores` (queries, categories), `shape` (height, width).
    """
    order = np.argsort(-scores, axis=None, kind="stable")[:keep]
    queries, categories = np.unravel_index(order, scores.shape)
    middle, extent = shares[queries, :2], shares[queries, 2:]
    scale = np.array(shape[::-1], np.float64)
    start, end = (np.clip(middle + extent * side, 0, 1) * scale for side in (-0.5, 0.5))
    boxes = np.concatenate([start, end - start], axis=1)
    return Detections(boxes, scores.reshape(-1)[order], categories.astype(np.int64))
