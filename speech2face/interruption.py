"""What becomes of a command that is told to stop: Ctrl-C, SIGTERM, or a terminal that closes.

The process removes the files that it was writing and ends at once. No exception is raised, since an
exception can be swallowed, or turned into another one, by whatever code runs at that moment: an
import, a destructor, a library written in C. So there is no moment at which a traceback appears.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType

# This file is imported before everything else, so it imports nothing that takes time to load.

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
PATIENCE = 2.0  # seconds that worker processes have to remove what they were writing

_blocks: list[None] = []  # one for each `uninterrupted` block that is being run
_put_off: list[int] = []  # signals that came meanwhile


def exit_on_signals() -> None:
    """From now on, end this process cleanly on each of `SIGNALS`, with status 128 + its number.

    A signal that whoever started the process ignores, as `nohup` does, stays ignored.
    """
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def ignore_signals() -> None:
    """From now on, ignore `SIGNALS`: all work is done, and Python takes its handlers away."""
    for number in _numbers():
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off the end that a signal asks for until the block has ended.

    For a few renames that belong together, not for work that takes time.
    """
    _blocks.append(None)
    try:
        yield
    finally:
        _blocks.pop()
        if _put_off and not _blocks:
            _end(_put_off[0])


@contextmanager
def held_back() -> Iterator[None]:
    """Keep `SIGNALS` from processes that are started in the block, until they call
    `leave_to_parent`: while they import, Ctrl-C would give a traceback.

    They inherit that the signals are blocked. This process handles those that came at the end of
    the block, so none is lost. Blocking is not enough for that: the kernel gives a signal to any
    thread that does not block it, such as one of a library, and Python then calls the handler here.
    Ending in the middle of a start would leave a worker that nobody knows, without its orders.
    """
    with uninterrupted():
        if sys.platform == "win32":
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _numbers())
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent() -> None:
    """In a worker process: Ctrl-C and a closed terminal reach all, and the parent ends its workers.

    SIGTERM ends the worker, without what it was writing: by it the parent, or a pool of which a
    worker has died, ends the others.
    """
    for number in _numbers():
        signal.signal(number, _exit if number == signal.SIGTERM else signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _numbers())


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]


def _exit(number: int, _: FrameType | None) -> None:
    if _blocks:
        _put_off.append(number)
    else:
        _end(number)


def _end_workers(processes: ModuleType) -> None:
    """End worker processes; those that are still there after a moment are killed."""
    workers = processes.active_children()
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + PATIENCE
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
        worker.kill()


def _end(number: int) -> None:
    try:
        if files := sys.modules.get("speech2face.files"):
            files.remove_own_temporaries()
        if (processes := sys.modules.get("multiprocessing")) and not processes.parent_process():
            _end_workers(processes)
            os.write(2, b"speech2face: stopped\n")
        elif not processes:
            os.write(2, b"speech2face: stopped\n")
    finally:
        os._exit(128 + number)
