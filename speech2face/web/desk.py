"""Work that takes a processor, a few pieces at a time, with a queue that has an end."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


class Busy(Exception):
    """The queue is full; `retry_after` is the time in whole seconds until it may have moved on."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class TookTooLong(Exception):
    """A piece of work was not done in time. Its turn lasts until its thread ends, too."""


class Deadline:
    """The end of the time that a piece of work has; work of several steps looks at it between them.

    A thread cannot be stopped from outside, so that what nobody waits for any more would keep
    others waiting until all of its steps are done.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise TookTooLong if nobody waits any more."""
        if time.monotonic() > self._end:
            raise TookTooLong


class Desk:
    """Runs functions in threads: `at_once` of them, while up to `waiting` more wait their turn."""

    def __init__(self, at_once: int, waiting: int, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="desk")
        self._at_once, self._waiting, self._seconds = at_once, waiting, seconds
        self._typical = 0.2  # seconds of one piece of work, a running mean
        self.n_inside = 0  # that work or wait

    @property
    def is_full(self) -> bool:
        """Whether the next piece of work would be sent away."""
        return self.n_inside >= self._at_once + self._waiting

    def deadline(self) -> Deadline:
        """That of work which is given to `do` now."""
        return Deadline(self._seconds)

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run `work(*arguments)` when its turn has come.

        Raises:
            Busy: the queue is full.
            TookTooLong: it was not done within the time that waiting and working may take.
        """
        if self.is_full:
            raise Busy(self._retry_after())
        self.n_inside += 1
        loop = asyncio.get_running_loop()
        running = self._threads.submit(self._timed, work, arguments)
        # Of this future, not of asyncio's, which is done as soon as nobody waits for it any more.
        running.add_done_callback(lambda _: self._leave_by(loop))
        try:
            # What still waits when nobody wants it any more is cancelled with asyncio's future.
            return await asyncio.wait_for(asyncio.wrap_future(running), self._seconds)
        except TimeoutError as late:
            raise TookTooLong from late

    def close(self) -> None:
        """Wait for what is being done."""
        self._threads.shutdown(wait=True)

    def _timed(self, work: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
        started = time.monotonic()
        try:
            return work(*arguments)
        finally:
            self._typical += 0.1 * (time.monotonic() - started - self._typical)

    def _leave_by(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count one less, in the thread that counts; called in the thread of the work."""
        with suppress(RuntimeError):  # the loop has ended, and with it the server
            loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self.n_inside -= 1

    def _retry_after(self) -> int:
        return max(1, math.ceil(self._waiting * self._typical / self._at_once))
