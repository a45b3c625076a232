"""Where a training computes: on which device, with which processes, at which precision."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.training.ranks import ALONE, Ranks, joined_ranks

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Machine:
    """What computes one training.

    Attributes:
        device: on which this process computes.
        ranks: this process and the others.
        is_bfloat16: networks run under autocast to bfloat16. Weights, losses, gradients and the
            spectrogram stay float32.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    ranks: Ranks = ALONE
    is_bfloat16: bool = False

    def autocast(self) -> torch.autocast:
        """Context in which networks run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_bfloat16)

    def as_float32(self, output: Tensor) -> Tensor:
        """What a network gives, as losses take it."""
        return output.float() if self.is_bfloat16 else output

    def at(self, precision: str) -> "Machine":
        """The same machine at one of `PRECISIONS`; `auto` is bfloat16 where a GPU has it.

        Raises:
            Speech2FaceError: bfloat16 is asked for, and the GPU does not have it.
        """
        is_gpu = self.device.type == "cuda"
        has_it = is_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        if precision == "bfloat16" and is_gpu and not has_it:
            raise Speech2FaceError("this GPU has no bfloat16", "add --set precision=float32")
        wanted = precision == "bfloat16" or (precision == "auto" and has_it)
        return replace(self, is_bfloat16=wanted)


SINGLE = Machine()


@contextmanager
def this_machine(device: str) -> Iterator[Machine]:
    """The machine of this process, together with the processes that `torchrun` started with it.

    Args:
        device: `cpu`, `cuda`, or `cuda:N`. With `cuda`, each process takes the GPU of its number.

    Raises:
        Speech2FaceError: the other processes cannot be reached, or are too many.
    """
    with joined_ranks() as ranks:
        place = torch.device(device)
        if device == "cuda" and ranks.size > 1:
            place = torch.device("cuda", _local_rank())
            torch.cuda.set_device(place)
        yield Machine(place, ranks)


def _local_rank() -> int:
    """Number of this process on its machine."""
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        problem = f"there are {torch.cuda.device_count()} GPUs for more processes"
        raise Speech2FaceError(problem, "start one process per GPU: --nproc-per-node")
    return number
