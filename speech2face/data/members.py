"""Adding members to the records of shards that are whole, without what they were made from.

A worker reads a shard, computes the new member of each record from the members that are there, and
writes the shard anew. The result has the same bytes as a shard that had the member from the first.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from speech2face.data.store import Store, rewrite_shard
from speech2face.errors import Speech2FaceError
from speech2face.runners.contract import Runner

MAX_DEATHS = 3  # of workers, in one shard


@dataclass(frozen=True)
class MemberWork:
    """What a worker does with the number of a shard; it can be pickled.

    Attributes:
        folder: of the store.
        compute: makes new members of the members of a record, by their suffixes.
        made_with: what the ledger tells about how the new members were made.
    """

    folder: Path
    compute: Callable[[Mapping[str, bytes]], Mapping[str, NDArray[Any]]]
    made_with: Mapping[str, str]

    def __call__(self, number: int) -> int:
        """Write the shard anew; returns how many records it has."""
        return rewrite_shard(self.folder, number, self.compute, self.made_with)


def add_members(store: Store, name: str, work: MemberWork, run: Runner) -> Iterator[int]:
    """Add a member to all records that lack it; yields the number of records of each shard.

    Args:
        store: of the shards. It does not see the new members until it is opened again.
        name: of the new array. A shard whose records have it is left as it is.
        work: what is done with a shard.
        run: does the work, here or elsewhere.

    Raises:
        Speech2FaceError: another process writes into this folder, or workers die of one shard.
    """
    deaths: Counter[int] = Counter()

    def again(number: int) -> int:
        deaths[number] += 1
        if deaths[number] == MAX_DEATHS:
            problem = f"worker processes ended {MAX_DEATHS} times over one shard"
            remedy = "use fewer workers; the records that are there are whole"
            raise Speech2FaceError(problem, remedy, str(store.folder / f"shard-{number:05d}.tar"))
        return number

    with store.filling():
        lacking = store.shards_without(f"{name}.npy")
        for _, n_records in run(work, lacking, again):
            yield n_records
