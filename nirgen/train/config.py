"""All settings of a training run, as data; a named constructor for each published or shipped procedure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nirgen.config import FrozenConfig, read_yaml
from nirgen.errors import ConfigError, nearest
from nirgen.models.config import DiscriminatorConfig, GanKind, GeneratorConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class DataConfig(FrozenConfig):
    """Which pairs, and what is done with those that can't be used."""

    pairs: str | None = None
    """The list that `nirgen pairs` wrote; relative to the current folder."""
    root: str | None = None
    """The folder that the list's paths are relative to; the list's own by default."""
    bad_images: Literal["stop", "skip"] = "stop"
    """What an image that can't be decoded does: end the run, naming it, or be logged and replaced by the next pair."""
    workers: int = Field(0, ge=0)
    """Threads that decode and crop ahead of the training; 0: the training itself does."""
    cache_gigabytes: float = Field(4.0, ge=0)
    """How much is kept decoded in memory."""
    category_weights: dict[str, Weight] = Field(default_factory=dict)
    """How much oftener a pair of a category is drawn; empty: each pair once an epoch."""


class CropConfig(FrozenConfig):
    """What a step sees of a photo: geometry alike for both images, photometry for RGB alone but for `darkened`."""

    kind: Literal["squash", "native", "resized"] = "squash"
    """The whole photo, squashed to the size (the paper); a window of that size at native resolution; or a random part
    of the photo, squashed."""
    scale_jitter: float = Field(0.0, ge=0, lt=1)
    """`native`: the window is enlarged or reduced by a random factor in [1 - j, 1 + j]."""
    smallest: float = Field(0.2, gt=0, le=1)
    """`resized`: smallest share of a photo's area that a crop takes."""
    whole: Share = 0.3
    """`resized`: share of the crops that take the whole photo, as it is judged."""
    flip: bool = True
    """Mirror every other crop."""
    gamma: float = Field(0.0, ge=0)
    """Exposure: RGB to the power of exp(normal(0, this))."""
    gain: float = Field(0.0, ge=0)
    """Exposure: RGB times exp(normal(0, this))."""
    white_balance: float = Field(0.0, ge=0)
    """The same for each channel of RGB."""
    darkened: Share = 0.0
    """Share of the crops that lose most of their light in both images, as if taken at night, with noise in RGB."""
    mixup: Share = 0.0
    """Share of the crops that are blended with a crop of another pair, both images by the same amount (mixup, Zhang et
    al., ICLR 2018)."""


class PerceptualConfig(FrozenConfig):
    """The VGG19 term of the released code: features of two images, compared by their mean absolute difference."""

    weight: Weight = 0.0
    target: Literal["nir", "rgb"] = "nir"
    """What the generated image is compared with: the real NIR, or the RGB input, as in the released code."""
    teaches: bool = True
    """Whether its gradient reaches the generator. In the released code it doesn't: the generated features are
    detached, so the term is a number in the log."""
    weights: str | None = None
    """A file of torchvision's VGG19; by default the one in torch's cache, fetched where there is a network."""


class LossConfig(FrozenConfig):
    """The terms that the generator minimises; a weight of 0 switches a term off."""

    gan: GanKind = "vanilla"
    """Equation 2, `lsgan` as in the released code, or `hinge`."""
    adversarial: Weight = 1.0
    """Equation 2, summed over the discriminators' scales."""
    feature_matching: Weight = 10.0
    """Equation 5, summed over layers and scales (Equation 6)."""
    ssim: Weight = 10.0
    """Equation 4."""
    ssim_range: Literal["unit", "batch"] = "unit"
    """The values that SSIM compares: intensities in [0, 1], as it is defined for; or, as in the released code, values
    in [-1, 1] with constants of the batch's own range, which misjudges brightness."""
    pixel: Weight = 0.0
    pixel_kind: Literal["rmse", "l1"] = "rmse"
    """The pixel term, which the paper does without: each image's root mean squared error, or the mean absolute one."""
    perceptual: PerceptualConfig = PerceptualConfig()


class Stage(FrozenConfig):
    """A part of the run, with its own crop size."""

    share: float = Field(1.0, gt=0, le=1)
    """Share of the run."""
    size: int = Field(256, ge=32)
    """Height and width of the crops, in pixels."""
    batch: int = Field(3, ge=1)
    """Crops a step and process."""
    adversarial: bool = True
    """Whether the discriminators take part."""


