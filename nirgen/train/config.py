"""All settings of a training run; a named constructor for each published or shipped procedure."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nirgen.config import OLD_PRECISIONS, FrozenConfig, read_yaml
from nirgen.devices import Wanted
from nirgen.errors import ConfigError, nearest
from nirgen.models.config import DiscriminatorConfig, GanKind, GeneratorConfig, GeneratorOfAnyKind
from nirgen.train.systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.images import Readings

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class PairsConfig(FrozenConfig):
    """Pairs of images, and how their files are read."""

    pairs: str | None = None  # the list that `nirgen pairs` wrote, relative to the current folder
    root: str | None = None  # the folder that the list's paths are relative to; by default the list's own
    damaged: Literal["fail", "keep"] = "fail"  # images with corrupt data: undecodable, or kept as far as they are
    alpha: Literal["blend", "ignore"] = "blend"  # fourth channels: opacity to blend over black, or something else
    white_level_rgb: int | None = Field(None, ge=1, le=65535)  # white of samples of over 8 bits; None: by the file
    white_level_nir: int | None = Field(None, ge=1, le=65535)

    @property
    def readings(self) -> Readings:
        """Return the choices of how the images are read."""
        from nirgen.images import Readings  # imports numpy

        return Readings.of(self.damaged, self.alpha, (self.white_level_rgb, self.white_level_nir))


class DataConfig(PairsConfig):
    """Training pairs, or images without partners, and how they are drawn."""

    rgb: str | None = None  # a folder of photos, and
    nir: str | None = None  # one of NIR images, for methods without pairs: in place of the list's split `train`
    bad_images: Literal["stop", "skip"] = "stop"  # at an undecodable one: end the run, or log it and take the next pair
    workers: int = Field(0, ge=0)  # threads that decode and crop ahead; 0: the training thread does
    cache_gigabytes: float = Field(4.0, ge=0)  # memory for decoded pairs
    category_weights: dict[str, Weight] = Field(default_factory=dict)  # relative frequency of its pairs, 1 if absent


class CropConfig(FrozenConfig):
    """Augmentation: the geometry of both images, the photometry of RGB alone (except for `night`)."""

    kind: Literal["squash", "native", "resized", "window", "square"] = "squash"
    """`squash`: the whole photo, resized to the crop size (the paper); `native`: a window of that size at native
    resolution; `resized`: a random part of the photo, resized; `window`: a window of 256/286 of both sides, resized
    (Pix2pix); `square`: as much as the shorter side of both, resized (MUNIT)."""
    scale_jitter: float = Field(0.0, ge=0, lt=1)  # `native`: scale the window by a random factor in [1 - j, 1 + j]
    smallest: float = Field(0.2, gt=0, le=1)  # `resized`: smallest share of a photo's area in a crop
    whole: Share = 0.3  # `resized`: share of the crops that take the whole photo, as in validation
    flip: bool = True  # mirror every other crop
    gamma: float = Field(0.0, ge=0)  # exposure: RGB to the power of exp(normal(0, this))
    gain: float = Field(0.0, ge=0)  # exposure: RGB times exp(normal(0, this))
    white_balance: float = Field(0.0, ge=0)  # the same for each channel of RGB
    saturation: float = Field(0.0, ge=0)  # RGB's distance from its luma times exp(normal(0, this))
    casts: Share = 0.0  # shares of the crops whose RGB lacks white balance,
    haze: Share = 0.0  # is hazy,
    clipped: Share = 0.0  # overexposed,
    contrast: Share = 0.0  # of hard contrast,
    blurred: Share = 0.0  # blurred,
    jpeg: Share = 0.0  # or compressed (see `nirgen.images.conditions`)
    night: Share = 0.0  # share of the crops with little light and with lamps in both images, and noise in RGB
    mixup: Share = 0.0  # share of the crops that are blended with a crop of another pair (Zhang et al., ICLR 2018)


class PerceptualConfig(FrozenConfig):
    """The VGG19 term of the released code: features of two images, compared by their mean absolute difference."""

    weight: Weight = 0.0
    target: Literal["nir", "rgb"] = "nir"  # compared with the generated image; the released code takes the RGB input
    teaches: bool = True  # the released code detaches the generated features, so that the term is only logged
    weights: str | None = None  # a file of torchvision's VGG19; by default from torch's cache or its hub


class CycleConfig(FrozenConfig):
    """The method `cycle` of CycleGAN (Zhu et al., ICCV 2017): there and back again, on images without partners."""

    weight: Weight = 10.0  # mean absolute error of the images after both translations
    identity: Weight = 5.0  # mean absolute change of an image that already is of the generator's kind
    pool: int = Field(50, ge=0)  # earlier outputs that the discriminators see half of the time
    range: Literal["signed", "unit"] = "signed"  # losses and discriminators see images in [-1, 1] or, in UVCGAN, [0, 1]
    gradient_penalty: Weight = 0.0  # of the discriminators, as in UVCGAN: the squared relative distance of their
    gradient: float = Field(100.0, gt=0)  # gradient's length from this one, between real and generated images


class LatentConfig(FrozenConfig):
    """The method `latent` of UNIT (Liu et al., NeurIPS 2017) and MUNIT (Huang et al., ECCV 2018)."""

    image: Weight = 10.0  # mean absolute error of images from their own code, and in MUNIT their own style
    cycle: Weight = 0.0  # mean absolute error of the images after both translations
    content: Weight = 0.0  # MUNIT: mean absolute error of the code that a translation has
    style: Weight = 0.0  # MUNIT: mean absolute error of the style that a translation has
    divergence: Weight = 0.0  # UNIT: mean square of the codes, to which normal noise is added in training
    features: Weight = 0.0  # UNIT: mean squared difference of VGG16's features of an image and its translation
    weights: str | None = None  # a file of torchvision's VGG16; by default from torch's cache or its hub


class LossConfig(FrozenConfig):
    """Weights of the generator's loss terms; a weight of 0 switches a term off."""

    gan: GanKind = "vanilla"  # Equation 2; `lsgan` as in the released code; or `hinge`
    adversarial: Weight = 1.0  # Equation 2, summed over the discriminators' scales
    feature_matching: Weight = 10.0  # Equation 5, summed over layers and scales (Equation 6)
    ssim: Weight = 10.0  # Equation 4
    ssim_range: Literal["unit", "batch"] = "unit"
    """`unit`: SSIM of [0, 1]; `batch`, as released: of [-1, 1] with the batch's range, which misjudges brightness."""
    ssim_border: Literal["inside", "reflect"] = (
        "inside"  # windows inside the crop alone, or also over a mirrored border
    )
    pixel: Weight = 0.0  # no part of the paper's loss
    pixel_kind: Literal["rmse", "l1", "smooth_l1"] = "rmse"
    """`rmse`: root mean squared error of each image; `l1`: mean absolute error; `smooth_l1`: half of the mean squared
    error, of intensities in [0, 1]."""
    pixel_scales: int = Field(1, ge=1, le=6)  # the pixel term is summed over so many scales, each half of the former
    structure: Weight = 0.0  # mean absolute error after each image's mean error is taken away
    gradients: Weight = 0.0  # mean absolute difference of the horizontal and vertical gradients
    features: Weight = 0.0  # mean squared difference of the pyramid of the extractor's initial, frozen weights
    perceptual: PerceptualConfig = PerceptualConfig()
    cycle: CycleConfig = CycleConfig()  # of the method `cycle`
    latent: LatentConfig = LatentConfig()  # of the method `latent`


