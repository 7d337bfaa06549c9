"""State of a detector's training, and its step."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nirgen import losses
from nirgen.detect.networks import FRESH
from nirgen.devices import autocast
from nirgen.train.state import BaseState, NotFiniteError, moving_average

if TYPE_CHECKING:
    from nirgen.detect.config import DetectConfig
    from nirgen.detect.networks import Network


_NOISE = 4  # key of a step's random numbers
_MOST_SKIPPED = 10  # steps in a row, before a run fails
_TERMS = ("loss_vfl", "loss_bbox", "loss_giou")  # of the last decoder layer, in transformers' names


class State(BaseState):
    """Network, with heads for the dataset's categories, moving average, best weights, optimizer and counters."""

    counters = ("step", "passed_over", "minutes", "validated", "best_ap", "ap_step", "stale")

    def __init__(self, config: DetectConfig, network: Network, device: torch.device) -> None:
        self.config = config
        self.network = network
        self.model = network.model.to(device)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(config.ema_decay))  # written as the model
        self.optimizer = torch.optim.AdamW(_groups(config, self.model))
        super().__init__(device, {"model": self.model, "average": self.average, "optimizer": self.optimizer})
        self.passed_over = 0  # steps in a row whose gradient was not finite; they changed no weight
        self.validated = 0  # step of the last validation
        self.best_ap, self.ap_step = -1.0, 0  # highest AP of a validation, and the last step that reached it
        self.stale = 0  # validations since AP rose
        self._best: dict[str, Tensor] = {}  # averaged weights of that step, on the CPU; empty before a validation

    @property
    def chosen(self) -> nn.Module:
        """The averaged weights of the best validation; of the last step if there was none."""
        if not self._best:
            return self.average.module
        model = copy.deepcopy(self.average.module)
        model.load_state_dict(self._best)
        return model

    @property
    def chosen_step(self) -> int:
        """The step of the weights in `chosen`."""
        return self.ap_step if self._best else self.step

    @property
    def over(self) -> bool:
        """True after the last step, or after `patience` validations in a row without a higher AP."""
        patience = self.config.patience
        return self.step >= self.config.steps or (patience is not None and self.stale >= patience)

    def note(self, ap: float) -> None:
        """Take the AP of a validation of the averaged weights; of equal ones the last are the best."""
        self.validated = self.step
        self.stale = 0 if ap > self.best_ap else self.stale + 1
        if ap >= self.best_ap:
            self.best_ap, self.ap_step = ap, self.step
            weights = self.average.module.state_dict()
            self._best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}

    def dump(self) -> dict[str, Any]:
        """Return tensors and plain values by name."""
        return super().dump() | {"best": self._best}

    def restore(self, values: dict[str, Any], where: object) -> None:
        """Load what `dump` returned; see `BaseState.restore`."""
        of_older_runs: dict[str, Any] = {"validated": 0, "best_ap": -1.0, "ap_step": 0, "stale": 0, "best": {}}
        values = of_older_runs | values
        super().restore(values, where)
        self._best = values["best"]

    def update(self, pixels: Tensor, labels: list[dict[str, Tensor]]) -> dict[str, float]:
        """Make a step; return the loss, its terms in the last layer, and the norm of the gradient before clipping.

        `pixels` are (N, S, S, 3) uint8; labels have `boxes`, (n, 4) cxcywh as shares, and `class_labels`, (n,).

        Raises:
            NotFiniteError: The loss is not finite, or the gradients of many steps in a row; no weight was changed.
        """
        torch.manual_seed(int(np.random.SeedSequence((self.config.seed, _NOISE, self.step)).generate_state(1)[0]))

        # accumulate gradients
        loss, terms = self.loss(pixels, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip))

        # update weights and their average; a batch of black images may have no finite gradient
        if np.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = group["base_lr"] * self.factor
            self.optimizer.step()
            self.average.update_parameters(self.model)
            self.passed_over = 0
        elif self.passed_over == _MOST_SKIPPED:
            raise NotFiniteError(f"the gradient is {norm}, as in the {_MOST_SKIPPED} steps before")
        else:
            self.passed_over += 1
        self.step += 1
        return terms | {"gradient_norm": norm}

    def loss(self, pixels: Tensor, labels: list[dict[str, Tensor]]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss as transformers computes it, and its terms; NotFiniteError if it is NaN or infinite."""
        self.model.train()
        batch = self.network.normalise(pixels.to(self.device))
        on_device = [{name: tensor.to(self.device) for name, tensor in label.items()} for label in labels]
        with autocast(self.config.precision, self.device):
            try:
                outputs = self.model(pixel_values=batch, labels=on_device)
            except ValueError as error:  # transformers refuses to match boxes that are NaN
                with torch.no_grad():
                    boxes = self.model(pixel_values=batch).pred_boxes
                if torch.isfinite(boxes).all():
                    raise
                raise NotFiniteError("the boxes are nan") from error
        loss: Tensor = outputs.loss
        found = {"loss": loss} | {name: outputs.loss_dict[name] for name in _TERMS if name in outputs.loss_dict}
        terms = {name.removeprefix("loss_"): float(value.detach()) for name, value in found.items()}
        if not np.isfinite(terms["loss"]):
            raise NotFiniteError(f"the loss is {terms['loss']}")
        return loss, terms

    @property
    def factor(self) -> float:
        """Factor on all learning rates in the next step."""
        return losses.warmup_cosine((self.step + 0.5) / self.config.steps, self.config.warmup)


def _groups(config: DetectConfig, model: nn.Module) -> list[dict[str, Any]]:
    """Return parameters by learning rate and decay: the backbone has its own rate, biases and norms don't decay."""
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
