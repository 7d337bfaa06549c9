"""Settings of a detector training, of a comparison and of its bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nirgen.config import OLD_PRECISIONS, FrozenConfig, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULT_MODEL = "PekingU/rtdetr_v2_r18vd"
"""RT-DETRv2 with a ResNet-18: Apache-2.0, 20 million weights, all of it in transformers."""


class AugmentConfig(FrozenConfig):
    """What a step sees of an image."""

    flip: float = Field(0.5, ge=0, le=1)
    """Share of the draws that are mirrored."""
    crop: float = Field(0.5, ge=0, le=1)
    """Share of the draws that take a part of the image only."""
    smallest_crop: float = Field(0.6, gt=0, le=1)
    """Smallest side of such a part, as a share of the image's."""
    smallest_visible: float = Field(0.3, ge=0, le=1)
    """Share of a box's area that must lie in the part; what is left of another one is blotted out."""


class DetectConfig(FrozenConfig):
    """A training: what starts it, how long it is, and how it steps."""

    model: str = DEFAULT_MODEL
    """What it starts from: an id of the hub's, a folder that transformers or `nirgen detect train` wrote, `fresh` or
    `fresh-tiny`."""
    split: Literal["train", "val", "test"] = "train"
    """Of the dataset."""
    size: int = Field(640, ge=32)
    """Height and width that images are squashed to, in pixels; a multiple of 32."""
    steps: int = Field(2000, ge=1)
    batch: int = Field(8, ge=1)
    """Images a step."""
    learning_rate: float = Field(1e-4, gt=0)
    backbone_learning_rate: float | None = Field(None, ge=0)
    """Of the part that sees plain images; a tenth of the other by default, for it knows most already, and the same
    with fresh weights."""
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.05, ge=0, le=1)
    """Share of the steps in which the learning rate rises; it falls by half a cosine then."""
    gradient_clip: float = Field(0.1, gt=0)
    """Highest norm of a step's gradient."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Of the moving average of the weights, which is what is kept."""
    precision: Annotated[Literal["fp32", "bf16"], OLD_PRECISIONS] = "fp32"
    """What the network computes in; the loss is float32 in any case."""
    seed: int = Field(0, ge=0)
    """Of order, crops, noise and fresh weights."""
    augment: AugmentConfig = AugmentConfig()
    workers: int = Field(4, ge=0)
    """Threads that decode ahead of the training; 0: the training itself does."""
    log_steps: int = Field(10, ge=1)
    checkpoint_steps: int = Field(500, ge=1)
    keep: int = Field(2, ge=1)
    """How many of the last checkpoints stay."""

    @field_validator("size")
    @classmethod
    def _a_multiple_of_32(cls, size: int) -> int:
        if size % 32:
            raise ValueError(f"{size} is no multiple of 32; the next one is {size + 32 - size % 32}")
        return size

    @classmethod
    def load(cls, file: Path | None, changes: Sequence[str] = (), given: Mapping[str, Any] | None = None) -> Self:
        """Read a YAML file, or the defaults if it is None, overlaid by `changes` and `given` (see `overlay`)."""
        where = "the command line" if file is None else str(file)
        return cls.overlay({} if file is None else read_yaml(file), changes, given or {}, where=where)

    def differences(self, other: Self) -> list[str]:
        """What another configuration has otherwise, of all that changes the weights, as `steps: 10 -> 20`."""
        old, new = flat(self.model_dump(mode="json")), flat(other.model_dump(mode="json"))
        return [f"{name}: {old[name]} -> {new[name]}" for name in old if name not in _PLAIN and old[name] != new[name]]


_PLAIN = {"workers", "log_steps", "checkpoint_steps", "keep"}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names.

    Example:
        >>> flat({"steps": 2, "augment": {"flip": 0.5}})
        {'steps': 2, 'augment.flip': 0.5}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


class BootstrapConfig(FrozenConfig):
    """How intervals are made."""

    resamples: int = Field(1000, ge=0)
    """How often images are drawn; 0 for no intervals."""
    draw: Literal["images", "sequences"] = "images"
    """What is drawn with replacement: single images, or whole recordings, whose frames resemble each other."""
    seed: int = Field(0, ge=0)
    """Of the draws."""


class CompareConfig(FrozenConfig):
    """A comparison."""

    train: DetectConfig = DetectConfig()
    """How each run is trained, but for the seed; every arm makes the same number of steps."""
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    """Each arm is trained once with each."""
    split: Literal["test", "val"] = "test"
    """On whose real images runs are judged."""
    bootstrap: BootstrapConfig = BootstrapConfig()

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
            raise ValueError(f"{','.join(map(str, seeds))}: seeds are whole numbers from 0 on, each once")
        return seeds

    @model_validator(mode="after")
    def _judged_on_others(self) -> Self:
        if self.train.split == self.split:
            raise ValueError(f"trained and judged on the split '{self.split}'; judge on another one")
        return self
