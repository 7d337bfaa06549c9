"""Training of a generator (Pix2Next, Section 3.2 and Algorithm 1).

Beside the paper's three terms there is a pixel term, and the adversarial terms may start late: with a few hundred pairs
and no GPU a network must first learn the brightness of things, which a pixel term teaches fastest.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nirgen import losses
from nirgen.config import FrozenConfig
from nirgen.crops import Sampler, read_photos
from nirgen.errors import ConfigError, OutputError
from nirgen.files import make_folder
from nirgen.model import choose_device
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import GeneratorConfig
from nirgen.models.discriminator import DiscriminatorConfig, MultiScaleDiscriminator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from nirgen.crops import Photo
    from nirgen.models.generator import Pix2Next
    from nirgen.pairs import PairList


_CPU = torch.device("cpu")
_MINUTES_BETWEEN_SAVES = 2


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
    category_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {"urban": 3.0, "street": 3.0, "oldbuilding": 3.0}
    )
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

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        for position, stage in enumerate(self.stages):
            if stage.size % self.generator.stride:
                raise ValueError(
                    f"stages.{position}.size is {stage.size}, but the generator takes multiples of "
                    f"{self.generator.stride}"
                )
        return self


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
        device: Where the networks run.
    """

    def __init__(
        self, config: TrainConfig, photos: list[Photo], weights: list[float], device: torch.device = _CPU
    ) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        generator, self.start_header = _first_generator(config)
        self.device = device
        self.generator = generator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = MultiScaleDiscriminator(config.discriminator).to(device)
        self._rehearse()
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

    @torch.no_grad()
    def _rehearse(self) -> None:
        """Run both networks once on next to nothing, so that what doesn't fit fails before anything is written."""
        config = self.config
        try:
            side = math.lcm(self.generator.stride, 32)
            self.generator.eval()(torch.zeros(1, 3, side, side, device=self.device))
            for stage in config.stages:
                if stage.adversarial:
                    side = min(config.adversarial_crop, stage.size)
                    self.discriminator(torch.zeros(1, config.discriminator.in_channels, side, side, device=self.device))
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"the networks can't run as configured ({reason}); change 'generator', 'discriminator' or "
                "'adversarial_crop'"
            ) from error
        finally:
            self.generator.train()

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
        rgb, nir = (part.to(self.device) for part in self.sampler.batch(stage.batch, stage.size))
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
    device: str | None = None,
    licence: str = "unknown",
) -> Path:
    """Train a generator on the `train` split and write it.

    A run that is interrupted, or fails, keeps the model so far, if there is one, and else leaves nothing.

    Args:
        pairs: The list; only its split `train` is used.
        config: The run.
        out: A new folder: `config.json`, `pairs.csv`, `log.jsonl`, `model.safetensors` (the weights' moving average).
        report: Called after each step with the step, the share of the run that is done, and the loss terms.
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best there is by default.
        licence: What may be done with the weights.

    Returns:
        The model file.

    Raises:
        ConfigError: The stages' shares don't add up to 1; the networks can't run as configured; there is no such
            device; or a loss became NaN or infinite.
        KeyboardInterrupt: As it came, once the model so far is written.
        ImageError: A pair can't be read.
        OutputError: The folder holds a run already, or can't be made.
    """
    if abs(sum(stage.share for stage in config.stages) - 1) > 1e-6:
        raise ConfigError(
            f"the stages' shares add up to {sum(stage.share for stage in config.stages):g}; they must add up to 1"
        )
    if (out / "config.json").exists():
        raise OutputError(f"{out}: holds a training run already; name a new folder")
    where = choose_device(device)
    chosen = pairs.split("train")
    weights = [config.category_weights.get(pair.category, 1.0) for pair in chosen.pairs]
    if sum(weights) == 0:
        raise ConfigError("category_weights of 0 leave no pair to train on; give one category more")
    trainer = Trainer(config, read_photos(chosen), weights, where)
    make_folder(out)
    run = Run(out, trainer, chosen, licence)
    try:
        (out / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        chosen.write(out / "pairs.csv")
        return run.train(report)
    except KeyboardInterrupt:
        run.save()
        raise
    finally:
        run.clear_unless_saved()


class Run:
    """The loop of one run, and its folder.

    Args:
        out: The folder.
        trainer: What makes the steps.
        pairs: The pairs trained on.
        licence: What may be done with the weights.
    """

    def __init__(self, out: Path, trainer: Trainer, pairs: PairList, licence: str) -> None:
        self.out = out
        self.model = out / "model.safetensors"
        self.trainer = trainer
        self.pairs = pairs
        self.licence = licence
        self.begin = time.monotonic()
        self.steps = 0

    @property
    def minutes(self) -> float:
        """Since the beginning."""
        return (time.monotonic() - self.begin) / 60

    def train(self, report: Callable[[int, float, dict[str, float]], None] | None) -> Path:
        """Make all steps; write the log, and the model every two minutes and at the end."""
        config, progress, saved = self.trainer.config, 0.0, 0.0
        with (self.out / "log.jsonl").open("w", encoding="utf-8") as log:
            while progress < 1:
                terms = self.trainer.step(progress)
                self._check_finite(terms)
                self.steps += 1
                progress = max(
                    self.steps / config.steps, self.minutes / config.max_minutes if config.max_minutes else 0.0
                )
                if self.steps % 20 == 0 or progress >= 1:
                    line = {"step": self.steps, "minutes": round(self.minutes, 2), "progress": round(progress, 4)}
                    log.write(json.dumps(line | {name: round(value, 5) for name, value in terms.items()}) + "\n")
                    log.flush()
                if report is not None:
                    report(self.steps, min(progress, 1.0), terms)
                if self.minutes - saved > _MINUTES_BETWEEN_SAVES:
                    self.save()
                    saved = self.minutes
        self.save()
        return self.model

    def _check_finite(self, terms: dict[str, float]) -> None:
        if not all(np.isfinite(value) for value in terms.values()):
            kept = f"; the last good model is {self.model}" if self.model.exists() else ""
            raise ConfigError(f"step {self.steps}: a loss is not finite ({terms}); lower learning_rate{kept}")

    def save(self) -> None:
        """Write the averaged weights so far, in half precision, with all that made them; before any step, nothing."""
        if not self.steps:
            return
        config, start = self.trainer.config, self.trainer.start_header
        state = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in self.trainer.average.module.state_dict().items()
        }
        seen_before = start.get("training", {}).get("pairs", [])
        seen_now = [
            {"name": p.name, "rgb_sha256": p.rgb_sha256, "nir_sha256": p.nir_sha256, "sequence": p.sequence}
            for p in self.pairs.pairs
        ]
        training: dict[str, Any] = {
            "config": config.model_dump(mode="json", exclude={"generator", "start_from"}),
            "pairs": list({pair["nir_sha256"]: pair for pair in [*seen_before, *seen_now]}.values()),
            "start_model_id": start.get("model_id"),
            "steps": self.steps,
            "minutes": round(self.minutes, 1),
            "ema": True,
        }
        save(self.model, state, _without_paths(config.generator), training=training, licence=self.licence)

    def clear_unless_saved(self) -> None:
        """Take back the files of a run that has no model, so that they don't stand in the way of the next try."""
        if not self.model.exists():
            for name in ("config.json", "pairs.csv", "log.jsonl"):
                (self.out / name).unlink(missing_ok=True)
            with suppress(OSError):  # a folder that has other files stays
                self.out.rmdir()


def _without_paths(config: GeneratorConfig) -> GeneratorConfig:
    """The architecture as a model file states it: where the extractor's first weights lay is no part of it."""
    if getattr(config.extractor, "weights", None) is None:
        return config
    return config.model_copy(update={"extractor": config.extractor.model_copy(update={"weights": None})})
