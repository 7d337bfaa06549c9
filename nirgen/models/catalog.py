"""Model files by name, their headers and their hash, read without torch."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nirgen.errors import ConfigError, ModelError, nearest, one_line
from nirgen.files import check_schema, open_regular, unseal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nirgen.models.baselines import LinearConfig, TreesConfig
    from nirgen.models.config import AnyGeneratorConfig, InternImageConfig


EMBEDDED = Path(__file__).parent / "embedded"
RUN_FILE = "model.safetensors"


def embedded_models() -> dict[str, Path]:
    """Return the models of the package, by name."""
    return {path.stem: path for path in sorted(EMBEDDED.glob("*.safetensors"))}


def find_model(name: str | Path) -> Path:
    """Return the file of a model: an embedded name, the path of a `.safetensors` file, or a training run's folder.

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
_ENTRIES: dict[str, type] = {"architecture": dict, "training": dict, "metrics": list}
_ENTRIES |= dict.fromkeys(("model_id", "licence", "provenance", "nirgen"), str)


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a model file (docs/formats.md).

    Raises:
        ModelError: The file is missing, isn't safetensors, has no nirgen header, or is of another schema.
    """
    return _header(_read_table(path)[0], path)


def architecture_of(header: Mapping[str, Any], path: Path) -> AnyGeneratorConfig | LinearConfig | TreesConfig:
    """Return the architecture that a header names by its `kind`; that of a Pix2Next generator where it has none.

    Raises:
        ConfigError: A key or value of the architecture is wrong.
        ModelError: The kind is unknown.
    """
    from nirgen.models.baselines import LinearConfig, TreesConfig
    from nirgen.models.config import GENERATORS, GeneratorConfig

    values = dict(header["architecture"])
    kind = str(values.get("kind", GeneratorConfig.kind))
    kinds: dict[str, type[AnyGeneratorConfig | LinearConfig | TreesConfig]]
    kinds = {**GENERATORS, "linear": LinearConfig, "trees": TreesConfig}
    if kind not in kinds:
        raise ModelError(f"{path}: an architecture of the kind '{kind}' (there are {', '.join(kinds)}); update nirgen")
    return kinds[kind].read(values, where=f"{path} (architecture)")


def generator_of(header: Mapping[str, Any], path: Path) -> AnyGeneratorConfig:
    """Return the architecture of a generator; as `architecture_of`, and a ModelError for a baseline."""
    from nirgen.models.config import NetworkConfig

    architecture = architecture_of(header, path)
    if not isinstance(architecture, NetworkConfig):
        raise ModelError(f"{path}: the baseline '{architecture.kind}', which has no network; name a generator")
    return architecture


def verify(path: Path) -> tuple[dict[str, Any], int]:
    """Check a model file's tensors against the hash in its header; return the header and the number of values.

    Raises:
        ModelError: As `read_header`; or the file is cut off or changed.
    """
    table, start = _read_table(path)
    header = _header(table, path)
    tensors = sorted((name, entry) for name, entry in table.items() if name != "__metadata__")
    try:
        with open_regular(path) as file:
            parts = (
                (name, entry["shape"], _DTYPES[entry["dtype"]], _chunks(file, start, *entry["data_offsets"]))
                for name, entry in tensors
            )
            check_id(hash_model(header["architecture"], parts), header, path)
        return header, sum(math.prod(entry["shape"]) for _, entry in tensors)
    except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{path}: damaged ({one_line(error, 200)}); fetch or export it again") from None


def hash_model(
    architecture: Mapping[str, Any], tensors: Iterable[tuple[str, Iterable[int], str, Iterable[bytes]]]
) -> str:
    """Return the sha256 of a model's architecture and tensors (name, shape, torch dtype, content; ordered by name).

    The architecture counts because some of it, such as the number of heads, changes the results but no shape.
    """
    digest = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name, shape, dtype, content in tensors:
        digest.update(f"{name}|{tuple(shape)}|{dtype}|".encode())
        for chunk in content:
            digest.update(chunk)
    return digest.hexdigest()


def check_id(found: str, header: Mapping[str, Any], path: Path) -> None:
    """Refuse a file whose tensors and architecture don't have the hash that its header states."""
    if found != header["model_id"]:
        raise ModelError(
            f"{path}: tensors and architecture hash to {found[:12]}, the header says {header['model_id'][:12]}; "
            "the file was changed or damaged: fetch or export it again"
        )


