"""Model files by name, and their headers, read without torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from nirgen.errors import ModelError, nearest
from nirgen.models.config import InternImageConfig

if TYPE_CHECKING:
    from collections.abc import Mapping


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


SCHEMA = 1
HEADER_KEY = "nirgen"
_ENTRIES = {
    "architecture": dict,
    "model_id": str,
    "training": dict,
    "metrics": list,
    "licence": str,
    "provenance": str,
    "nirgen": str,
}


def read_header(path: Path) -> dict[str, Any]:
    """The header of a model file, without reading its tensors.

    Args:
        path: A `.safetensors` file that nirgen wrote.

    Returns:
        schema, nirgen, architecture, model_id, training, metrics, licence, provenance.

    Raises:
        ModelError: The file is missing, isn't safetensors, has no nirgen header, or is of another schema.
    """
    metadata = _read_metadata(path)
    try:
        header = json.loads(metadata[HEADER_KEY])
    except (KeyError, ValueError):
        raise ModelError(
            f"{path}: safetensors, but not a nirgen model (no '{HEADER_KEY}' header); bring weights of other projects "
            "in with 'nirgen models import'"
        ) from None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else None
        raise ModelError(f"{path}: model schema {found!r}, but this nirgen reads schema {SCHEMA}; update nirgen")
    for name, kind in _ENTRIES.items():
        if name not in header:
            raise ModelError(f"{path}: the header lacks '{name}'; fetch or export the file again")
        if not isinstance(header[name], kind):
            raise ModelError(
                f"{path}: the header's '{name}' is a {type(header[name]).__name__}, not a {kind.__name__}; fetch or "
                "export the file again"
            )
    _check_lists(header, path)
    return header


def _check_lists(header: Mapping[str, Any], path: Path) -> None:
    """Refuse entries that readers could not take for pairs and numbers."""
    wanted = {
        "training.pairs": (header["training"].get("pairs", []), {"nir_sha256"}),
        "metrics": (header["metrics"], {"name", "value", "on"}),
    }
    for name, (entries, keys) in wanted.items():
        if not isinstance(entries, list) or not all(isinstance(e, dict) and keys <= e.keys() for e in entries):
            raise ModelError(
                f"{path}: the header's '{name}' is no list of {', '.join(sorted(keys))}; fetch or export the file again"
            )


def _read_metadata(path: Path) -> dict[str, str]:
    """The `__metadata__` entry of a safetensors file."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= 100_000_000:
                raise ModelError(f"{path}: not a safetensors file{_kind(start)}")
            table = json.loads(file.read(length))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file; 'nirgen models list' shows the models there are") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: can't be read as safetensors ({error}); is the file whole?") from None
    metadata = table.get("__metadata__") if isinstance(table, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _kind(start: bytes) -> str:
    """What a file that isn't safetensors seems to be, and the way in."""
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        return ", but a PyTorch pickle; bring it in with 'nirgen models import', which never runs code from it"
    return " (empty, cut off, or of another format); fetch it again"


EXTRACTOR_KEY = "nirgen_extractor"


def read_extractor_config(path: Path) -> InternImageConfig | None:
    """The sizes that `nirgen models import --as internimage` wrote beside the tensors; None for any other file.

    Raises:
        ModelError: They can't be read.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(EXTRACTOR_KEY)
        values = json.loads(text) if text is not None else None
    except (SafetensorError, OSError):
        return None  # whoever reads the tensors says why
    except ValueError as error:
        raise ModelError(f"{path}: the header's '{EXTRACTOR_KEY}' can't be read ({error}); import it again") from None
    return None if values is None else InternImageConfig.read(dict(values), where=f"{path} ({EXTRACTOR_KEY})")
