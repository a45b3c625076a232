"""The order of samples: each once per epoch, the same from every place and for every process."""

from itertools import islice

import numpy as np
import pytest

from speech2face.data.order import Order, evenly_spaced, in_turn, share_of

SHARDS = np.repeat(np.arange(40), 5)  # 200 samples


def stream(order: Order, size: int, n_batches: int, first: int = 0) -> list[list[int]]:
    numbers = range(first, first + n_batches)
    return [batch.tolist() for batch in order.micro_batches(numbers, size)]


@pytest.mark.parametrize("size", [1, 3, 7, 20])  # 3 does not divide 7, 20 spans epochs
def test_every_sample_comes_once_per_epoch(size: int) -> None:
    order = Order(np.zeros(7, dtype=int), seed=1)
    positions = sum(stream(order, size, -(-21 // size)), [])[:21]
    epochs = [positions[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("first", [1, 2, 24, 25, 61])
def test_a_stream_that_begins_later_equals_the_rest_of_the_whole_stream(first: int) -> None:
    whole = stream(Order(SHARDS, seed=3), 8, 80)
    assert stream(Order(SHARDS, seed=3), 8, 80 - first, first) == whole[first:]


def test_the_seed_decides_the_order() -> None:
    first, same, other = (stream(Order(SHARDS, seed=seed), 200, 1)[0] for seed in (1, 1, 2))
    assert first == same != other and sorted(other) == list(range(200))


def test_samples_are_mixed_over_a_group_of_shards_and_not_beyond() -> None:
    """40 shards in groups of 16 at most are three groups of 13 or 14."""
    order = Order(SHARDS, seed=0)
    shards = SHARDS[order.epoch(0)].tolist()
    groups: list[set[int]] = [set()]
    for place, shard in enumerate(shards):
        groups[-1].add(shard)
        rest = set(shards[place + 1 :])
        if rest and not groups[-1] & rest:  # no later sample is of these shards
            groups.append(set())
    assert sorted(map(len, groups)) == [13, 13, 14]
    assert np.count_nonzero(np.diff(shards)) > 150  # neighbours are seldom of one shard
    assert set(SHARDS[order.epoch(1)][:65].tolist()) not in groups  # mixed anew in each epoch


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_processes_share_each_update_without_gap_or_overlap(n_ranks: int) -> None:
    shares = [
        list(islice(share_of(rank, n_ranks, per_update=4, first_update=5), 12 // n_ranks))
        for rank in range(n_ranks)
    ]
    n_own = 4 // n_ranks
    together = [
        number
        for update in range(3)
        for share in shares
        for number in share[update * n_own : (update + 1) * n_own]
    ]
    assert together == list(range(20, 32))


def test_a_run_that_goes_on_with_other_processes_sees_the_same_samples() -> None:
    order = Order(SHARDS, seed=9)

    def samples(n_ranks: int, first_update: int, n_updates: int) -> list[set[int]]:
        seen = []
        streams = [
            order.micro_batches(share_of(r, n_ranks, per_update=4, first_update=first_update), 8)
            for r in range(n_ranks)
        ]
        for _ in range(n_updates):
            own = [next(one).tolist() for one in streams for _ in range(4 // n_ranks)]
            seen.append(set(sum(own, [])))
        return seen

    alone = samples(1, 0, 12)
    assert samples(2, 0, 5) + samples(4, 5, 4) + samples(1, 9, 3) == alone


def test_held_out_samples_are_spread_over_all_and_come_in_turn() -> None:
    assert evenly_spaced(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert [part.tolist() for part in in_turn(evenly_spaced(5, 9), 2)] == [[0, 1], [2, 3], [4]]
