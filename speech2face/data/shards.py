"""Filling a store shard by shard: each worker writes whole shards by itself.

`Store.fill` sends every record to one process, which writes it. That is right for one machine. Here
a worker, on whatever machine, gets the items of one shard, computes them and writes the shard; only
its rejections come back. Work that is stopped loses the shards that were not whole.

An item that crashes or hangs its worker is tried a second time, and is then rejected as `crashed`
or `timeout`. The other items of its shard are computed again.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic

from speech2face.data.store import (
    Outcome,
    Record,
    Rejected,
    Store,
    T,
    is_news,
    write_shard,
)
from speech2face.errors import Speech2FaceError
from speech2face.files import remove_leftovers
from speech2face.runners.contract import Runner
from speech2face.runners.in_flight import Death, InFlight, death_in

ITEM_SECONDS = 120.0  # that one item may take
MAX_STRIKES = 2  # deaths of a worker after which the item that it was busy with is left out
MAX_VAIN_DEATHS = 3  # of workers that were busy with no item, in one shard

_IN_FLIGHT = ".in-flight"  # folder of the files by which dead workers are understood


@dataclass(frozen=True)
class ShardTask(Generic[T]):
    """One shard to fill; it can be pickled.

    Attributes:
        number: of the shard.
        items: keys and sources.
        known: rejections of an earlier run. If nothing has changed, nothing is written.
        given_up: items that are not computed any more, with the reason.
    """

    number: int
    items: Sequence[tuple[str, T]]
    known: Mapping[str, Rejected] = field(default_factory=dict)
    given_up: Mapping[str, Rejected] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardWork(Generic[T]):
    """What a worker does with a task; it can be pickled. Doing it twice gives the same bytes.

    Attributes:
        folder, fingerprint: of the store.
        compute: makes a record of a source. A `Speech2FaceError` that it raises ends the run.
        item_seconds: that one item may take.
    """

    folder: Path
    fingerprint: str
    compute: Callable[[T], Record | Rejected]
    item_seconds: float = ITEM_SECONDS

    def __call__(self, task: ShardTask[T]) -> dict[str, Rejected]:
        """Write the shard; returns its rejections by key."""
        computed: dict[str, Record | Rejected] = {}
        with InFlight.at(_in_flight(self.folder, task.number), self.item_seconds) as in_flight:
            for key, source in task.items:
                if key in task.given_up:
                    computed[key] = task.given_up[key]
                    continue
                with in_flight.item(key):
                    computed[key] = self.compute(source)
        if is_news(computed, task.known):
            write_shard(self.folder, self.fingerprint, task.number, computed)
        return {key: result for key, result in computed.items() if isinstance(result, Rejected)}


def fill_shards(
    store: Store,
    items: Iterable[tuple[str, T]],
    compute: Callable[[T], Record | Rejected],
    run: Runner,
    *,
    shard_size: int,
    retry: Collection[str] = (),
    item_seconds: float = ITEM_SECONDS,
) -> Iterator[Outcome[T]]:
    """Compute the records that are missing, and yield what became of each item.

    It does what `Store.fill` does, with the same bytes; the items are told shard by shard, in the
    order in which shards become whole.

    Args:
        items: key and source of each; what shares a key is computed once.
        compute: makes a record of a source, in any process: it can be pickled.
        run: does the work, here or elsewhere.
        shard_size: items per shard, rejected ones included.
        retry: reasons of rejection that are not believed, so that these items are tried again.
        item_seconds: that one item may take before its worker is ended.

    Raises:
        Speech2FaceError: another process fills this folder, or it cannot be written; or workers
            die without being busy with anything.
    """
    with store.filling():
        shutil.rmtree(store.folder / _IN_FLIGHT, ignore_errors=True)  # of a run that was killed
        plan = store.plan(items, shard_size, retry)
        yield from plan.known
        tasks = (
            ShardTask(number, shard, store.known_rejections(key for key, _ in shard))
            for number, shard in plan.shards.items()
        )
        work = ShardWork(store.folder, store.fingerprint, compute, item_seconds)
        done: dict[str, Rejected] = {}
        try:
            for task, rejected in run(work, tasks, Strikes(store.folder, item_seconds)):
                done |= rejected
                store.take_note(task.number)
                for key, source in task.items:
                    yield Outcome(source, key, rejected.get(key))
        finally:
            shutil.rmtree(store.folder / _IN_FLIGHT, ignore_errors=True)
            remove_leftovers(store.folder)  # of workers that were ended in the middle
        for key, source in plan.repeated:
            yield Outcome(source, key, done.get(key), was_kept=True)


class Strikes:
    """Counts what workers died of, and gives up items after `MAX_STRIKES` deaths."""

    def __init__(self, folder: Path, item_seconds: float) -> None:
        """
        Args:
            folder: of the store.
            item_seconds: that one item may take, for messages.
        """
        self._folder, self._item_seconds = folder, item_seconds
        self._strikes: Counter[str] = Counter()
        self._vain: Counter[int] = Counter()  # by shard

    def __call__(self, task: ShardTask[T]) -> ShardTask[T]:
        """The task again, without an item that has died too often.

        Raises:
            Speech2FaceError: workers die before they have begun anything.
        """
        death = death_in(_in_flight(self._folder, task.number))
        if death is None:
            self._vain[task.number] += 1
            if self._vain[task.number] >= MAX_VAIN_DEATHS:
                problem = f"worker processes ended {MAX_VAIN_DEATHS} times before they began a clip"
                remedy = "look for the reason in what they printed, or use fewer workers"
                raise Speech2FaceError(problem, remedy)
            return task
        self._strikes[death.item] += 1
        if self._strikes[death.item] < MAX_STRIKES:
            return task
        return replace(task, given_up={**task.given_up, death.item: self._rejection(death)})

    def _rejection(self, death: Death) -> Rejected:
        if death.reason == "timeout":
            return Rejected("timeout", f"took longer than {self._item_seconds:g} s, twice")
        how = f" ({death.detail})" if death.detail else ""
        return Rejected("crashed", f"the process that computed it ended, twice{how}")


def _in_flight(folder: Path, number: int) -> Path:
    return folder / _IN_FLIGHT / f"shard-{number:05d}"
