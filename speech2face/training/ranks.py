"""Several processes that train one network together, as `torchrun` starts them.

Each process (its number is its rank) computes the gradients of its own micro-batches. All of them
then make the same update, so their weights stay equal without being sent.

Floating-point sums depend on their order, so the order is fixed: the gradients of the micro-batches
of an update are the leaves of a balanced binary tree. A process adds a subtree (`TreeSum`). The
subtrees are added by recursive doubling (`Ranks.sum_of`): in round i, two processes whose numbers
differ in bit i exchange their sums, and both add them. So one, two or four processes get the same
bits. An update therefore has a power of two of micro-batches, and as many processes or fewer.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError


class TreeSum:
    """Sum of lists of tensors, added as the leaves of a balanced binary tree.

    At most log2(n) + 1 partial sums of n leaves are kept.
    """

    def __init__(self) -> None:
        self._partial: list[tuple[int, list[Tensor]]] = []  # height and sum; heights fall

    def add(self, leaf: Sequence[Tensor]) -> None:
        """Add one leaf; its tensors are not changed."""
        height, total = 0, list(leaf)
        while self._partial and self._partial[-1][0] == height:
            _, earlier = self._partial.pop()
            total = [first + second for first, second in zip(earlier, total, strict=True)]
            height += 1
        self._partial.append((height, total))

    def total(self) -> list[Tensor]:
        """The sum of a power of two of leaves."""
        ((_, total),) = self._partial
        return total


@dataclass(frozen=True)
class Ranks:
    """One of `size` processes that train together; alone unless said otherwise."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run directory."""
        return self.rank == 0

    def sum_of(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sum of the tensors of all processes; the same bits in each of them."""
        totals = list(tensors)
        distance = 1
        while distance < self.size:
            totals = [self._added(total, self.rank ^ distance) for total in totals]
            distance *= 2
        return totals

    def joined(self, rows: Tensor) -> Tensor:
        """Rows `[k, ...]` of all processes one after the other, `[size * k, ...]`."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def everything(self, value: Any) -> list[Any]:
        """A plain value of each process, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def refuse_different(self, modules: Mapping[str, nn.Module]) -> None:
        """Raise unless all processes have the same weights."""
        if len(set(self.everything(_digest(modules)))) > 1:
            problem = "the processes of this training do not have the same weights"
            remedy = "give all of them the same version, files and settings"
            raise Speech2FaceError(problem, remedy)

    def _added(self, own: Tensor, partner: int) -> Tensor:
        """`own` plus the partner's tensor. Addition of two numbers has no order."""
        own, other = own.contiguous(), torch.empty_like(own, memory_format=torch.contiguous_format)
        exchange = [dist.P2POp(dist.isend, own, partner), dist.P2POp(dist.irecv, other, partner)]
        for request in dist.batch_isend_irecv(exchange):
            request.wait()
        return own + other


ALONE = Ranks()


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that `torchrun` has started; without it, this process is alone.

    Raises:
        Speech2FaceError: they are no power of two, or cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if size & (size - 1):
        problem = f"{size} processes cannot train together"
        raise Speech2FaceError(problem, "start 1, 2, 4, 8 or another power of two of them")
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    except (ValueError, RuntimeError) as error:
        problem = f"the other processes cannot be reached ({error})".splitlines()[0]
        raise Speech2FaceError(problem, "start all of them with torchrun") from error
    try:
        yield Ranks(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def _digest(modules: Mapping[str, nn.Module]) -> str:
    digest = hashlib.sha256()
    for module in modules.values():
        for tensor in module.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
