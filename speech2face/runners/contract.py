"""What every runner promises.

A runner does tasks in worker processes, because a decoder that crashes takes its process with it,
and because nothing in Python can interrupt a decoder that hangs. When a worker has died, the
caller says what is tried in the place of its task, and all other tasks go on.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
S = TypeVar("S")


class Runner(Protocol):
    """Does tasks anywhere."""

    def __call__(
        self, do: Callable[[T], S], tasks: Iterable[T], again: Callable[[T], T]
    ) -> Iterator[tuple[T, S]]:
        """Yield each task with its result, in the order in which they are done.

        Args:
            do: what is done with a task. It is sent to the workers, so it can be pickled, as can
                tasks and results. What it raises ends the whole run and is raised here.
            tasks: they are taken one by one, as workers become free.
            again: called with a task of which the worker died. It returns what is tried next,
                at once; what it raises ends the run.
        """
        ...
