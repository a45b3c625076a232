"""Speed of the loader: the order of samples, and reading sound from shards of prepared videos.

    python benchmarks/loader.py                  shards of noise, written to a temporary folder
    python benchmarks/loader.py --samples 8192   more of them

One JSON record a line. CPU time is that of this process, all its threads together. The shards were
just written, so they are in the memory of the machine: the figures are those of the code, not those
of a disk.
"""

import argparse
import io
import json
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from speech2face.audio.spectrogram import N_FRAMES
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.data.ahead import read_ahead
from speech2face.data.order import Order, share_of
from speech2face.data.prepared import CLIPS, PREPARED, PreparedClip, write_clips
from speech2face.data.store import Store
from speech2face.data.talking_shards import TalkingShards

CORPUS = 1_700_000  # clips of AVSpeech
SHARD_SIZE = 512
MICRO_BATCH = 8
SECONDS = 6.0
FEATURE_SIZE = 4096


def report(name: str, run: Callable[[], int]) -> None:
    """Print how many samples per second `run`, which returns their number, has done."""
    cpu, start = time.process_time(), time.perf_counter()
    n_samples = run()
    cpu_s, seconds = time.process_time() - cpu, time.perf_counter() - start
    record = {
        "name": name,
        "samples": n_samples,
        "seconds": round(seconds, 4),
        "cpu_s": round(cpu_s, 4),
        "samples_per_s": round(n_samples / seconds),
        "samples_per_cpu_s": round(n_samples / cpu_s),
    }
    print(json.dumps(record), flush=True)


def write_shards(folder: Path, n_samples: int) -> None:
    """Shards as `speech2face prepare` makes them of videos, with noise for sound."""
    levels = np.random.default_rng(0).integers(-9000, 9000, 2 * round(SECONDS * SAMPLE_RATE))

    def record(number: int) -> dict[str, np.ndarray | bytes]:
        start = number % round(SECONDS * SAMPLE_RATE)
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(SAMPLE_RATE)
            part = levels[start : start + round(SECONDS * SAMPLE_RATE)]
            writer.writeframes(part.astype("<i2").tobytes())
        feature = np.full(FEATURE_SIZE, number, np.float32)
        return {"wav": file.getvalue(), "jpg": bytes(12_000), "json": b"{}", "recogniser": feature}

    keys = [f"{number:064x}" for number in range(n_samples)]
    items = zip(keys, range(n_samples), strict=True)
    for _ in Store(folder, "tools").fill(items, record, shard_size=SHARD_SIZE):
        pass
    (folder / PREPARED).write_text(json.dumps({"fingerprint": "tools"}))
    write_clips(folder / CLIPS, [PreparedClip(key, "train", key) for key in keys])


def positions(order: Order) -> Iterator[list[int]]:
    numbers = share_of(0, 1, per_update=1)
    return (batch.tolist() for batch in order.micro_batches(numbers, MICRO_BATCH))


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4096, help="clips to write (default: 4096)")
    n_samples = parser.parse_args().samples

    def first_epoch() -> int:
        return len(order.epoch(0))

    def one_million() -> int:
        return sum(len(batch) for batch in islice(positions(order), 1_000_000 // MICRO_BATCH))

    order = Order(np.arange(CORPUS) // SHARD_SIZE, seed=0)
    report(f"the order of an epoch of {CORPUS:,} samples", first_epoch)
    report("positions of micro-batches", one_million)
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), n_samples)
        shards = TalkingShards(Path(folder), "train")
        report("the index of the shards", lambda: len(shards))
        own = Order(shards.shards, seed=0)
        n_batches = n_samples // MICRO_BATCH

        def read(rows: list[int]) -> int:
            return len(shards.voice_batch(rows, N_FRAMES).levels)

        report("sound and feature, as they are needed", lambda: sum(
            map(read, islice(positions(own), n_batches))))  # fmt: skip
        report("sound and feature, read ahead by two threads", lambda: sum(
            read_ahead(read, islice(positions(own), n_batches))))  # fmt: skip


if __name__ == "__main__":
    main()
