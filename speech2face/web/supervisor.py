"""Uvicorn's supervisor of several worker processes, with the ends that our other commands have."""

import multiprocessing.connection
import os
import signal
import threading
from typing import Any

from uvicorn.supervisors import Multiprocess

ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Supervisor(Multiprocess):
    """Ends with the status of the signal that ended it, when all workers have ended.

    A terminal that closes ends it as well. Uvicorn would start new workers, which nobody could
    stop from that terminal any more.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._before = {number: signal.getsignal(number) for number in ENDS}
        self._ended_by: int | None = None
        super().__init__(*arguments, **named)

    def run(self) -> None:
        """Run the workers until a signal comes."""
        super().run()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._ended_by is not None:
            signal.raise_signal(self._ended_by)

    def handle_int(self) -> None:
        """End."""
        self._end(signal.SIGINT)

    def handle_term(self) -> None:
        """End."""
        self._end(signal.SIGTERM)

    def handle_hup(self) -> None:
        """End."""
        self._end(signal.SIGHUP)

    def _end(self, number: int) -> None:
        self._ended_by = number
        self.should_exit.set()


def end_with_supervisor() -> None:
    """Let this worker end if its supervisor is killed: it would keep the port for ever."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    sentinel = supervisor.sentinel

    def follow() -> None:
        multiprocessing.connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
