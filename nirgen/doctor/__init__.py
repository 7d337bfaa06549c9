"""Checks of this machine and installation, each with a remedy; only `fix_database` changes something."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nirgen._version import __version__
from nirgen.doctor import openssl
from nirgen.errors import ModelError, NirgenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


EXTRAS = {"browse": "fiftyone", "ray": "ray", "detect": "transformers"}
EMBEDDED = Path(__file__).parents[1] / "models" / "embedded"


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    state: Literal["ok", "warn", "missing", "broken"]  # warn: works, but not well; broken: there, but not usable
    detail: str
    remedy: str = ""
    required: bool = False  # nirgen can't work without it

    @property
    def stops(self) -> bool:
        """True if nirgen can't work because of this."""
        return self.required and self.state in {"missing", "broken"}


def examine(database_uri: str | None = None) -> Iterator[Check]:
    """Yield all checks, in the order in which to fix them; heavy libraries are imported only when reached.

    Args:
        database_uri: Address of FiftyOne's database, if it is configured.
    """
    yield check_python(sys.version_info[:3])
    yield check_packages(_base_distributions())
    yield from check_torch()
    yield check_model(EMBEDDED)
    for extra, module in EXTRAS.items():
        yield check_extra(extra, module)
    yield check_database(database_uri)


def check_python(version: tuple[int, int, int]) -> Check:
    """Check that nirgen supports this Python."""
    detail = f"{'.'.join(map(str, version))}, nirgen {__version__}"
    if (3, 11) <= version[:2] < (3, 14):
        return Check("python", "ok", detail, required=True)
    return Check("python", "broken", detail, "use Python 3.11, 3.12 or 3.13", required=True)


def check_packages(names: Iterable[str]) -> Check:
    """Check that distributions are installed."""
    wanted = list(names)
    absent = [name for name in wanted if not _installed(name)]
    if absent:
        remedy = f"pip install {' '.join(absent)}"
        return Check("packages", "missing", f"not installed: {', '.join(absent)}", remedy, required=True)
    if not wanted:
        return Check("packages", "warn", "nirgen runs from a folder and is not installed", "pip install -e .")
    return Check("packages", "ok", f"all {len(wanted)} that nirgen needs", required=True)


def check_torch() -> list[Check]:
    """Check torch, and the device that is used by default."""
    try:
        import torch
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:  # a mismatched pair raises RuntimeError
        problem = str(error).strip().splitlines() or [type(error).__name__]
        remedy = "pip install --upgrade torch torchvision (from one index, so that they match)"
        return [Check("torch", "broken", problem[0], remedy, required=True)]
    from nirgen.devices import choose_device, has_bf16

    found = Check("torch", "ok", f"{torch.__version__}, torchvision {torchvision.__version__}", required=True)
    device = choose_device(None)
    detail = f"{device.type}, bf16 {'in hardware' if has_bf16(device) else 'not in hardware: use fp32'}"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        size = f"{properties.total_memory / 2**30:.0f} GiB"
        return [found, Check("device", "ok", f"{detail}, {torch.cuda.device_count()} x {properties.name}, {size}")]
    if device.type == "cpu":
        detail += f", {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
        return [found, check_cpu(detail)]
    return [found, Check("device", "ok", detail)]


def check_cpu(detail: str) -> Check:
    """Return the check of a CPU as the device; warn if there is a GPU that torch can't use."""
    if shutil.which("nvidia-smi"):
        return Check("device", "warn", f"{detail}; a GPU that torch can't use", "install a torch that fits the driver")
    return Check("device", "ok", detail)


def check_model(folder: Path) -> Check:
    """Check that the embedded models exist and match the hashes in their headers."""
    remedy = "in the clone: pip install --force-reinstall --no-deps ."
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return Check("model", "missing", "no embedded model in this installation", remedy, required=True)
    try:
        from nirgen.models.catalog import verify

        for file in files:
            verify(file)
    except ModelError as error:
        return Check("model", "broken", str(error), remedy, required=True)
    except ImportError as error:
        return Check("model", "broken", f"can't be read: {error}", "fix the rows above first", required=True)
    return Check("model", "ok", f"{', '.join(file.stem for file in files)} (embedded, hash verified)", required=True)


def check_extra(extra: str, module: str) -> Check:
    """Check that an extra's main package is installed."""
    if not _installed(module):
        return Check(f"extra {extra}", "missing", "not installed", f"in the clone: pip install '.[{extra}]'")
    return Check(f"extra {extra}", "ok", f"{module} {metadata.version(module)}")


def check_database(uri: str | None) -> Check:
    """Check that FiftyOne, which `browse` needs, finds a MongoDB server that starts."""
    if uri:
        return Check("database", "ok", "at the address in FIFTYONE_DATABASE_URI (not tried)")
    if not _installed("fiftyone"):
        return Check("database", "missing", "only browsing needs one", "in the clone: pip install '.[browse]'")
    bundled = mongod_of_fiftyone()
    problem = None if bundled is None else problem_of(bundled, openssl.environment())
    if bundled is not None and problem is None:
        return Check("database", "ok", str(bundled))
    system = shutil.which("mongod")
    if system is not None and problem_of(Path(system)) is None:
        remedy = "start it, and set FIFTYONE_DATABASE_URI to its address, such as mongodb://127.0.0.1:27017"
        return Check("database", "warn", f"{system}, which FiftyOne doesn't start by itself", remedy)
    remedy = "install MongoDB 6 or later, start it, and set FIFTYONE_DATABASE_URI to its address"
    if bundled is not None:
        remedy = "nirgen doctor --fix" if problem and openssl.is_missing(problem) else remedy
        return Check("database", "broken", f"{bundled} does not start: {problem}", remedy)
    return Check("database", "missing", "no mongod that starts was found", remedy)


def mongod_of_fiftyone() -> Path | None:
    """Return the MongoDB server bundled with FiftyOne; None if there is none."""
    package = util.find_spec("fiftyone")
    places = (package.submodule_search_locations or []) if package else []
    return next((mongod for place in places if (mongod := Path(place, "db", "bin", "mongod")).is_file()), None)


def problem_of(program: Path, environment: Mapping[str, str] | None = None) -> str | None:
    """Run `program --version`; return its error as one line, None if it succeeds."""
    try:
        done = subprocess.run(  # noqa: S603
            [program, "--version"], capture_output=True, text=True, timeout=20, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]


def fix_database(folder: Path = openssl.FOLDER) -> str | None:
    """Give FiftyOne's mongod the libraries that it lacks, and return a line on what was done; None if it needs none.

    Raises:
        NirgenError: The libraries can't be had, or mongod doesn't start with them either.
    """
    bundled = mongod_of_fiftyone()
    problem = None if bundled is None else problem_of(bundled, openssl.environment(folder))
    if problem is None or not openssl.is_missing(problem):
        return None
    openssl.get(folder)
    problem = problem_of(bundled, openssl.environment(folder)) if bundled else None
    if problem is not None:
        raise NirgenError(f"{bundled}: doesn't start with OpenSSL 1.1 of {folder} either ({problem})")
    return f"OpenSSL 1.1 for FiftyOne's mongod is in {folder}"


def _installed(distribution: str) -> bool:
    try:
        return bool(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return False


def _base_distributions() -> list[str]:
    """Return the names of the distributions that nirgen requires; none if nirgen itself isn't installed."""
    try:
        requirements = metadata.requires("nirgen") or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in requirements if "extra ==" not in each]
