"""Settings of a detector's training, of a comparison and of bootstrap intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nirgen.config import OLD_PRECISIONS, FrozenConfig, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULT_MODEL = "PekingU/rtdetr_v2_r18vd"  # RT-DETRv2 with a ResNet-18: Apache-2.0, 20 million weights
NOTHING_LEARNT = 0.01  # AP below which a detector has learnt next to nothing
PLAIN = frozenset({"workers", "log_steps", "checkpoint_steps", "keep"})  # settings that change no weight


class AugmentConfig(FrozenConfig):
    """Augmentation."""

    flip: float = Field(0.5, ge=0, le=1)  # share of the views that are mirrored
    crop: float = Field(0.5, ge=0, le=1)  # share of the views that are a random part of the image
    smallest_crop: float = Field(0.6, gt=0, le=1)  # smallest side of a part, as a share of the image's
    smallest_visible: float = Field(0.3, ge=0, le=1)  # share of a box's area in the part below which it is masked out


class DetectConfig(FrozenConfig):
    """Training of a detector."""

    model: str = DEFAULT_MODEL
    """Start: a hub id, a folder of transformers, a run of `nirgen detect train`, `fresh` or `fresh-tiny`."""
    split: Literal["train", "val", "test"] = "train"
    size: int = Field(640, ge=32)  # height and width that images are resized to, in pixels; a multiple of 32
    steps: int = Field(2000, ge=1)
    batch: int = Field(8, ge=1)  # images a step
    learning_rate: float = Field(1e-4, gt=0)
    backbone_learning_rate: float | None = Field(None, ge=0)
    """Default: a tenth of `learning_rate`, since the backbone is trained already; the same for fresh weights."""
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.05, ge=0, le=1)  # share of the steps before the learning rate falls by half a cosine
    gradient_clip: float = Field(0.1, gt=0)  # largest norm of a gradient
    ema_decay: float = Field(0.999, ge=0, lt=1)  # of the moving average of the weights, which the model file holds
    precision: Annotated[Literal["fp32", "bf16"], OLD_PRECISIONS] = "fp32"  # of the network; the loss is float32
    seed: int = Field(0, ge=0)  # of data order, crops, noise and fresh weights
    augment: AugmentConfig = AugmentConfig()
    balance_classes: float = Field(0.0, ge=0, le=1)
    """Images with a class that is on less than this share of the images are repeated (LVIS); 0: all equally often."""
    validate_every: int | None = Field(None, ge=0)
    """Steps between validations on the split `val`, beside the one at the end; 0: none. Default: a tenth of `steps`."""
    validation_images: int = Field(200, ge=1)  # most images of a validation, spread evenly over the split
    patience: int | None = Field(None, ge=1)  # validations in a row without a higher AP that end the run
    workers: int = Field(4, ge=0)  # threads that decode ahead; 0: the training thread decodes
    log_steps: int = Field(10, ge=1)
    checkpoint_steps: int = Field(500, ge=1)
    keep: int = Field(2, ge=1)  # number of last checkpoints that stay

    @field_validator("size")
    @classmethod
    def _is_multiple_of_32(cls, size: int) -> int:
        if size % 32:
            raise ValueError(f"{size} is no multiple of 32; the next one is {size + 32 - size % 32}")
        return size

    @property
    def validation_steps(self) -> int:
        """Steps between validations; 0 if there are none."""
        return -(-self.steps // 10) if self.validate_every is None else self.validate_every

    @classmethod
    def load(cls, file: Path | None, changes: Sequence[str] = (), given: Mapping[str, Any] | None = None) -> Self:
        """Read a YAML file, or the defaults if it is None, overlaid by `changes` and `given` (see `overlay`)."""
        where = "the command line" if file is None else str(file)
        return cls.overlay({} if file is None else read_yaml(file), changes, given or {}, where=where)


class BootstrapConfig(FrozenConfig):
    """Bootstrap of 95 % intervals."""

    resamples: int = Field(1000, ge=0)  # 0: no intervals
    draw: Literal["images", "sequences"] = "images"  # unit drawn; frames of a sequence are not independent
    seed: int = Field(0, ge=0)


class CompareConfig(FrozenConfig):
    """Comparison of detectors trained with and without generated images."""

    train: DetectConfig = DetectConfig()  # of each run, except for the seed
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)  # each training set is trained on once with each
    split: Literal["test", "val"] = "test"  # whose real images the runs are evaluated on
    bootstrap: BootstrapConfig = BootstrapConfig()
    gain: float = Field(0.02, gt=0, lt=1)  # smallest gain of AP that matters: a smaller one is as good as none

    @field_validator("seeds")
    @classmethod
    def _are_different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
            raise ValueError(f"{','.join(map(str, seeds))}: seeds are whole numbers from 0 on, each once")
        return seeds

    @model_validator(mode="after")
    def _evaluates_on_others(self) -> Self:
        if self.train.split == self.split:
            raise ValueError(f"trained and judged on the split '{self.split}'; judge on another one")
        if self.train.validate_every and self.split == "val":
            raise ValueError("weights would be chosen on the split 'val', which judges them; leave out validate_every")
        return self
