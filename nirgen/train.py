"""Training of a generator (Pix2Next, Section 3.2 and Algorithm 1).

Beside the paper's three terms there is a pixel term, and the adversarial terms may start late: with a few hundred pairs
and no GPU a network must first learn the brightness of things, which a pixel term teaches fastest.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
import torchvision.transforms.v2.functional as TF
from pydantic import Field, model_validator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nirgen import losses
from nirgen.config import FrozenConfig
from nirgen.errors import ConfigError, ImageError, OutputError
from nirgen.files import make_folder
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import GeneratorConfig
from nirgen.models.discriminator import DiscriminatorConfig, MultiScaleDiscriminator
from nirgen.pairs import read_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.models.generator import Pix2Next
    from nirgen.pairs import PairList


class Stage(FrozenConfig):
    """A part of the run, with its own crop size and losses."""

    share: float = Field(gt=0, le=1)
    """Share of the run."""
    size: int = Field(256, ge=64)
    """Height and width of the crops, in pixels."""
    batch: int = Field(4, ge=1)
    adversarial: bool = True
    """Whether the discriminators take part."""


class TrainConfig(FrozenConfig):
    """All of a training run; the defaults are those of the embedded model."""

    generator: GeneratorConfig = GeneratorConfig.compact()
    start_from: str | None = None
    """A model to take the first weights from: an embedded name, a file or a run folder, of the same architecture."""
    discriminator: DiscriminatorConfig = DiscriminatorConfig(filters=32)
    stages: tuple[Stage, ...] = (
        Stage(share=0.45, size=160, batch=8, adversarial=False),
        Stage(share=0.25, size=256, batch=4, adversarial=False),
        Stage(share=0.3, size=256, batch=4, adversarial=True),
    )
    steps: int = Field(20000, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    """A budget; the whole schedule fits into it."""
    learning_rate: float = Field(1e-3, gt=0)
    discriminator_learning_rate: float = Field(2e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.998, ge=0, lt=1)
    gan: Literal["vanilla", "lsgan", "hinge"] = "lsgan"
    adversarial_weight: float = Field(0.1, ge=0)
    feature_matching_weight: float = Field(1.0, ge=0)
    ssim_weight: float = Field(2.0, ge=0)
    pixel_weight: float = Field(4.0, ge=0)
    adversarial_crop: int = Field(128, ge=64)
    """Side of the random part of a crop that the discriminators see, in pixels."""
    smallest_crop: float = Field(0.2, gt=0, le=1)
    """Smallest share of a photo's area that a crop takes."""
    darkened: float = Field(0.12, ge=0, le=1)
    """Share of the crops that lose most of their light, as if taken at night."""
    category_weights: dict[str, float] = Field({"urban": 3.0, "street": 3.0, "oldbuilding": 3.0})
    """How much oftener a pair of a category is drawn."""
    seed: int = 0

    @model_validator(mode="after")
    def _discriminator_takes_pairs(self) -> Self:
        expected = 3 + self.generator.output_channels
        if self.discriminator.in_channels != expected:
            raise ValueError(
                f"discriminator.in_channels is {self.discriminator.in_channels}, but RGB and the generator's output "
                f"have {expected}"
            )
        return self


@dataclass(frozen=True)
class Photo:
    """A decoded pair: rgb (3, H, W) and nir (1, H, W), uint8."""

    rgb: Tensor
    nir: Tensor


def read_photos(pairs: PairList) -> list[Photo]:
    """Decode all pairs of a list.

    Raises:
        ImageError: As `read_pair`, or the two sizes of a pair differ.
    """
    photos = []
    for pair in pairs.pairs:
        rgb, nir = read_pair(pairs, pair)
        if rgb.shape[:2] != nir.shape:
            raise ImageError(
                f"{pairs.root / pair.nir}: {nir.shape[1]}x{nir.shape[0]}, but its RGB partner is "
                f"{rgb.shape[1]}x{rgb.shape[0]}; align and crop them alike"
            )
        photos.append(Photo(torch.from_numpy(rgb).permute(2, 0, 1), torch.from_numpy(nir[None])))
    return photos


