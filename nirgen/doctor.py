"""Whether this machine can do what nirgen does: a list of checks, each with its remedy.

Nothing is changed and nothing is downloaded. What torch *claims* of precisions is not repeated here: on a CPU without
the instructions it emulates bfloat16 and float16, some 150 times slower than float32, so the processor's own flags
decide.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nirgen._version import __version__
from nirgen.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable


State = Literal["ok", "warn", "missing", "broken"]

GIB = 2**30
LOW_MEMORY_GIB = 2
LOW_DISK_GIB = 1
EXTRAS = {"browse": "fiftyone", "ray": "ray", "detect": "transformers"}
EMBEDDED = Path(__file__).parent / "models" / "embedded"

# A precision's name, and the flags of which one must be there for a CPU to compute in it (x86, then Arm).
CPU_PRECISIONS = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}
# The first CUDA compute capability whose tensor cores take a precision.
CUDA_PRECISIONS = {"float16": (7, 0), "bfloat16": (8, 0)}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What was looked at.
        state: `ok`; `warn`, it will do but not well; `missing`; or `broken`, there but not usable.
        detail: What was found.
        remedy: What to do about it; empty if nothing.
        required: Whether nirgen is of no use without it.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""
    required: bool = False

    @property
    def stops(self) -> bool:
        """Whether nirgen can't work because of this."""
        return self.required and self.state in {"missing", "broken"}


def examine(folder: Path, database_uri: str | None = None) -> list[Check]:
    """Look at everything.

    Args:
        folder: Where results would go; the disk is looked at there.
        database_uri: Where FiftyOne is told to find its database, if it is told.

    Returns:
        The checks, in the order in which a person would mend them.
    """
    return [
        check_python(sys.version_info[:3]),
        check_packages(_base_distributions()),
        *check_torch(),
        check_memory(*_memory_gib()),
        check_disk(folder),
        check_model(EMBEDDED),
        *(check_extra(extra, module) for extra, module in EXTRAS.items()),
        check_database(database_uri),
    ]


def check_python(version: tuple[int, int, int]) -> Check:
    """Whether this Python is one that nirgen is made for."""
    detail = f"{'.'.join(map(str, version))}, nirgen {__version__}"
    if (3, 11) <= version[:2] < (3, 14):
        return Check("python", "ok", detail, required=True)
    return Check("python", "broken", detail, "use Python 3.11, 3.12 or 3.13", required=True)


def check_packages(names: Iterable[str]) -> Check:
    """Whether the distributions of these names are installed."""
    wanted = list(names)
    absent = [name for name in wanted if not _installed(name)]
    if absent:
        remedy = f"pip install {' '.join(absent)}"
        return Check("packages", "missing", f"not installed: {', '.join(absent)}", remedy, required=True)
    if not wanted:
        return Check("packages", "warn", "nirgen runs from a folder and is not installed", "pip install -e .")
    return Check("packages", "ok", f"all {len(wanted)} that nirgen needs", required=True)


def check_torch() -> list[Check]:
    """Torch, the device that would be used, and the precisions which that really runs."""
    try:
        import torch
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:  # a mismatched pair raises RuntimeError
        problem = str(error).strip().splitlines() or [type(error).__name__]
        remedy = "pip install --upgrade torch torchvision (from one place, so that they match)"
        return [Check("torch", "broken", problem[0], remedy, required=True)]
    found = Check("torch", "ok", f"{torch.__version__}, torchvision {torchvision.__version__}", required=True)
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        detail = f"cuda, {torch.cuda.device_count()} x {properties.name}, {properties.total_memory / GIB:.0f} GiB"
        precisions = cuda_precisions((properties.major, properties.minor))
        return [found, Check("device", "ok", detail), precisions_check("cuda", precisions)]
    if torch.backends.mps.is_available():
        return [found, Check("device", "ok", "mps"), precisions_check("mps", ["float32", "float16"])]
    return [found, check_cpu(torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()), cpu_precisions_check()]


def check_cpu(threads: int, capability: str) -> Check:
    """The CPU as the device, and whether a GPU lies idle beside it."""
    detail = f"cpu, {threads} threads, {capability}"
    if shutil.which("nvidia-smi"):
        return Check("device", "warn", f"{detail}; a GPU that torch can't use", "install a torch that fits the driver")
    return Check("device", "ok", detail)


def cuda_precisions(capability: tuple[int, int]) -> list[str]:
    """What a GPU of a compute capability computes in at full speed.

    Example:
        >>> cuda_precisions((7, 5))
        ['float32', 'float16']
    """
    return ["float32", *(name for name, first in CUDA_PRECISIONS.items() if capability >= first)]


def cpu_precisions(flags: set[str]) -> list[str]:
    """What a CPU with these flags computes in without emulation.

    Example:
        >>> cpu_precisions({"avx2", "avx512_bf16"})
        ['float32', 'bfloat16']
    """
    return ["float32", *(name for name, any_of in CPU_PRECISIONS.items() if flags & any_of)]


