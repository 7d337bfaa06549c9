"""Evaluation of generated NIR against real NIR, beside baselines that need no model.

Data flows one way: cases (real images) and methods (what generates them) -> scores (per image) -> summary (means,
intervals, comparisons) -> report (tables, files, a page).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nirgen.evaluate.run import evaluate_methods
    from nirgen.evaluate.summary import Settings, as_metrics, evaluate

__all__ = ["Settings", "as_metrics", "evaluate", "evaluate_methods"]


def __getattr__(name: str) -> Any:
    """Import the public names at their first use."""
    if name not in __all__:
        raise AttributeError(f"module 'nirgen.evaluate' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"nirgen.evaluate.{'run' if name == 'evaluate_methods' else 'summary'}"), name)
