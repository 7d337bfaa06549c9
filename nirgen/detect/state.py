"""All that a detector's training has learned, and where it stands: what a checkpoint holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nirgen import losses
from nirgen.detect.networks import FRESH
from nirgen.errors import ConfigError
from nirgen.train.state import moving_average

if TYPE_CHECKING:
    from nirgen.detect.config import DetectConfig
    from nirgen.detect.networks import Network


_NOISE = 4  # what a step's random numbers are for
_PASSED_OVER = 10  # in a row, before a run gives up
_TERMS = ("loss_vfl", "loss_bbox", "loss_giou")
"""Of the last decoder layer, as transformers calls them; the log has them without `loss_`."""


class NotFiniteError(Exception):
    """A loss or a gradient that is NaN or infinite."""


class State:
    """Network, moving average, optimizer and counters of a run.

    Args:
        config: The run.
        network: What is trained, with heads for the dataset's categories.
        device: Where it is.

    Attributes:
        model: What is trained.
        average: The moving average of its weights, which is what is kept.
        step: Steps done.
        minutes: Time spent, over all sittings.
        passed_over: Steps in a row whose gradient was not finite, as that of a batch of black images may be; they
            changed no weight.
    """

    def __init__(self, config: DetectConfig, network: Network, device: torch.device) -> None:
        self.config = config
        self.network = network
        self.device = device
        self.model = network.model.to(device)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(config.ema_decay))
        self.optimizer = torch.optim.AdamW(_groups(config, self.model))
        self.step = self.passed_over = 0
        self.minutes = 0.0

    def update(self, pixels: Tensor, labels: list[dict[str, Tensor]]) -> dict[str, float]:
        """Make a step.

        Args:
            pixels: (N, S, S, 3) uint8.
            labels: For each image `boxes` (n, 4), cxcywh as shares, and `class_labels` (n,).

        Returns:
            The loss, its terms in the last layer, and the norm of the gradient before it was clipped.

        Raises:
            NotFiniteError: The loss isn't finite, or the gradient of many steps in a row; no weight was changed.
        """
        torch.manual_seed(int(np.random.SeedSequence((self.config.seed, _NOISE, self.step)).generate_state(1)[0]))
        loss, terms = self.loss(pixels, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip))
        if np.isfinite(norm):
            self._follow_gradient()
        elif self.passed_over == _PASSED_OVER:
            raise NotFiniteError(f"the gradient is {norm}, as in the {_PASSED_OVER} steps before")
        else:
            self.passed_over += 1
        self.step += 1
        return terms | {"gradient_norm": norm}

    def _follow_gradient(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * self.factor
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.passed_over = 0

    def loss(self, pixels: Tensor, labels: list[dict[str, Tensor]]) -> tuple[Tensor, dict[str, float]]:
        """What a step minimises, as transformers computes it, and its terms.

        Raises:
            NotFiniteError: It is NaN or infinite.
        """
        self.model.train()
        batch = self.network.normalise(pixels.to(self.device))
        on_device = [{name: tensor.to(self.device) for name, tensor in label.items()} for label in labels]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            try:
                outputs = self.model(pixel_values=batch, labels=on_device)
            except ValueError as error:  # transformers refuses to match boxes that are NaN
                if self._finds_boxes(batch):
                    raise
                raise NotFiniteError("the boxes are nan") from error
        loss: Tensor = outputs.loss
        found = {"loss": loss} | {name: outputs.loss_dict[name] for name in _TERMS if name in outputs.loss_dict}
        terms = {name.removeprefix("loss_"): float(value.detach()) for name, value in found.items()}
        if not np.isfinite(terms["loss"]):
            raise NotFiniteError(f"the loss is {terms['loss']}")
        return loss, terms

    @torch.no_grad()
    def _finds_boxes(self, batch: Tensor) -> bool:
        """Whether all boxes that the network finds are finite."""
        return bool(torch.isfinite(self.model(pixel_values=batch).pred_boxes).all())

    @property
    def factor(self) -> float:
        """On all learning rates, in the step that comes."""
        return losses.warmup_cosine((self.step + 0.5) / self.config.steps, self.config.warmup)

    def dump(self) -> dict[str, Any]:
        """Tensors and plain values by name; random numbers need no entry, for they follow from seed and step."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "passed_over": self.passed_over,
            "minutes": self.minutes,
        }

    def restore(self, values: dict[str, Any], where: str) -> None:
        """Take over what `dump` gave.

        Args:
            values: Of a run with the same network.
            where: What they came from, for the error.

        Raises:
            ConfigError: They are of another network.
        """
        try:
            for name in ("model", "average", "optimizer"):
                getattr(self, name).load_state_dict(values[name])
            self.step, self.passed_over = int(values["step"]), int(values["passed_over"])
            self.minutes = float(values["minutes"])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ConfigError(f"{where}: of another network ({reason}); name a new folder") from None


def _groups(config: DetectConfig, model: nn.Module) -> list[dict[str, Any]]:
    """Parameters by learning rate and decay: the backbone has a rate of its own, biases and norms don't decay."""
    backbone = config.backbone_learning_rate
    if backbone is None:
        backbone = config.learning_rate * (1.0 if config.model in FRESH else 0.1)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = backbone if "backbone" in name else config.learning_rate
            groups.setdefault((rate, config.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
