"""Tasks in processes of this machine. With one process they are done one after the other.

The process pools of Python are not used: one of them is broken for good when a worker dies, the
other one then waits for ever.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from os import _exit
from threading import Thread
from typing import Any

from speech2face.interruption import held_back, leave_to_parent
from speech2face.runners.contract import S, T

_CONTEXT = get_context("spawn")  # a fork would inherit threads and locks of decoders
_ENDED = (EOFError, ConnectionError)  # what a pipe raises when the process behind it has died
_PATIENCE = 5.0  # seconds that a worker has to end, once it has nothing to do


def run(
    do: Callable[[T], S], tasks: Iterable[T], again: Callable[[T], T], *, workers: int = 1
) -> Iterator[tuple[T, S]]:
    """A `Runner` that has so many worker processes."""
    waiting = iter(tasks)
    busy: dict[Connection, tuple[_Worker, T]] = {}
    idle: list[_Worker] = []
    try:
        while True:
            while len(busy) < workers and (task := next(waiting, None)) is not None:
                _give(task, idle.pop() if idle else _Worker(do), busy)
            if not busy:
                return
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker, task = busy.pop(connection)
                try:
                    result = worker.result()
                except _ENDED:
                    worker.end()
                    _give(again(task), _Worker(do), busy)
                    continue
                idle.append(worker)
                yield task, result
    finally:
        for worker in (*idle, *(worker for worker, _ in busy.values())):
            worker.end()


def _give(task: T, worker: "_Worker", busy: "dict[Connection, tuple[_Worker, T]]") -> None:
    with suppress(*_ENDED):  # it died while it had nothing to do: its result will say so
        worker.connection.send(task)
    busy[worker.connection] = worker, task


class _Worker:
    """One process, and the pipe that leads to it."""

    def __init__(self, do: Callable[[Any], Any]) -> None:
        self.connection, other_end = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_work, args=(do, other_end), daemon=True)
        with held_back():
            self.process.start()
        other_end.close()  # else the pipe would stay open when the process dies

    def result(self) -> Any:
        """What became of its task; raises what the task raised, or one of `_ENDED`."""
        good, value = self.connection.recv()
        if not good:
            raise value
        return value

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join(_PATIENCE)
        self.process.close()


def _work(do: Callable[[Any], Any], connection: Connection) -> None:
    """What a worker process does, until the pipe is closed."""
    leave_to_parent()
    Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except _ENDED:
            return
        answer: tuple[bool, Any]
        try:
            answer = True, do(task)
        except Exception as error:
            error.add_note(traceback.format_exc())  # a traceback itself cannot be sent
            answer = False, error
        connection.send(answer)


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, which would write on beside the next run."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        _exit(1)
