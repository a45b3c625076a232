"""Hours and cost of preparing a large corpus on 1, 10 and 100 machines, from measured rates.

    python benchmarks/scale.py                 a closed form, and a simulation beside it
    python benchmarks/scale.py --clip-ms 60    with another rate; see --help for all of them

Stages follow each other: videos are fetched (AVSpeech; VoxCeleb2 is on the disk as it was
published), clips are prepared, features are added, and one accelerator trains. The closed form:

    fetch      (V/M + sqrt(2 V/M ln M)) (1/r + q p) / (1 - q)
               V videos in M parts by a hash, of which the largest counts; r videos an hour for each
               address; a share q of the requests is refused and costs a pause p
    prepare    ceil(N / (s M w)) s c
               N clips, s in a shard, w workers a machine, c for a clip: the last shards may leave
               workers without work
    features   the same with the time of a recogniser
    train      epochs N / (samples a second), on one machine

The simulation knows no formula. It draws how long each clip takes and which requests a site
refuses, lets workers take shards as they become free, kills some of them, and divides the videos
with the code of `speech2face fetch`. A test compares both.

The hours are those of a machine; prices are assumptions, and so is the speed of the accelerator.
"""

import argparse
import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import simpy

from speech2face.prepare.fetch import Pace, part_number
from speech2face.prepare.talk import SHARD_SIZE

MACHINES = (1, 10, 100)


@dataclass(frozen=True)
class LargeCorpus:
    """How large a corpus is.

    Attributes:
        videos: that have to be fetched; 0 if it is on the disk.
        clips: that are prepared.
    """

    name: str
    videos: int
    clips: int


CORPORA = (LargeCorpus("VoxCeleb2", 0, 1_128_246), LargeCorpus("AVSpeech", 290_000, 1_700_000))


@dataclass(frozen=True)
class Rates:
    """What a machine does. The first ones were measured: see docs/scaling.md.

    Attributes:
        clip_ms: CPU milliseconds to prepare a clip, with `benchmarks/prepare.py`.
        feature_ms: the same for the feature of dlib's recogniser.
        workers: worker processes of a machine; a processor each.
        per_hour: videos that a site gives to one address.
        refused: share of requests that a site answers with the wish for a pause.
        died: share of clips that cost a worker half a shard, because it was killed.
        train_per_second: samples that one accelerator trains on.
        epochs: of a training; the paper's is about three on AVSpeech.
        machine_price, accelerator_price: of an hour, in dollars.
    """

    clip_ms: float = 76.0
    feature_ms: float = 59.0
    workers: int = 2
    per_hour: float = 300.0
    refused: float = 0.002
    died: float = 1e-5
    train_per_second: float = 400.0
    epochs: float = 3.0
    machine_price: float = 0.10
    accelerator_price: float = 3.0


Hours = dict[str, float]
"""Hours that each stage takes, by its name."""


def closed_form(corpus: LargeCorpus, machines: int, rates: Rates) -> Hours:
    """Hours of each stage, by the formulas above, which know nothing of dead workers."""
    largest = corpus.videos / machines
    largest += math.sqrt(2 * largest * math.log(machines))
    pause = rates.refused * Pace().pause(1) / 3600
    return {
        "fetch": largest * (1 / rates.per_hour + pause) / (1 - rates.refused),
        "prepare": _rounds(corpus, machines, rates) * SHARD_SIZE * rates.clip_ms / 3.6e6,
        "features": _rounds(corpus, machines, rates) * SHARD_SIZE * rates.feature_ms / 3.6e6,
        "train": _training(corpus, rates),
    }


def _training(corpus: LargeCorpus, rates: Rates) -> float:
    return corpus.clips * rates.epochs / rates.train_per_second / 3600


def _rounds(corpus: LargeCorpus, machines: int, rates: Rates) -> int:
    """Shards that the busiest worker does."""
    return math.ceil(corpus.clips / SHARD_SIZE / (machines * rates.workers))


def simulated(corpus: LargeCorpus, machines: int, rates: Rates, *, seed: int = 0) -> Hours:
    """Hours of each stage, as they happen in one simulated run."""
    chance = random.Random(seed)
    return {
        "fetch": _simulated_fetching(corpus, machines, rates, chance),
        "prepare": _simulated_shards(corpus, machines, rates, rates.clip_ms / 1000, chance),
        "features": _simulated_shards(corpus, machines, rates, rates.feature_ms / 1000, chance),
        "train": _training(corpus, rates),
    }


def _simulated_fetching(
    corpus: LargeCorpus, machines: int, rates: Rates, chance: random.Random
) -> float:
    videos = (f"video {number}" for number in range(corpus.videos))
    parts = Counter(part_number(video, machines) for video in videos)
    world = simpy.Environment()
    pace = Pace(rates.per_hour)

    def machine(n_videos: int) -> Iterator[Any]:
        n_left, n_pauses = n_videos, 0
        while n_left:
            yield world.timeout(3600 / pace.per_hour)
            if chance.random() < rates.refused:
                n_pauses += 1
                yield world.timeout(pace.pause(n_pauses))
            else:
                n_left, n_pauses = n_left - 1, 0

    for n_videos in parts.values():
        world.process(machine(n_videos))
    world.run()
    return float(world.now) / 3600


def _simulated_shards(
    corpus: LargeCorpus, machines: int, rates: Rates, seconds: float, chance: random.Random
) -> float:
    """Hours until all shards are done by workers that take one after the other.

    The time of a clip is uniform between half and one and a half of its mean.
    """
    sizes = [SHARD_SIZE] * (corpus.clips // SHARD_SIZE)
    sizes += [corpus.clips % SHARD_SIZE] * (corpus.clips % SHARD_SIZE > 0)
    world = simpy.Environment()
    done: Counter[int] = Counter()

    def worker() -> Iterator[Any]:
        while sizes:
            size = sizes.pop()
            if chance.random() < rates.died * size:
                yield world.timeout(seconds * size * chance.random())
            spread = seconds * math.sqrt(size / 12)  # of a sum of uniform times
            yield world.timeout(max(0.0, chance.gauss(seconds * size, spread)))
            done[size] += 1

    for _ in range(machines * rates.workers):
        world.process(worker())
    world.run()
    assert sum(size * number for size, number in done.items()) == corpus.clips
    return float(world.now) / 3600


def cost(hours: Hours, machines: int, rates: Rates) -> float:
    """Dollars: all machines for as long as the stages before the training take, then it."""
    together = sum(hours[stage] for stage in ("fetch", "prepare", "features"))
    return together * machines * rates.machine_price + hours["train"] * rates.accelerator_price


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for field in fields(Rates):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, default=field.default)
    given = vars(parser.parse_args())
    rates = replace(Rates(), **given | {"workers": int(given["workers"])})
    for corpus in CORPORA:
        for machines in MACHINES:
            hours = closed_form(corpus, machines, rates)
            record = {
                "corpus": corpus.name,
                "machines": machines,
                "hours": {stage: round(value, 2) for stage, value in hours.items()},
                "simulated": {
                    stage: round(value, 2)
                    for stage, value in simulated(corpus, machines, rates).items()
                },
                "longest": max(hours, key=lambda stage: hours[stage]),
                "dollars": round(cost(hours, machines, rates)),
            }
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
