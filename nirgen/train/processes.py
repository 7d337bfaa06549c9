"""Processes of a run, as `torchrun` starts them: means and maxima over all of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from torch import Tensor


_TIMEOUT = timedelta(hours=2)  # the first process validates and writes while the others wait


@dataclass(frozen=True)
class Processes:
    """The processes that train together."""

    rank: int  # of this one
    count: int
    device: torch.device  # of this one

    @property
    def first(self) -> bool:
        """True in the process that writes."""
        return self.rank == 0

    def mean(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in place."""
        if self.count == 1:
            return
        tensors = list(tensors)
        pending = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
        for tensor, work in zip(tensors, pending, strict=True):
            work.wait()
            tensor.div_(self.count)

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors (N, ...) of all processes, in the processes' order, as one, (processes * N, ...)."""
        if self.count == 1:
            return tensor
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(self.count)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def agree(self, values: Sequence[float]) -> list[float]:
        """Return the maximum of each number over the processes."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return [float(value) for value in tensor]

    def wait(self) -> None:
        """Wait until all processes arrive."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device, *, distributed: bool) -> Generator[Processes]:
    """Join the process group of `torchrun`, if it started this process; each process of several takes its own GPU."""
    if not distributed:
        yield Processes(0, 1, device)
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        if device.type == "cuda":
            device = torch.device("cuda", dist.get_node_local_rank(0))
            torch.cuda.set_device(device)
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
