"""Running statistics of batch norm that do not depend on which process computed a micro-batch.

Each micro-batch is normalised by its own statistics, as in a training with batches of this size. A
running statistic r follows a sequence of them, r = (1 - m) r + m s with momentum m, so its value
depends on their order. Here the statistics s of each micro-batch are first collected, then brought
together from all processes, and then followed in the order of the micro-batches.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class BatchNorms:
    """All batch norms of a network that keep running statistics."""

    def __init__(self, module: nn.Module) -> None:
        self._norms = [
            norm
            for norm in module.modules()
            if isinstance(norm, _BatchNorm) and norm.running_mean is not None
        ]

    def __bool__(self) -> bool:
        return bool(self._norms)

    @contextmanager
    def collecting(self, rows: list[Tensor]) -> Iterator[None]:
        """Add the statistics of the batch that passes through the network to `rows`, as `[S]`.

        The running statistics are afterwards what they were before. The gradients are computed
        inside too, because autograd refuses statistics that were changed before it needs them.
        """
        before = self._running().clone()
        momenta = [norm.momentum for norm in self._norms]
        counts = [count.clone() for count in self._counts()]
        for norm in self._norms:
            norm.momentum = 1.0  # then the running statistics are those of the batch
        try:
            yield
            rows.append(self._running().clone())
        finally:
            self._set_running(before)
            for norm, momentum in zip(self._norms, momenta, strict=True):
                norm.momentum = momentum
            for count, earlier in zip(self._counts(), counts, strict=True):
                count.copy_(earlier)

    def follow(self, rows: Tensor) -> None:
        """Let the running statistics follow those of micro-batches, `[B, S]`, in this order."""
        momentum = self._momenta(rows)  # [S]
        running = self._running()
        for row in rows:
            running = (1 - momentum) * running + momentum * row
        self._set_running(running)
        for count in self._counts():
            count += len(rows)

    def _counts(self) -> Iterator[Tensor]:
        """How many batches each norm has seen."""
        for norm in self._norms:
            assert norm.num_batches_tracked is not None
            yield norm.num_batches_tracked

    def _buffers(self) -> Iterator[Tensor]:
        for norm in self._norms:
            assert norm.running_mean is not None and norm.running_var is not None
            yield norm.running_mean
            yield norm.running_var

    def _running(self) -> Tensor:
        """All running statistics, `[S]`."""
        return torch.cat(list(self._buffers())) if self._norms else torch.empty(0)

    def _set_running(self, values: Tensor) -> None:
        start = 0
        for buffer in self._buffers():
            buffer.copy_(values[start : start + len(buffer)])
            start += len(buffer)

    def _momenta(self, like: Tensor) -> Tensor:
        parts = []
        for norm in self._norms:
            assert norm.momentum is not None  # None would mean another rule, a plain average
            parts.append(like.new_full((2 * norm.num_features,), norm.momentum))
        return torch.cat(parts)