class Sampler:
    """Draws augmented crops: geometry alike for both images, photometry for RGB alone."""

    def __init__(
        self, photos: list[Photo], weights: list[float], *, smallest_crop: float, darkened: float, seed: int
    ) -> None:
        self.photos = photos
        self.weights = np.asarray(weights) / np.sum(weights)
        self.smallest_crop = smallest_crop
        self.darkened = darkened
        self.random = np.random.default_rng(seed)

    def batch(self, count: int, size: int) -> tuple[Tensor, Tensor]:
        """Draw a batch.

        Returns:
            rgb (count, 3, size, size) and nir (count, 1, size, size), float32 in [-1, 1].
        """
        drawn = [
            self._crop(self.photos[index], size)
            for index in self.random.choice(len(self.photos), count, p=self.weights)
        ]
        rgb = torch.stack([rgb for rgb, _ in drawn]).float() / 127.5 - 1
        nir = torch.stack([nir for _, nir in drawn]).float() / 127.5 - 1
        return self._darken(self._expose(rgb), nir)

    def _crop(self, photo: Photo, size: int) -> tuple[Tensor, Tensor]:
        """A random part of a photo, squashed to size x size, mirrored half of the time."""
        height, width = photo.rgb.shape[-2:]
        area = np.exp(self.random.uniform(np.log(self.smallest_crop), 0.35))  # over 1: the whole photo, as it is judged
        if area >= 1:
            box = (0, 0, height, width)
        else:
            aspect = np.exp(self.random.uniform(-0.3, 0.3))
            h = int(np.clip(round(height * np.sqrt(area * aspect)), 16, height))
            w = int(np.clip(round(width * np.sqrt(area / aspect)), 16, width))
            box = (int(self.random.integers(height - h + 1)), int(self.random.integers(width - w + 1)), h, w)
        mirrored = self.random.random() < 0.5
        parts = []
        for part in (photo.rgb, photo.nir):
            crop = TF.resized_crop(part, *box, [size, size], antialias=True)
            parts.append(crop.flip(-1) if mirrored else crop)
        return parts[0], parts[1]

    def _expose(self, rgb: Tensor) -> Tensor:
        """Random exposure, contrast and white balance of each image, mild enough to leave a plausible photo."""
        n = len(rgb)
        gamma = np.exp(self.random.normal(0, 0.12, (n, 1, 1, 1)))
        gain = np.exp(self.random.normal(0, 0.06, (n, 1, 1, 1)) + self.random.normal(0, 0.025, (n, 3, 1, 1)))
        unit = (rgb + 1) / 2
        changed = unit.pow(torch.from_numpy(gamma).float()) * torch.from_numpy(gain).float()
        return changed.clamp(0, 1) * 2 - 1

    def _darken(self, rgb: Tensor, nir: Tensor) -> tuple[Tensor, Tensor]:
        """Turn some pairs into night: both images alike lose light, and RGB gets a sensor's noise.

        Photos by day alone would teach that nothing is ever dark.
        """
        n = len(rgb)
        night = self.random.random((n, 1, 1, 1)) < self.darkened
        gain = torch.from_numpy(np.where(night, np.exp(self.random.uniform(-3, -0.3, (n, 1, 1, 1))), 1.0)).float()
        noise = torch.from_numpy(self.random.normal(0, 0.012, tuple(rgb.shape)) * night).float()
        return ((rgb + 1) / 2 * gain + noise).clamp(0, 1) * 2 - 1, (nir + 1) * gain - 1


