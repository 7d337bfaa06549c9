"""How much memory there is to work with."""

from __future__ import annotations

from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
# What control groups of version 2 and of version 1 say: the limit, and what is used of it.
_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def available_bytes(device: torch.device) -> int | None:
    """Memory that can be taken on a device without taking it from others.

    On the CPU, the kernel ends a process that takes more than there is, and no error can be caught; so this is asked
    before.

    Args:
        device: Where the model runs.

    Returns:
        Bytes; None where nothing tells.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    known = [value for value in (_machine(), *(_group(*paths) for paths in _GROUPS)) if value is not None]
    return min(known, default=None)


def _machine() -> int | None:
    text = _read(_MEMINFO)
    line = next((line for line in text.splitlines() if line.startswith("MemAvailable:")), None)
    return None if line is None else 1024 * int(line.split()[1])


def _group(limit_path: Path, used_path: Path) -> int | None:
    """What a control group leaves; None if there is none, or it has no limit (`max`)."""
    limit, used = _read(limit_path).strip(), _read(used_path).strip()
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else None


def _read(path: Path) -> str:
    """What a file of the kernel says; empty if there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""
