"""Reading ahead: while a batch is used, threads read the ones that come next, in the same order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")

DEPTH = 8  # batches that are read or wait
THREADS = 2


def read_ahead(
    read: Callable[[T], S], items: Iterable[T], *, depth: int = DEPTH, threads: int = THREADS
) -> Iterator[S]:
    """`map(read, items)`, where the next `depth` results are already being made.

    An error that `read` raises is raised when its result would have come, and ends the stream.

    Args:
        read: called in several threads at a time.
        items: without end, or not; taken as they are needed.
        depth: how far reading is ahead; the memory of so many results is used.
        threads: that read.
    """
    waiting = iter(items)
    executor = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
    try:
        results: deque[Future[S]] = deque(
            executor.submit(read, item) for item in islice(waiting, depth)
        )
        while results:
            result = results.popleft().result()
            results.extend(executor.submit(read, item) for item in islice(waiting, 1))
            yield result
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
