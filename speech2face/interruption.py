"""What becomes of a command that is told to stop: Ctrl-C, SIGTERM, or a terminal that closes.

The process removes the files that it was writing and ends at once. No exception is raised, since an
exception can be swallowed, or turned into another one, by whatever code runs at that moment: an
import, a destructor, a library written in C. So there is no moment at which a traceback appears.
"""

import os
import signal
import sys
from types import FrameType

# This file is imported before everything else, so it imports nothing that takes time to load.

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


def exit_on_signals() -> None:
    """From now on, end this process cleanly on each of `SIGNALS`, with status 128 + its number.

    A signal that whoever started the process ignores, as `nohup` does, stays ignored.
    """
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def ignore_signals() -> None:
    """From now on, ignore `SIGNALS`: all work is done, and Python takes its handlers away."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _exit(number: int, _: FrameType | None) -> None:
    try:
        if files := sys.modules.get("speech2face.files"):
            files.remove_own_temporaries()
        if (processes := sys.modules.get("multiprocessing")) and not processes.parent_process():
            for worker in processes.active_children():
                worker.kill()
            os.write(2, b"speech2face: stopped\n")
        elif not processes:
            os.write(2, b"speech2face: stopped\n")
    finally:
        os._exit(128 + number)
