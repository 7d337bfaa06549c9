"""The number format that a generator computes in.

Half precision is the default on GPUs that have hardware for bf16. On processors it must be asked for: without hardware
it is some hundred times slower than float32, and with it the same command would give other pixels than elsewhere.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, get_args

import torch

from nirgen.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Generator

Precision = Literal["fp32", "bf16", "fp16"]
Wanted = Literal["auto", "fp32", "bf16", "fp16"]

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """What to compute in.

    Args:
        wanted: `fp32`, `bf16`, `fp16`; or `auto`: `bf16` on GPUs that have hardware for it, else `fp32`.
        device: Where the generator runs.

    Raises:
        ConfigError: There is no such precision.

    Example:
        >>> choose_precision("fp16", torch.device("cpu"))
        'fp16'
    """
    for name in get_args(Precision):
        if name == wanted:
            return name  # type: ignore[no-any-return]
    if wanted != "auto":
        known = get_args(Wanted)
        raise ConfigError(f"precision is '{wanted}'{nearest(wanted, known)} (there are {', '.join(known)})")
    return "bf16" if _has_bf16(device) else "fp32"


def _has_bf16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Generator[None]:
    """Compute in a precision, by the same algorithms at each call.

    On a GPU, `fp32` is float32 indeed and not TF32, and cuDNN neither tries algorithms out nor takes one whose sums
    depend on timing.

    Args:
        precision: Of convolutions and matrix products; normalisations stay in float32.
        device: Where.
    """
    with ExitStack() as stack:
        if device.type == "cuda":
            settings = {"benchmark": False, "deterministic": True, "allow_tf32": precision != "fp32"}
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, **settings))
        if precision in _HALVES:
            stack.enter_context(torch.autocast(device.type, dtype=_HALVES[precision]))
        yield