def precisions_check(device: str, real: list[str]) -> Check:
    """The row that names the precisions which a device really runs."""
    return Check("precisions", "ok", f"{', '.join(real)} ({device})")


def cpu_precisions_check() -> Check:
    """The row on the CPU's precisions, which says what would be emulated."""
    flags = cpu_flags(Path("/proc/cpuinfo"))
    if flags is None:
        return Check("precisions", "ok", "float32 (cpu; others not known on this system)")
    real = cpu_precisions(flags)
    emulated = [name for name in CPU_PRECISIONS if name not in real]
    detail = f"{', '.join(real)} (cpu)"
    if emulated:
        detail += f"; {' and '.join(emulated)} would be emulated, far slower"
    return Check("precisions", "ok", detail)


def cpu_flags(cpuinfo: Path) -> set[str] | None:
    """The processor's flags as Linux lists them, or None where it doesn't."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return set(value.split())
    return None


def check_memory(total_gib: float, available_gib: float) -> Check:
    """Whether there is memory for a photo and the model."""
    detail = f"{available_gib:.1f} of {total_gib:.1f} GiB available"
    if available_gib < LOW_MEMORY_GIB:
        return Check("memory", "warn", detail, "close other programs, or translate smaller images")
    return Check("memory", "ok", detail)


def check_disk(folder: Path) -> Check:
    """Whether there is room for results."""
    try:
        free_gib = shutil.disk_usage(folder).free / GIB
    except OSError as error:
        return Check("disk", "broken", f"the current folder can't be looked at ({error.strerror})", "go to another")
    detail = f"{free_gib:.1f} GiB free in the current folder"
    if free_gib < LOW_DISK_GIB:
        return Check("disk", "warn", detail, "make room, or write to another disk")
    return Check("disk", "ok", detail)


def check_model(folder: Path) -> Check:
    """Whether the embedded models are there and hold what their headers say."""
    remedy = "in the clone: pip install --force-reinstall --no-deps ."
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return Check("model", "missing", "no embedded model in this installation", remedy, required=True)
    try:
        from nirgen.models.checkpoint import load_state

        for file in files:
            load_state(file)
    except ModelError as error:
        return Check("model", "broken", str(error), remedy, required=True)
    except (ImportError, OSError, RuntimeError) as error:
        return Check("model", "broken", f"can't be looked at: {error}", "mend the rows above first", required=True)
    return Check("model", "ok", f"{', '.join(file.stem for file in files)} (embedded, hash verified)", required=True)


def check_extra(extra: str, module: str) -> Check:
    """Whether an extra's main package is installed."""
    if not _installed(module):
        return Check(f"extra {extra}", "missing", "not installed", f"in the clone: pip install '.[{extra}]'")
    return Check(f"extra {extra}", "ok", f"{module} {metadata.version(module)}")


def check_database(uri: str | None) -> Check:
    """Whether FiftyOne, which `browse` stands on, finds a MongoDB."""
    if uri:
        return Check("database", "ok", "at the address that FIFTYONE_DATABASE_URI names (not tried)")
    if not _installed("fiftyone"):
        return Check("database", "missing", "only browsing needs one", "in the clone: pip install '.[browse]'")
    brought = mongod_of_fiftyone()
    problem = None if brought is None else problem_of(brought)
    if brought is not None and problem is None:
        return Check("database", "ok", str(brought))
    system = shutil.which("mongod")
    if system is not None and problem_of(Path(system)) is None:
        remedy = "start it, and set FIFTYONE_DATABASE_URI to its address, such as mongodb://127.0.0.1:27017"
        return Check("database", "warn", f"{system}, which FiftyOne doesn't start by itself", remedy)
    remedy = "install MongoDB 6 or later, start it, and set FIFTYONE_DATABASE_URI to its address"
    if brought is not None:
        return Check("database", "broken", f"{brought} does not start: {problem}", remedy)
    return Check("database", "missing", "no mongod that starts was found", remedy)


def mongod_of_fiftyone() -> Path | None:
    """The MongoDB server that FiftyOne starts where its settings name none; None if it isn't there."""
    package = util.find_spec("fiftyone")
    for place in (package.submodule_search_locations or []) if package else []:
        mongod = Path(place) / "db" / "bin" / "mongod"
        if mongod.is_file():
            return mongod
    return None


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _base_distributions() -> list[str]:
    """The names of the distributions that nirgen requires; none if nirgen itself isn't installed."""
    try:
        requirements = metadata.requires("nirgen") or []
    except metadata.PackageNotFoundError:
        return []
    return [_name(requirement) for requirement in requirements if "extra ==" not in requirement]


def _name(requirement: str) -> str:
    """The name that a requirement such as `torch>=2.8; python_version < '3.14'` begins with."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _memory_gib() -> tuple[float, float]:
    """Total memory and what of it is available, in GiB."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES") / GIB
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return total, int(line.split()[1]) / 2**20
    except OSError:
        pass
    return total, total


def problem_of(program: Path) -> str | None:
    """Why a program can't say its version, in one line; None if it can."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
