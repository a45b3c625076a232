"""Work that is as bad as work gets, for every runner to survive."""

import faulthandler
import os
import time
from functools import partial
from pathlib import Path

import numpy as np

from speech2face.data.store import Record, Rejected, key_of
from speech2face.runners import processes, ray_tasks
from speech2face.runners.contract import Runner

CRASHES, HANGS, KILLED_ONCE, REJECTED = 5, 9, 13, 7
RUNNERS: dict[str, Runner] = {
    "serial": processes.run,
    "processes": partial(processes.run, workers=2),
    "ray": partial(ray_tasks.run, workers=2),
}


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), 9)
    return number


def items(n: int) -> list[tuple[str, int]]:
    return [(key_of(number), number) for number in range(n)]


def harmless(number: int) -> Record | Rejected:
    if number == REJECTED:
        return Rejected("seven", "it is seven")
    return {"square": np.array(number * number), "txt": str(number).encode()}


def slow(number: int) -> Record | Rejected:
    time.sleep(0.02)
    return harmless(number)


class Hostile:
    """One item crashes its process in C, one hangs, one is killed from outside the first time."""

    def __init__(self, folder: Path) -> None:
        self.seen = folder / "seen"

    def __call__(self, number: int) -> Record | Rejected:
        if number == CRASHES:
            faulthandler._sigsegv()  # type: ignore[attr-defined]
        if number == HANGS:
            time.sleep(1000)
        if number == KILLED_ONCE and not self.seen.exists():
            self.seen.touch()
            os.kill(os.getpid(), 9)
        return harmless(number)
