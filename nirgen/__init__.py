"""Near-infrared training images from RGB images and their labels."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nirgen.model import NirModel, load_model
    from nirgen.translate.run import translate_folder

__version__ = "0.1.0"
__all__ = ["NirModel", "__version__", "load_model", "translate_folder"]

_HOMES = {"NirModel": "nirgen.model", "load_model": "nirgen.model", "translate_folder": "nirgen.translate.run"}


def __getattr__(name: str) -> Any:
    """Import the public names at their first use, so that `import nirgen` stays light."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nirgen' has no attribute '{name}'")