class Stage(FrozenConfig):
    """A part of the run with its own crop size."""

    share: float = Field(1.0, gt=0, le=1)  # share of the run
    size: int = Field(256, ge=32)  # height and width of the crops, in pixels
    batch: int = Field(3, ge=1)  # crops a step and process
    adversarial: bool = True  # train with the discriminators


class OptimizerConfig(FrozenConfig):
    """Optimizers, learning rate schedule and moving average."""

    kind: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-4, gt=0)
    discriminator_learning_rate: float = Field(1e-4, gt=0)
    extractor_learning_rate: float | None = Field(None, gt=0)  # by default the generator's
    freeze_extractor: bool = False
    freeze_extractor_norm: bool = False  # keep the statistics of the extractor's BatchNorm, as with few pairs
    betas: tuple[Share, Share] = (0.5, 0.999)
    discriminator_betas: tuple[Share, Share] = (0.5, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    discriminator_weight_decay: float = Field(0.0, ge=0)
    gradient_clip: float | None = Field(None, gt=0)  # largest norm of the generator's gradient
    accumulate: int = Field(1, ge=1)  # batches a step, whose gradients are averaged
    schedule: Literal["cosine", "released", "annealed", "linear", "halved"] = "cosine"
    """`cosine`: linear warm-up, then half a cosine; `released`: updated once an epoch, so it rises for 1000 epochs;
    `annealed`: half a cosine to 0.5 %, updated once an epoch; `linear`: constant for half of the run, then straight
    to 0, updated once an epoch; `halved`: halved after each tenth of the run."""
    warmup: Share = 0.01  # `cosine`: share of the run that the warm-up takes
    discriminator_first: bool = False  # update the discriminators before they judge the generator, as in Pix2pix
    ema_decay: float = Field(0.999, ge=0, lt=1)
    """Decay of the shipped moving average of the generator's weights; after n steps at most (1 + n) / (10 + n)."""


class ComputeConfig(FrozenConfig):
    """Precision and memory layout; results differ by rounding alone."""

    precision: Annotated[Wanted, OLD_PRECISIONS] = "auto"  # `auto`: bf16 where the hardware has it, else fp32
    channels_last: bool = True
    gradient_checkpointing: bool = False  # compute the generator's blocks twice, to use less memory


class SaveConfig(FrozenConfig):
    """Checkpoints, validation and logging."""

    checkpoint_minutes: float = Field(5.0, gt=0)  # time between checkpoints: the most that a killed run loses
    checkpoint_steps: int | None = Field(None, ge=1)  # steps between checkpoints, instead
    keep: int = Field(2, ge=1)  # number of last checkpoints that stay, beside the best one
    validation_minutes: float = Field(10.0, gt=0)  # time between validations
    validation_steps: int | None = Field(None, ge=1)  # steps between validations, instead
    validation_images: int = Field(64, ge=0)  # pairs of the split `val` that are scored, spread evenly over it
    validation_size: int = Field(256, ge=32)  # height and width that they are squashed to, in pixels
    samples: int = Field(6, ge=0)  # number of them that are drawn beside the real NIR
    log_steps: int = Field(20, ge=1)  # steps between lines of the log


Method = Literal["paired", "cycle", "latent", "bridge"]


class TrainConfig(FrozenConfig):
    """All settings of a training run; the defaults are the paper's."""

    method: Method = "paired"
    """`paired`: compare with the real NIR image; `cycle`: RGB and NIR images are drawn independently, and two
    generators learn to undo each other's work; `latent`: the same draws, and a code that both kinds share; `bridge`: a
    network of the kind `bbdm` learns to undo a Brownian bridge, by the mean absolute error of its guess times
    `losses.pixel`."""
    data: DataConfig = DataConfig()
    generator: GeneratorOfAnyKind = GeneratorConfig()
    start_from: str | None = None  # a model of the same architecture: an embedded name, a file or a run folder
    initialization: Literal["torch", "normal", "pix2pix", "uvcgan", "munit"] = "torch"
    """`normal`: normal(0, 0.02) for convolutions, as in the released code; `pix2pix`: and their biases 0, and the
    weights of batch norm normal(1, 0.02); `uvcgan`: and linear layers as convolutions; `munit`: the
    generators by He et al. (ICCV 2015), the discriminators normal(0, 0.02), biases 0."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    discriminator_window: int | None = Field(None, ge=64)  # side of a random window of the crop, in pixels; else all
    losses: LossConfig = LossConfig()
    crops: CropConfig = CropConfig()
    stages: tuple[Stage, ...] = (Stage(),)
    optimizer: OptimizerConfig = OptimizerConfig()
    compute: ComputeConfig = ComputeConfig()
    save: SaveConfig = SaveConfig()
    epochs: int | None = Field(None, ge=1)  # length of the run in passes over the pairs; 1000 without `steps`
    steps: int | None = Field(None, ge=1)  # length of the run in optimizer steps, instead
    max_minutes: float | None = Field(None, gt=0)  # time budget, which the schedule is fitted into
    licence: str = "unknown"  # licence of the weights, for the model's header
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        """Expand `{preset: compact, seed: 1}` to that preset with changes."""
        if not isinstance(values, dict) or "preset" not in values:
            return values
        name = str(values["preset"])
        if name not in PRESETS:
            raise ValueError(f"no preset '{name}'{nearest(name, PRESETS)} (there are {', '.join(PRESETS)})")
        changes = {key: value for key, value in values.items() if key != "preset"}
        return merged(PRESETS[name]().model_dump(mode="json"), changes)

    @model_validator(mode="after")
    def _discriminator_takes_its_images(self) -> Self:
        found, made = self.discriminator.in_channels, self.generator.output_channels
        expected, seen = (made, "the images") if self.unpaired else (3 + made, "RGB and the generator's output")
        if found != expected:
            raise ValueError(f"discriminator.in_channels is {found}, but {seen} have {expected}")
        return self

    @model_validator(mode="after")
    def _no_partners_are_needed(self) -> Self:
        if (self.data.rgb is None) != (self.data.nir is None):
            raise ValueError("data.rgb and data.nir are two folders; give both or none")
        if not self.unpaired:
            if self.data.rgb is not None:
                raise ValueError(
                    "data.rgb and data.nir are for methods without pairs, as of cyclegan; this one needs data.pairs"
                )
            return self
        if self.generator.output_channels != 3:
            raise ValueError(
                f"generator.output_channels is 1, but the method '{self.method}' needs 3 in both directions"
            )
        if self.method == "latent" and self.generator.kind not in {"unit", "munit"}:
            raise ValueError(
                f"the method 'latent' needs a generator of the kind unit or munit, not {self.generator.kind}"
            )
        losses = self.losses
        names = ("feature_matching", "ssim", "pixel", "structure", "gradients", "features")
        paired = [f"losses.{name}" for name in names if getattr(losses, name)]
        paired += ["losses.perceptual.weight"] if losses.perceptual.weight else []
        if paired:
            raise ValueError(f"{paired[0]} compares with the real NIR image, which '{self.method}' lacks; set it to 0")
        if self.discriminator_window is not None or self.optimizer.discriminator_first:
            raise ValueError(
                f"discriminator_window and optimizer.discriminator_first are not of the method '{self.method}'; leave "
                "them out"
            )
        return self

    @model_validator(mode="after")
    def _bridge_stands_alone(self) -> Self:
        if (self.method == "bridge") != (self.generator.kind == "bbdm"):
            raise ValueError(
                f"the method '{self.method}' can't train a generator of the kind '{self.generator.kind}'; the method "
                "'bridge' and the kind 'bbdm' go together"
            )
        if self.method != "bridge":
            return self
        losses = self.losses
        names = ("adversarial", "feature_matching", "ssim", "structure", "gradients", "features")
        others = [f"losses.{name}" for name in names if getattr(losses, name)]
        others += ["losses.perceptual.weight"] if losses.perceptual.weight else []
        if others:
            raise ValueError(f"{others[0]} is of no use to the method 'bridge', which knows losses.pixel; set it to 0")
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        sizes = {f"stages.{position}.size": stage.size for position, stage in enumerate(self.stages)}
        if self.save.validation_images:
            sizes["save.validation_size"] = self.save.validation_size
        for name, size in sizes.items():
            if size % self.generator.stride:
                raise ValueError(f"{name} is {size}, but the generator takes multiples of {self.generator.stride}")
            if size < self.generator.least_side:
                raise ValueError(f"{name} is {size}, but the generator takes at least {self.generator.least_side}")
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
    def _one_batch_a_step(self) -> Self:
        if self.optimizer.discriminator_first and self.optimizer.accumulate > 1:
            raise ValueError("optimizer.discriminator_first updates them in each batch; set optimizer.accumulate to 1")
        return self

    @model_validator(mode="after")
    def _something_teaches(self) -> Self:
        if self.unpaired:
            return self
        perceptual = self.losses.perceptual
        losses = self.losses
        always = losses.ssim + losses.pixel + losses.structure + losses.gradients + losses.features
        always += perceptual.weight if perceptual.teaches else 0.0
        for position, stage in enumerate(self.stages):
            judged = self.losses.adversarial + self.losses.feature_matching if stage.adversarial else 0.0
            if always + judged == 0:
                raise ValueError(f"stages.{position} has no loss that teaches the generator; give one a weight")
        return self

    @classmethod
    def load(cls, config: str, changes: Sequence[str] = (), given: Mapping[str, Any] | None = None) -> Self:
        """Read a preset or a YAML file, overlaid by `changes` and `given` (see `overlay`)."""
        if config not in PRESETS and not Path(config).exists():
            raise ConfigError(f"{config}: no such file, and no preset (there are {', '.join(PRESETS)})")
        for text in changes:
            if text.startswith("preset="):
                raise ConfigError(f"--set {text}: name the preset in CONFIG's place")
        values = {"preset": config} if config in PRESETS else read_yaml(Path(config))
        return cls.overlay(values, changes, given or {}, where=config)

    @property
    def unpaired(self) -> bool:
        """True if RGB and NIR images are drawn independently."""
        return self.method in {"cycle", "latent"}

    @property
    def adversarial(self) -> bool:
        """True if a stage trains with the discriminators."""
        teaches = self.losses.adversarial > 0 or self.losses.feature_matching > 0
        return teaches and any(stage.adversarial for stage in self.stages)

    def total_steps(self, pairs: int, processes: int = 1) -> int:
        """Return the optimizer steps of the whole run; epochs are counted with the batch size of each stage."""
        if self.steps is not None:
            return self.steps
        draws = (self.epochs or 1000) * pairs
        crops = processes * self.optimizer.accumulate
        return max(1, round(draws / sum(stage.share * stage.batch * crops for stage in self.stages)))

    def stage_at(self, progress: float) -> Stage:
        """Return the stage at a share of the run, in [0, 1]."""
        ends = itertools.accumulate(stage.share for stage in self.stages)
        return next((stage for stage, end in zip(self.stages, ends, strict=True) if progress < end), self.stages[-1])

    @classmethod
    def paper(cls) -> Self:
        """Equations 2 to 7 and Section 4.2: Adam at 1e-4, cosine with warm-up, 256x256, 1000 epochs.

        The paper states neither betas nor batch size; these are the released code's.
        """
        return cls()

    @classmethod
    def released(cls) -> Self:
        """The authors' code at c95c865, its errors included (docs/reproduction.md lists them)."""
        perceptual = PerceptualConfig(weight=5.0, target="rgb", teaches=False)
        return cls(
            generator=GeneratorConfig.released(),
            initialization="normal",
            discriminator=DiscriminatorConfig(in_channels=6, norm="batch"),
            losses=LossConfig(gan="lsgan", feature_matching=5 / 3, ssim_range="batch", perceptual=perceptual),
            optimizer=OptimizerConfig(schedule="released", ema_decay=0.0),
            crops=CropConfig(flip=False),
            epochs=1000,
        )

    @classmethod
    def compact(cls) -> Self:
        """The embedded model's procedure, going on from its weights: few pairs and no GPU, so no discriminators.

        To begin as it did, set `start_from` to null and `generator.extractor.pretrained` to true.
        """
        return cls(
            data=DataConfig(category_weights={"urban": 4.0, "street": 4.0, "oldbuilding": 4.0}),
            generator=GeneratorConfig.compact(),
            start_from="compact",
            losses=LossConfig(adversarial=0.0, feature_matching=0.0, ssim=1.0, pixel=1.5, structure=1.5, gradients=0.7),
            crops=CropConfig(
                kind="resized",
                whole=0.6,
                smallest=0.3,
                gamma=0.2,
                gain=0.1,
                white_balance=0.07,
                saturation=0.1,
                casts=0.25,
                haze=0.1,
                clipped=0.12,
                contrast=0.15,
                jpeg=0.04,
                night=0.04,
                mixup=0.5,
            ),
            stages=(Stage(size=256, batch=8, adversarial=False),),
            optimizer=OptimizerConfig(
                kind="adamw",
                learning_rate=1e-3,
                extractor_learning_rate=1e-4,
                freeze_extractor_norm=True,
                betas=(0.9, 0.99),
                weight_decay=0.05,
                gradient_clip=1.0,
                warmup=0.02,
                ema_decay=0.99,
            ),
            steps=1000,
        )


PRESETS = {"paper": TrainConfig.paper, "released": TrainConfig.released, "compact": TrainConfig.compact}
PRESETS |= {name: functools.partial(TrainConfig.read, values, where=name) for name, values in SYSTEMS.items()}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested plain values with changes merged in.

    Lists, mappings with a `preset` of their own, extractors, generators of another kind, and category weights are
    replaced as a whole.

    Example:
        >>> merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 5}, "d": [2, 3]})
        {'a': {'b': 5, 'c': 2}, 'd': [2, 3]}
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        whole = key in {"category_weights", "extractor"} or (isinstance(value, dict) and "preset" in value)
        if key == "generator" and isinstance(value, dict) and isinstance(old, dict):
            whole = whole or value.get("kind", old.get("kind")) != old.get("kind")
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) and not whole else value
    return result