class OptimizerConfig(FrozenConfig):
    """How gradients become steps."""

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-4, gt=0)
    discriminator_learning_rate: float = Field(1e-4, gt=0)
    extractor_learning_rate: float | None = Field(None, gt=0)
    """Of the extractor, if not the generator's."""
    freeze_extractor: bool = False
    betas: tuple[Share, Share] = (0.5, 0.999)
    discriminator_betas: tuple[Share, Share] = (0.5, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    gradient_clip: float | None = Field(None, gt=0)
    """Largest norm of the generator's gradient."""
    accumulate: int = Field(1, ge=1)
    """Batches a step: their gradients are averaged."""
    schedule: Literal["cosine", "released"] = "cosine"
    """`cosine`: linear warm-up, then half a cosine, stepped with every optimizer step. `released`: the authors' code
    warms up over 1000 steps, but steps once an epoch, so that the rate climbs for 1000 epochs, from 0."""
    warmup: Share = 0.01
    """`cosine`: share of the run that the warm-up takes."""
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Of the moving average of the generator's weights, which is evaluated and shipped. It is less at first: after n
    steps at most (1 + n) / (10 + n)."""


class ComputeConfig(FrozenConfig):
    """How the device computes; none of it changes what is computed but for rounding."""

    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Of the networks' convolutions and products; `auto` is bf16 on a GPU or processor that has it, else float32."""
    channels_last: bool = True
    gradient_checkpointing: bool = False
    """Compute the generator's blocks twice to hold less of them in memory."""


class SaveConfig(FrozenConfig):
    """What a run leaves, and how often."""

    checkpoint_minutes: float = Field(5.0, gt=0)
    """Time between checkpoints: what a killed run loses at most."""
    checkpoint_steps: int | None = Field(None, ge=1)
    """Steps between checkpoints, instead."""
    keep: int = Field(2, ge=1)
    """How many of the last checkpoints stay; the best one stays besides."""
    validation_minutes: float = Field(10.0, gt=0)
    """Time between validations."""
    validation_steps: int | None = Field(None, ge=1)
    """Steps between validations, instead."""
    validation_images: int = Field(64, ge=0)
    """How many pairs of the split `val` are scored, spread evenly over it; 0: none."""
    validation_size: int = Field(256, ge=32)
    """Height and width that they are squashed to, in pixels."""
    samples: int = Field(6, ge=0)
    """How many of them are drawn, beside the real NIR."""
    log_steps: int = Field(20, ge=1)
    """Steps between lines of the log."""


class TrainConfig(FrozenConfig):
    """All of a training run; the defaults are the paper's."""

    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    start_from: str | None = None
    """A model to take the first weights from: an embedded name, a file or a run folder, of the same architecture."""
    initialization: Literal["torch", "normal"] = "torch"
    """PyTorch's own, or normal(0, 0.02) for the weights of all convolutions, as in the released code."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    discriminator_window: int | None = Field(None, ge=64)
    """Side of the random window of a crop that the discriminators see, in pixels; all of it by default."""
    losses: LossConfig = LossConfig()
    crops: CropConfig = CropConfig()
    stages: tuple[Stage, ...] = (Stage(),)
    optimizer: OptimizerConfig = OptimizerConfig()
    compute: ComputeConfig = ComputeConfig()
    save: SaveConfig = SaveConfig()
    epochs: int | None = Field(None, ge=1)
    """Length of the run in passes over the pairs..."""
    steps: int | None = Field(None, ge=1)
    """...or in optimizer steps; 1000 epochs if neither is given."""
    max_minutes: float | None = Field(None, gt=0)
    """A budget of time; the whole schedule fits into it."""
    licence: str = "unknown"
    """What may be done with the weights; it goes into their header."""
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        """A mapping with a `preset`, `{preset: compact, seed: 1}`, stands for that preset with changes."""
        if not isinstance(values, dict) or "preset" not in values:
            return values
        name = str(values["preset"])
        if name not in PRESETS:
            raise ValueError(f"no preset '{name}'{nearest(name, PRESETS)} (there are {', '.join(PRESETS)})")
        changes = {key: value for key, value in values.items() if key != "preset"}
        return merged(PRESETS[name]().model_dump(mode="json"), changes)

    @model_validator(mode="after")
    def _discriminator_takes_pairs(self) -> Self:
        expected = 3 + self.generator.output_channels
        if self.discriminator.in_channels != expected:
            raise ValueError(
                f"discriminator.in_channels is {self.discriminator.in_channels}, but RGB and the generator's output "
                f"have {expected}"
            )
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        for position, stage in enumerate(self.stages):
            if stage.size % self.generator.stride:
                raise ValueError(
                    f"stages.{position}.size is {stage.size}, but the generator takes multiples of "
                    f"{self.generator.stride}"
                )
        if self.save.validation_images and self.save.validation_size % self.generator.stride:
            raise ValueError(
                f"save.validation_size is {self.save.validation_size}, but the generator takes multiples of "
                f"{self.generator.stride}"
            )
        total = sum(stage.share for stage in self.stages)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the stages' shares add up to {total:g}; they must add up to 1")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("both epochs and steps are given; set one of them to null")
        if self.steps is not None and self.optimizer.schedule == "released":
            raise ValueError("the schedule 'released' counts epochs; give epochs, and set steps to null")
        if self.max_minutes is not None and self.optimizer.schedule == "released":
            raise ValueError("the schedule 'released' counts epochs and can't be fitted into max_minutes; use 'cosine'")
        return self

    @model_validator(mode="after")
    def _something_teaches(self) -> Self:
        perceptual = self.losses.perceptual
        always = self.losses.ssim + self.losses.pixel + (perceptual.weight if perceptual.teaches else 0.0)
        for position, stage in enumerate(self.stages):
            judged = self.losses.adversarial + self.losses.feature_matching if stage.adversarial else 0.0
            if always + judged == 0:
                raise ValueError(f"stages.{position} has no loss that teaches the generator; give one a weight")
        return self

    @classmethod
    def load(cls, config: str, changes: Sequence[str] = (), given: Mapping[str, Any] | None = None) -> Self:
        """Read a preset or a YAML file, overlaid by `changes` and `given` (see `overlay`).

        Raises:
            ConfigError: There is no such preset or file, or `overlay` raises it.
        """
        if config not in PRESETS and not Path(config).exists():
            raise ConfigError(f"{config}: no such file, and no preset (there are {', '.join(PRESETS)})")
        preset = next((text for text in changes if text.startswith("preset=")), None)
        if preset is not None:
            raise ConfigError(f"--set {preset}: name the preset in CONFIG's place")
        values = {"preset": config} if config in PRESETS else read_yaml(Path(config))
        return cls.overlay(values, changes, given or {}, where=config)

    @property
    def adversarial(self) -> bool:
        """Whether the discriminators take part at any time."""
        teaches = self.losses.adversarial > 0 or self.losses.feature_matching > 0
        return teaches and any(stage.adversarial for stage in self.stages)

    @classmethod
    def paper(cls) -> Self:
        """Equations 2 to 7 and Section 4.2: Adam at 1e-4, cosine with warm-up, 256x256, 1000 epochs.

        The paper says neither betas nor batch size; these are the released code's.
        """
        return cls()

    @classmethod
    def released(cls) -> Self:
        """As the authors' code at c95c865 does it, its slips included (docs/reproduction.md lists them)."""
        return cls(
            generator=GeneratorConfig.released(),
            initialization="normal",
            discriminator=DiscriminatorConfig(in_channels=6, norm="batch"),
            losses=LossConfig(
                gan="lsgan",
                feature_matching=5 / 3,
                ssim_range="batch",
                perceptual=PerceptualConfig(weight=5.0, target="rgb", teaches=False),
            ),
            optimizer=OptimizerConfig(schedule="released", ema_decay=0.0),
            crops=CropConfig(flip=False),
            epochs=1000,
        )

    @classmethod
    def compact(cls) -> Self:
        """The embedded model's: few pairs, no GPU, so a pixel term beside the paper's, and discriminators late."""
        return cls(
            data=DataConfig(category_weights={"urban": 3.0, "street": 3.0, "oldbuilding": 3.0}),
            generator=GeneratorConfig.compact(),
            discriminator=DiscriminatorConfig(filters=32),
            discriminator_window=128,
            losses=LossConfig(gan="lsgan", adversarial=0.03, feature_matching=0.08, ssim=2.0, pixel=4.0),
            crops=CropConfig(kind="resized", smallest=0.3, gamma=0.12, gain=0.06, white_balance=0.025, darkened=0.06),
            stages=(
                Stage(share=0.4, size=160, batch=8, adversarial=False),
                Stage(share=0.35, size=256, batch=4, adversarial=False),
                Stage(share=0.25, size=256, batch=4),
            ),
            optimizer=OptimizerConfig(
                kind="adamw",
                learning_rate=1e-3,
                discriminator_learning_rate=2e-4,
                betas=(0.9, 0.99),
                weight_decay=0.01,
                gradient_clip=1.0,
                warmup=0.02,
            ),
            steps=20000,
        )


PRESETS = {"paper": TrainConfig.paper, "released": TrainConfig.released, "compact": TrainConfig.compact}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested settings with changes laid over them.

    Exchanged whole are lists, what has a `preset` of its own, extractors, and weights by category.

    Args:
        base: Plain values.
        changes: Plain values, perhaps of some keys only.

    Example:
        >>> merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 5}, "d": [2, 3]})
        {'a': {'b': 5, 'c': 2}, 'd': [2, 3]}
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        whole = key in {"category_weights", "extractor"} or (isinstance(value, dict) and "preset" in value)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) and not whole else value
    return result


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """What changed between two configurations, a line a setting: `optimizer.learning_rate: 0.001 -> 0.0005`."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    names = sorted(before.keys() | after.keys())
    return [f"{name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested plain values by their dotted path."""
    if isinstance(values, dict) and values:
        return {path: leaf for key, value in values.items() for path, leaf in _flat(value, f"{prefix}{key}.").items()}
    if isinstance(values, list) and values:
        return {path: leaf for i, value in enumerate(values) for path, leaf in _flat(value, f"{prefix}{i}.").items()}
    return {prefix.rstrip("."): values}
