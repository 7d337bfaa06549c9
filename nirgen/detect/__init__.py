"""Object detectors: training on a dataset, evaluation, and comparison with and without generated images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nirgen.detect.arms import plan_comparison
    from nirgen.detect.config import BootstrapConfig, CompareConfig, DetectConfig
    from nirgen.detect.detector import load_detector
    from nirgen.detect.evaluation import evaluate
    from nirgen.detect.loop import train
    from nirgen.detect.prediction import predict
    from nirgen.detect.runs import compare

_HOMES = {
    "compare": "runs",
    "evaluate": "evaluation",
    "load_detector": "detector",
    "plan_comparison": "arms",
    "predict": "prediction",
    "train": "loop",
}
__all__ = [
    "BootstrapConfig", "CompareConfig", "DetectConfig", "compare", "evaluate", "load_detector", "plan_comparison",
    "predict", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the public names at their first use, so that reading settings needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'nirgen.detect' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"nirgen.detect.{_HOMES.get(name, 'config')}"), name)
