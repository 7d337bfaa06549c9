"""Near-infrared training images from RGB images and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nirgen._version import __version__

if TYPE_CHECKING:
    from nirgen.errors import NirgenError
    from nirgen.model import NirModel, load_model
    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.run import translate_folder

__all__ = ["NirModel", "NirgenError", "RunOptions", "TranslateOptions", "__version__", "load_model", "translate_folder"]

_HOMES = {
    "NirModel": "nirgen.model",
    "NirgenError": "nirgen.errors",
    "RunOptions": "nirgen.translate.options",
    "TranslateOptions": "nirgen.translate.options",
    "load_model": "nirgen.model",
    "translate_folder": "nirgen.translate.run",
}


def __getattr__(name: str) -> Any:
    """Import the public names at their first use, so that `import nirgen` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nirgen' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
