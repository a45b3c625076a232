"""The order in which a training sees samples: a function of the seed and of a number, nothing else.

The unit is the micro-batch. Micro-batch number m of a training consists of the samples number
m * size to m * size + size - 1, and sample number p is sample `p % n` of the order of epoch
`p // n`. How many processes train together only decides which of them reads a micro-batch. So no
state has to be saved, and a run can be continued at any place by any number of processes.

Samples are mixed over 16 shards at a time. A whole epoch in random order would read from every file
of the corpus all the time, which neither a hard disk nor the memory of a machine can serve.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MIXED_SHARDS = 16  # their samples are shuffled together
_KEPT_EPOCHS = 2  # a micro-batch may contain the end of one epoch and the beginning of the next


@dataclass(frozen=True, eq=False)
class Order:
    """The order of all samples of a training.

    Attributes:
        shards: shard of each sample, any numbers, `[N]`.
        seed: decides the order, together with the number of an epoch.
        mixed: number of shards whose samples are shuffled together.
    """

    shards: NDArray[np.integer]
    seed: int
    mixed: int = MIXED_SHARDS
    _epochs: dict[int, NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False)

    def micro_batches(self, numbers: Iterable[int], size: int) -> Iterator[NDArray[np.int64]]:
        """Positions `[size]` of the samples of each of these micro-batches."""
        n_samples = len(self.shards)
        for number in numbers:
            epoch, start = divmod(number * size, n_samples)
            parts, missing = [], size
            while missing:
                part = self.epoch(epoch)[start : start + missing]
                parts.append(part)
                missing -= len(part)
                epoch, start = epoch + 1, 0
            yield np.concatenate(parts)

    def epoch(self, number: int) -> NDArray[np.int64]:
        """Positions of all samples in the order of an epoch, `[N]`."""
        if number not in self._epochs:
            while len(self._epochs) >= _KEPT_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
            self._epochs[number] = self._shuffled(number)
        return self._epochs[number]

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        generator = np.random.default_rng([self.seed, epoch])
        shuffle = generator.permutation(len(self.shards))  # [N]
        names, index = np.unique(self.shards, return_inverse=True)
        n_groups = -(-len(names) // self.mixed)
        # Groups differ by one shard at most, so that none is much smaller than the others.
        group = generator.permutation(len(names)) * n_groups // len(names)  # [shards]
        by_group = np.argsort(group[index[shuffle]].astype(np.uint16), kind="stable")
        return np.asarray(shuffle[by_group], dtype=np.int64)


def share_of(rank: int, n_ranks: int, *, per_update: int, first_update: int = 0) -> Iterator[int]:
    """Numbers of the micro-batches that one of several processes computes, without end.

    Each update consists of `per_update` micro-batches, and each process computes consecutive ones.

    Args:
        rank: number of the process, from 0.
        n_ranks: number of processes; it divides `per_update`.
        first_update: update to begin with.
    """
    n_own = per_update // n_ranks
    update = first_update
    while True:
        start = update * per_update + rank * n_own
        yield from range(start, start + n_own)
        update += 1


def evenly_spaced(n_samples: int, most: int) -> NDArray[np.int64]:
    """Positions of all samples, or of `most` of them at equal distances if there are more."""
    n_chosen = min(n_samples, most)
    return np.arange(n_chosen, dtype=np.int64) * n_samples // n_chosen


def in_turn(positions: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Positions in groups of `size`; the last group may be smaller."""
    for start in range(0, len(positions), size):
        yield positions[start : start + size]