def _first_generator(config: TrainConfig) -> tuple[Pix2Next, dict[str, Any]]:
    """A fresh generator and an empty header, or the generator that the run starts from and its header.

    Raises:
        ConfigError: That one is of another architecture.
    """
    if config.start_from is None:
        return build(config.generator, load_weights=True), {}
    path = find_model(config.start_from)
    generator, header = load(path)
    if generator.config != config.generator:
        raise ConfigError(f"{path}: another architecture than 'generator' says; start from a model of the same one")
    return generator.train(), header


class Trainer:
    """State of one run: networks, optimizers, and the step that advances them.

    Args:
        config: The run.
        photos: Decoded training pairs.
        weights: How often each is drawn.
    """

    def __init__(self, config: TrainConfig, photos: list[Photo], weights: list[float]) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        generator, self.start_header = _first_generator(config)
        self.generator = generator.to(memory_format=torch.channels_last)
        self.discriminator = MultiScaleDiscriminator(config.discriminator)
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.sampler = Sampler(
            photos, weights, smallest_crop=config.smallest_crop, darkened=config.darkened, seed=config.seed
        )
        self.generator_optimizer = torch.optim.AdamW(
            self.generator.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.discriminator_learning_rate, betas=(0.5, 0.999)
        )

    def stage(self, progress: float) -> Stage:
        """The stage that a share of the run falls into."""
        end = 0.0
        for stage in self.config.stages:
            end += stage.share
            if progress < end:
                return stage
        return self.config.stages[-1]

    def step(self, progress: float) -> dict[str, float]:
        """One batch: losses, backward, both optimizers, the average.

        Args:
            progress: Share of the run that is done, in [0, 1].

        Returns:
            The value of each loss term, by name.
        """
        config, stage = self.config, self.stage(progress)
        for group in self.generator_optimizer.param_groups:
            group["lr"] = config.learning_rate * losses.warmup_cosine(progress)
        rgb, nir = self.sampler.batch(stage.batch, stage.size)
        nir = nir.expand(-1, config.generator.output_channels, -1, -1)
        generated = self.generator(rgb.to(memory_format=torch.channels_last))

        terms = {
            "pixel": config.pixel_weight * losses.rmse_loss(generated, nir),
            "ssim": config.ssim_weight * (1 - losses.ssim(generated, nir, data_range=2).mean()),
        }
        reported: dict[str, float] = {}
        if stage.adversarial:
            terms |= self._adversarial(rgb, nir, generated, reported)

        # update the generator
        total = torch.stack(list(terms.values())).sum()
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), config.gradient_clip)
        self.generator_optimizer.step()
        self.average.update_parameters(self.generator)
        return {name: float(term.detach()) for name, term in terms.items()} | reported

    def _adversarial(
        self, rgb: Tensor, nir: Tensor, generated: Tensor, reported: dict[str, float]
    ) -> dict[str, Tensor]:
        """Update the discriminators on a part of the crop; return the generator's terms against them."""
        config = self.config
        side = min(config.adversarial_crop, rgb.shape[-1])
        top, left = (int(self.sampler.random.integers(rgb.shape[-1] - side + 1)) for _ in range(2))
        window = (..., slice(top, top + side), slice(left, left + side))
        rgb, nir, generated = rgb[window], nir[window], generated[window]

        # update the discriminators
        self.discriminator.requires_grad_(True)
        real_maps = self.discriminator(torch.cat((rgb, nir), dim=1))
        fake_maps = self.discriminator(torch.cat((rgb, generated.detach()), dim=1))
        loss = losses.discriminator_loss([m[-1] for m in real_maps], [m[-1] for m in fake_maps], config.gan)
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.discriminator_optimizer.step()
        reported["discriminator"] = float(loss.detach())

        # judge the generator
        self.discriminator.requires_grad_(False)
        fake_maps = self.discriminator(torch.cat((rgb, generated), dim=1))
        features = ([m[:-1] for m in real_maps], [m[:-1] for m in fake_maps])
        return {
            "adversarial": config.adversarial_weight * losses.generator_loss([m[-1] for m in fake_maps], config.gan),
            "feature_matching": config.feature_matching_weight * losses.feature_matching_loss(*features),
        }


