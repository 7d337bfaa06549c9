"""From the name of a model on the command line to its file: an embedded name, a path, or a run folder."""

from __future__ import annotations

from pathlib import Path

from nirgen.errors import ModelError, nearest

EMBEDDED = Path(__file__).parent / "embedded"
RUN_FILE = "model.safetensors"


def embedded_models() -> dict[str, Path]:
    """The models that come with the package, by name."""
    return {path.stem: path for path in sorted(EMBEDDED.glob("*.safetensors"))}


def find_model(name: str | Path) -> Path:
    """The file of a model.

    Args:
        name: An embedded name, the path of a `.safetensors` file, or a training run's folder.

    Returns:
        An existing file.

    Raises:
        ModelError: There is no such model; the nearest embedded name is suggested.
    """
    embedded = embedded_models()
    if str(name) in embedded:
        return embedded[str(name)]
    path = Path(name)
    if path.is_dir():
        if (path / RUN_FILE).is_file():
            return path / RUN_FILE
        raise ModelError(
            f"{path}: a folder without {RUN_FILE}; name the folder that 'nirgen train' wrote, or a model file"
        )
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        raise ModelError(f"{path}: no such model file; 'nirgen models list' shows the embedded ones")
    raise ModelError(
        f"no model '{name}'{nearest(str(name), embedded)} (embedded: {', '.join(embedded) or 'none'}; "
        "else the path of a .safetensors file or of a run folder)"
    )
