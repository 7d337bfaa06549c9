"""Devices: choice, precision, available memory. torch is imported when a function needs it."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from nirgen.errors import ConfigError, first_line, nearest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import torch

Precision = Literal["fp32", "bf16", "fp16"]
Wanted = Literal["auto", "fp32", "bf16", "fp16"]

_PROC = Path("/proc")
# Of control groups, version 2 and version 1: where they are mounted, and the files of limit and usage. Cached files
# that are not in use count as used, but give way.
_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# Devices of the drivers of NVIDIA, Jetson, WSL and AMD; without one of them torch finds no GPU on Linux.
_GPUS = (Path("/dev/nvidiactl"), Path("/dev/nvmap"), Path("/dev/dxg"), Path("/dev/kfd"))
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def choose_device(name: str | None) -> torch.device:
    """Return the device of a name such as `cpu`, `cuda`, `cuda:1`, `mps`; the best available one for None.

    Raises:
        ConfigError: The device does not exist or can't compute.
    """
    import torch

    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        fault = f"device '{name}' can't be used ({first_line(error)})"
        raise ConfigError(f"{fault}; 'nirgen doctor' lists the devices") from None
    return device


def list_devices(names: str) -> list[str]:
    """Return the device names of a list such as `cuda:0,cuda:1`, or of `all`: every GPU, or the CPU if there is none.

    Raises:
        ConfigError: A name is empty.

    Example:
        >>> list_devices("cuda:0, cuda:1")
        ['cuda:0', 'cuda:1']
    """
    if names.strip() == "all":
        import torch

        return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]
    devices = [name.strip() for name in names.split(",")]
    if not all(devices):
        raise ConfigError(f"device is {names!r}; give names with commas between, such as cuda:0,cuda:1, or all")
    return devices


def resolve(device: str | None, wanted: str) -> tuple[str, Precision]:
    """Return the names of device and precision of inference, without torch on machines that have no GPU."""
    if device == "cpu" or (device is None and sys.platform == "linux" and not any(map(Path.exists, _GPUS))):
        return "cpu", choose_precision(wanted, None)
    chosen = choose_device(device)
    return str(chosen), choose_precision(wanted, chosen)


def choose_precision(wanted: str, device: torch.device | None) -> Precision:
    """Return the precision of inference, on a CPU for None.

    `auto` is `bf16` on a GPU with hardware for it, and `fp32` on every CPU, so that one command gives the same pixels
    on all of them.

    Raises:
        ConfigError: The precision is unknown.

    Example:
        >>> import torch
        >>> choose_precision("fp16", torch.device("cpu"))
        'fp16'
    """
    for name in get_args(Precision):
        if name == wanted:
            return name  # type: ignore[no-any-return]
    if wanted != "auto":
        known = get_args(Wanted)
        raise ConfigError(f"precision is '{wanted}'{nearest(wanted, known)} (there are {', '.join(known)})")
    return "bf16" if device is not None and device.type == "cuda" and has_bf16(device) else "fp32"


def choose_training_precision(wanted: str, device: torch.device) -> Precision:
    """Return the precision of training: `choose_precision`, but `auto` is `bf16` on a CPU with hardware for it too."""
    return "bf16" if wanted == "auto" and has_bf16(device) else choose_precision(wanted, device)


def has_bf16(device: torch.device) -> bool:
    """Return True if the device has hardware for bf16; emulated, it is some hundred times slower than fp32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return a context in which the device's matrix products and convolutions compute in a precision."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Generator[None]:
    """Compute in a precision, by deterministic algorithms.

    Normalisation stays in float32. On a GPU, `fp32` excludes TF32, and cuDNN doesn't benchmark algorithms.
    """
    import torch

    with ExitStack() as stack:
        if device.type == "cuda":
            settings = {"benchmark": False, "deterministic": True, "allow_tf32": precision != "fp32"}
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, **settings))
        stack.enter_context(autocast(precision, device))
        yield


def available_bytes(device: torch.device | None = None) -> int | None:
    """Return the memory that a device has left, in bytes; the machine's for None; None if unknown.

    A CPU's limit is the lowest one of the machine, of the process (`ulimit -v`) and of all control groups that it is
    in: the kernel kills a process that exceeds one.
    """
    if device is not None and device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device is not None and device.type != "cpu":
        return None
    lines = _read(_PROC / "meminfo").splitlines()
    known = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    known += [left for left in map(_left_in_group, _groups()) if left is not None]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read(_PROC / "self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        known.append(max(0, limit - int(pages[0]) * resource.getpagesize()))
    return min(known, default=None)


def _groups() -> Iterator[tuple[Path, str, str, str]]:
    """Folders of the control groups of this process, from its own to the root's, with the names of their files."""
    lines = (line.split(":", 2) for line in _read(_PROC / "self/cgroup").splitlines())
    own = {kinds: path for _, kinds, path in (line for line in lines if len(line) == 3)}
    for (root, *names), kind in zip(_GROUPS, ("", "memory"), strict=True):
        path = root / own.get(kind, "/").lstrip("/")
        for folder in (path, *path.parents):  # in a container, its own group may be the root
            if folder.is_relative_to(root):
                yield folder, *names  # type: ignore[misc]


def _left_in_group(group: tuple[Path, str, str, str]) -> int | None:
    folder, *names, cached = group
    limit, used = (_read(folder / name).strip() for name in names)
    if not (limit.isdigit() and used.isdigit()):  # no such group, or `max`
        return None
    lines = (line.split() for line in _read(folder / "memory.stat").splitlines())
    gives_way = next((int(line[1]) for line in lines if line[0] == cached), 0)
    return max(0, int(limit) - max(0, int(used) - gives_way))


def _read(path: Path) -> str:
    """Return the text of a kernel file; empty if there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def keep_freed_memory() -> bool:
    """Keep freed memory in this process for the next image; return True if the C library took the settings.

    By default glibc returns large blocks to the system at once; clearing their pages anew takes an eighth of the time
    of a small generator on a CPU. The process keeps its peak memory until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
