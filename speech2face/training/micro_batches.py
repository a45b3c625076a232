"""What each update learns from: the micro-batches of this process, read ahead, on its device."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from speech2face.data.ahead import read_ahead
from speech2face.data.order import Order, evenly_spaced, in_turn, share_of
from speech2face.errors import Speech2FaceError
from speech2face.training.config import Plan
from speech2face.training.machine import Machine

B_co = TypeVar("B_co", covariant=True)


class Movable(Protocol[B_co]):
    """A batch in the memory of the processor, which becomes one on a device."""

    def to(self, device: torch.device) -> B_co: ...


Reader = Callable[[Sequence[int]], Movable[B_co]]


def updates(
    read: Reader[B_co], shards: NDArray[np.integer], plan: Plan, machine: Machine
) -> Callable[[int], Iterator[list[B_co]]]:
    """The function `batches_from(samples_seen)` of `training.loop`, without end.

    Args:
        read: makes a batch of the samples at these positions.
        shards: shard of each sample, `[N]`.
        plan: sizes, and the seed of the order.
        machine: this process and the others, which share the micro-batches of each update.

    Raises:
        Speech2FaceError: there are more processes than micro-batches in an update.
    """
    ranks = machine.ranks
    if ranks.size > plan.accumulate:
        raise Speech2FaceError(
            f"{ranks.size} processes cannot share {plan.accumulate} micro-batches of an update",
            f"add --set plan.accumulate={ranks.size}, or start fewer processes",
        )
    order = Order(shards, plan.seed)

    def batches_from(samples_seen: int) -> Iterator[list[B_co]]:
        if len(set(ranks.everything(samples_seen))) > 1:
            problem = "the processes of this training do not continue from the same checkpoint"
            raise Speech2FaceError(problem, "give a --run-dir that all of them see")
        numbers = share_of(
            ranks.rank,
            ranks.size,
            per_update=plan.accumulate,
            first_update=plan.iteration(samples_seen),
        )
        positions = order.micro_batches(numbers, plan.batch_size)
        batches = read_ahead(read, (row.tolist() for row in positions))
        while True:
            own = islice(batches, plan.accumulate // ranks.size)
            yield [batch.to(machine.device) for batch in own]

    return batches_from


def held_out(read: Reader[B_co], n_samples: int, plan: Plan, machine: Machine) -> Iterator[B_co]:
    """The validation batches of this process; all processes together have each batch once."""
    chosen = evenly_spaced(n_samples, plan.validation_samples)
    own = islice(in_turn(chosen, plan.batch_size), machine.ranks.rank, None, machine.ranks.size)
    for batch in read_ahead(read, (row.tolist() for row in own)):
        yield batch.to(machine.device)