def train(
    pairs: PairList,
    config: TrainConfig,
    out: Path,
    *,
    report: Callable[[int, float, dict[str, float]], None] | None = None,
) -> Path:
    """Train a generator on the `train` split and write it.

    Args:
        pairs: The list; only its split `train` is used.
        config: The run.
        out: A new folder: `config.json`, `pairs.csv`, `log.jsonl`, `model.safetensors` (the weights' moving average).
        report: Called after each step with the step, the share of the run that is done, and the loss terms.

    Returns:
        The model file.

    Raises:
        ConfigError: The stages' shares don't add up to 1, or a loss became NaN or infinite.
        ImageError: A pair can't be read.
        OutputError: The folder holds a run already, or can't be made.
    """
    if abs(sum(stage.share for stage in config.stages) - 1) > 1e-6:
        raise ConfigError(
            f"the stages' shares add up to {sum(stage.share for stage in config.stages):g}; they must add up to 1"
        )
    if (out / "config.json").exists():
        raise OutputError(f"{out}: holds a training run already; name a new folder")
    chosen = pairs.split("train")
    photos = read_photos(chosen)
    weights = [config.category_weights.get(pair.category, 1.0) for pair in chosen.pairs]
    trainer = Trainer(config, photos, weights)
    make_folder(out)
    (out / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    chosen.write(out / "pairs.csv")

    model = out / "model.safetensors"
    begin = saved = time.monotonic()
    step, progress = 0, 0.0
    with (out / "log.jsonl").open("w", encoding="utf-8") as log:
        while progress < 1:
            terms = trainer.step(progress)
            if not all(np.isfinite(value) for value in terms.values()):
                kept = f"; the last good model is {model}" if model.exists() else ""
                raise ConfigError(f"step {step}: a loss is not finite ({terms}); lower learning_rate{kept}")
            step += 1
            spent = (time.monotonic() - begin) / 60
            progress = max(step / config.steps, spent / config.max_minutes if config.max_minutes else 0.0)
            if step % 20 == 0 or progress >= 1:
                line = {"step": step, "minutes": round(spent, 2), "progress": round(progress, 4)}
                log.write(json.dumps(line | {name: round(value, 5) for name, value in terms.items()}) + "\n")
                log.flush()
            if report is not None:
                report(step, min(progress, 1.0), terms)
            if time.monotonic() - saved > 120:
                _save(model, trainer, chosen, step, spent)
                saved = time.monotonic()
    _save(model, trainer, chosen, step, (time.monotonic() - begin) / 60)
    return model


def _save(path: Path, trainer: Trainer, pairs: PairList, step: int, minutes: float) -> None:
    """Write the averaged weights, in half precision, with all that made them."""
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in trainer.average.module.state_dict().items()
    }
    seen_before = trainer.start_header.get("training", {}).get("pairs", [])
    seen_now = [
        {"name": p.name, "rgb_sha256": p.rgb_sha256, "nir_sha256": p.nir_sha256, "sequence": p.sequence}
        for p in pairs.pairs
    ]
    training: dict[str, Any] = {
        "config": trainer.config.model_dump(mode="json", exclude={"generator", "start_from"}),
        "pairs": list({pair["nir_sha256"]: pair for pair in [*seen_before, *seen_now]}.values()),
        "start_model_id": trainer.start_header.get("model_id"),
        "steps": step,
        "minutes": round(minutes, 1),
        "ema": True,
    }
    save(path, state, _without_paths(trainer.config.generator), training=training, licence="see the model card")


def _without_paths(config: GeneratorConfig) -> GeneratorConfig:
    """The architecture as a model file states it: where the extractor's first weights lay is no part of it."""
    if getattr(config.extractor, "weights", None) is None:
        return config
    return config.model_copy(update={"extractor": config.extractor.model_copy(update={"weights": None})})
