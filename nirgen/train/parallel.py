"""Several processes that train one model: what they tell each other.

Every process has the whole model, sees its own part of each batch, and takes the mean of all gradients. All that is
random comes from the run's seed, the step and the process; only the first process writes.
"""

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

_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many, and where it computes."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
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

    def agree(self, values: Sequence[float]) -> list[float]:
        """The largest of each number over the processes, so that all decide alike."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return [float(value) for value in tensor]

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device, *, distributed: bool) -> Generator[Processes]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Args:
        device: Where a single process computes; of several, each takes its own GPU if this is one.
        distributed: Whether `torchrun` started this process, with its variables in the environment.

    Yields:
        Which process this is.
    """
    if not distributed:
        yield Processes(0, 1, device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)  # the first process judges and writes while the others wait
    try:
        if device.type == "cuda":
            device = torch.device("cuda", dist.get_node_local_rank(0))
            torch.cuda.set_device(device)
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