_DTYPES = {"BF16": "torch.bfloat16", "BOOL": "torch.bool", "U8": "torch.uint8"}
_DTYPES |= {f"F{bits}": f"torch.float{bits}" for bits in (16, 32, 64)}
_DTYPES |= {f"I{bits}": f"torch.int{bits}" for bits in (8, 16, 32, 64)}


def with_steps(header: Mapping[str, Any], name: str | Path, steps: int | None) -> dict[str, Any]:
    """Return the header of a model whose diffusion takes another number of steps, with an id of its own.

    `steps`: None for those of the model's file, `name`.

    Raises:
        ConfigError: The model takes no steps, or not so few or many.
    """
    from nirgen.models.config import BBDMConfig

    architecture = header["architecture"]
    if steps is None or steps == architecture.get("steps"):
        return dict(header)
    if architecture.get("kind") != BBDMConfig.model_fields["kind"].default:
        raise ConfigError(f"{name}: takes no --steps, which is for models of the kind bbdm; leave it out")
    config = BBDMConfig.read({**architecture, "steps": steps}, where=f"{name} in {steps} steps")
    sampled = hashlib.sha256(f"{header['model_id']} in {steps} steps".encode()).hexdigest()
    return {**header, "architecture": config.model_dump(mode="json"), "model_id": sampled}


def _chunks(file: IO[bytes], start: int, first: int, end: int) -> Iterator[bytes]:
    file.seek(start + first)
    for position in range(first, end, 1 << 20):
        chunk = file.read(min(end - position, 1 << 20))
        if len(chunk) < min(end - position, 1 << 20):
            raise ValueError("the file ends early")
        yield chunk


def _header(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(_metadata(table)[HEADER_KEY])
    except (KeyError, ValueError, TypeError, RecursionError):
        raise ModelError(
            f"{path}: safetensors, but not a nirgen model (no '{HEADER_KEY}' header); convert weights of other "
            "projects with 'nirgen models import'"
        ) from None
    found = header.get("schema") if isinstance(header, dict) else None
    check_schema(path, found, SCHEMA, "update nirgen", error=ModelError)
    try:
        header = unseal(header)
    except ValueError as error:
        raise ModelError(f"{path}: its header is damaged ({error}); fetch or export it again") from None
    for name, kind in _ENTRIES.items():
        if name not in header:
            raise ModelError(f"{path}: the header lacks '{name}'; fetch or export the file again")
        if not isinstance(header[name], kind):
            raise ModelError(
                f"{path}: the header's '{name}' is a {type(header[name]).__name__}, not a {kind.__name__}; fetch or "
                "export the file again"
            )
    number = (int, float)
    lists: dict[str, tuple[Any, dict[str, Any]]] = {
        "training.pairs": (header["training"].get("pairs", []), {"nir_sha256": object}),
        "metrics": (header["metrics"], {"name": str, "on": str, "value": number}),
    }
    for name, (entries, keys) in lists.items():
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and all(key in entry and isinstance(entry[key], kind) for key, kind in keys.items())
            for entry in entries
        ):
            raise ModelError(
                f"{path}: the header's '{name}' is no list of {', '.join(sorted(keys))}; fetch or export the file again"
            )
    return header


def _read_table(path: Path) -> tuple[dict[str, Any], int]:
    """Return the table of a safetensors file, and the offset of its tensors in bytes."""
    try:
        with open_regular(path) as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= 100_000_000:
                raise ModelError(f"{path}: not a safetensors file{_kind(start)}")
            table = json.loads(file.read(length))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file; 'nirgen models list' shows the available models") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: can't be read as safetensors ({one_line(error, 200)}); is it cut off?") from None
    return table if isinstance(table, dict) else {}, 8 + length


def _metadata(table: Mapping[str, Any]) -> dict[str, str]:
    metadata = table.get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _kind(start: bytes) -> str:
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        return ", but a PyTorch pickle; convert it with 'nirgen models import', which never runs code from it"
    return " (empty, cut off, or of another format); fetch it again"


EXTRACTOR_KEY = "nirgen_extractor"


def read_extractor_config(path: Path) -> InternImageConfig | None:
    """Return the sizes that `nirgen models import --as internimage` wrote beside the tensors; None for other files."""
    from nirgen.models.config import InternImageConfig

    try:
        text = _metadata(_read_table(path)[0]).get(EXTRACTOR_KEY)
    except ModelError:
        return None  # reported by the reader of the tensors
    if text is None:
        return None
    try:
        values = dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: the header's '{EXTRACTOR_KEY}' can't be read ({error}); import it again") from None
    return InternImageConfig.read(values, where=f"{path} ({EXTRACTOR_KEY})")
