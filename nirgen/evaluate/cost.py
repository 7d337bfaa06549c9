"""Costs and terms of methods beside their quality: parameters, operations and seconds of an image, licence."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from nirgen.errors import counted
from nirgen.model import BaselineModel, ForeignModel, GeneratorModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.evaluate.methods import Method
    from nirgen.model import NirModel


UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cost:
    """Cost and terms of a method; None is unknown, as for images made elsewhere."""

    parameters: int | None = None
    gmac: float | None = None  # 1e9 multiply-accumulate operations of one image
    seconds: float | None = None  # median of the images, on this machine
    licence: str = UNKNOWN  # as the model's header or the folder's manifest states it

    def texts(self) -> tuple[str, ...]:
        """Return the values for a table, in the order of `COLUMNS`; empty what is unknown.

        Example:
            >>> Cost(6_543_210, 1.23456, 0.1289).texts()
            ('6.54M', '1.23', '0.13', '')
        """
        return (
            "" if self.parameters is None else _amount(self.parameters),
            "" if self.gmac is None else _rounded(self.gmac, 3),
            "" if self.seconds is None else "<0.001" if self.seconds < 0.001 else _rounded(self.seconds, 2),
            "" if self.licence == UNKNOWN else self.licence,
        )


@dataclass(frozen=True)
class Costs:
    """Costs of the methods of an evaluation."""

    size: tuple[int, int]  # (height, width) of the image whose operations are counted
    on: str  # device and threads that the seconds are of
    methods: dict[str, Cost]  # by method

    @property
    def about(self) -> str:
        """Size and machine that the costs are of."""
        return f"GMAC at {self.size[1]}x{self.size[0]}, seconds on {self.on}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "height": self.size[0],
            "width": self.size[1],
            "on": self.on,
            "methods": [{"method": name, **asdict(cost)} for name, cost in self.methods.items()],
        }


COLUMNS = {  # definition by heading, in the order of `Cost.texts`
    "parameters": (
        "trained values of the network; of an ONNX file, its floating-point initializers; of a baseline, its file's "
        "values"
    ),
    "GMAC": (
        "10⁹ multiply-accumulate operations of one image, half of what torch.utils.flop_counter counts: convolutions, "
        "matrix products and attention, no interpolation; unknown of networks of other programs"
    ),
    "s/image": "median of the seconds that an image took here, decoding left out; unknown of folders",
    "licence": "as the model's header, or the folder's manifest, states it",
}


def measure_costs(methods: Sequence[Method], size: tuple[int, int]) -> Costs | None:
    """Count the operations of methods on an image of a size, (height, width); their seconds were taken by `score`.

    None if nothing is known of any method but baselines.
    """
    costs = {method.name: _cost(method, size) for method in methods}
    known = any(any(costs[method.name].texts()) for method in methods if method.kind != "floor")
    return Costs(size, _machine(methods), costs) if known else None


def _cost(method: Method, size: tuple[int, int]) -> Cost:
    seconds = statistics.median(method.seconds) if method.seconds and method.kind != "folder" else None
    if method.model is None:
        return Cost(seconds=seconds, licence=method.licence)
    return Cost(count_parameters(method.model), count_gmac(method.model, size), seconds, method.licence)


def count_parameters(model: NirModel) -> int | None:
    """Return the number of a model's values; None where it can't be known."""
    if isinstance(model, GeneratorModel):
        return sum(parameter.numel() for parameter in model.generator.parameters())
    if isinstance(model, BaselineModel):
        return sum(np.size(array) for array in model.baseline.arrays().values())
    return model.network.count_parameters() if isinstance(model, ForeignModel) else None


def count_gmac(model: NirModel, size: tuple[int, int]) -> float | None:
    """Return the 10⁹ multiply-accumulate operations of a generator on an image of a size, (height, width).

    The image is padded to the network's stride, as in a translation. None for what isn't a generator.
    """
    if not isinstance(model, GeneratorModel):
        return None
    sides = [max(math.ceil(side / model.stride) * model.stride, model.least_side) for side in size]
    rgb = torch.zeros((1, 3, *sides), device=model.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.generator(rgb)
    return counter.get_total_flops() / 2e9 or None


def _machine(methods: Sequence[Method]) -> str:
    """Return the devices that models computed on, as text."""
    devices = [method.model.device for method in methods if method.model is not None]
    names = {f"{device} ({torch.cuda.get_device_name(device)})" for device in devices if device.type == "cuda"}
    names |= {str(device) for device in devices if device.type not in {"cuda", "cpu"}}
    cpu = f"the CPU with {counted(torch.get_num_threads(), 'thread')}"
    others = any(device.type == "cpu" for device in devices) or not names
    return " and ".join([*sorted(names), *([cpu] if others else [])])


def _amount(number: int) -> str:
    """Return a number with three digits.

    Example:
        >>> _amount(812), _amount(231_904_959)
        ('812', '232M')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{_rounded(number / size, 3)}{unit}"
    return str(number)


def _rounded(number: float, digits: int) -> str:
    return f"{float(f'{number:.{digits}g}'):g}"
