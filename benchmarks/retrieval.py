"""Time and memory of retrieval in large galleries of random 128-D features.

    python benchmarks/retrieval.py [--faces 100000 1000000] [--out retrieval.jsonl]

Each size runs in its own process, so that the peak memory is that of this size alone. The
gallery is a memory-mapped float32 file. The output is one JSON record per line.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.evaluation.retrieval import gallery_ranks

SIZE = 128
N_QUERIES = 100
REPEATS = 5
SEED = 0
BATCH = 100_000  # rows written to the file at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for n_faces in arguments.faces:
            path = write_gallery(Path(folder) / f"{n_faces}.npy", n_faces)
            with spawn.Pool(1) as pool:
                lines.append(json.dumps(pool.apply(time_ranks, (path,))))
            print(lines[-1], flush=True)
            path.unlink()
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def write_gallery(path: Path, n_faces: int) -> Path:
    """A float32 file of standard-normal rows, written in batches."""
    generator = np.random.default_rng(SEED)
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (n_faces, SIZE))
    for first in range(0, n_faces, BATCH):
        rows = min(BATCH, n_faces - first)
        mapped[first : first + rows] = generator.standard_normal((rows, SIZE), np.float32)
    mapped.flush()
    return path


def asked_of(gallery: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Rows of the true faces and noisy queries for them, cosine 0.7 as in the paper's Table 2."""
    generator = np.random.default_rng(SEED + 1)
    own = generator.permutation(len(gallery))[:N_QUERIES]
    noise = generator.standard_normal((N_QUERIES, SIZE), np.float32)
    return own, np.asarray(gallery[own]) + noise


def time_ranks(path: Path) -> dict[str, object]:
    """Exact rank of every query's own face."""
    gallery = np.load(path, mmap_mode="r")
    own, query = asked_of(gallery)
    persons = np.array([f"person{row}" for row in range(len(gallery))])
    before = resident_bytes()
    timing = timed(lambda: gallery_ranks(query, persons[own], gallery, persons))
    return record("gallery_ranks", gallery.shape, before, timing)


def timed(call: Callable[[], object]) -> list[float]:
    """Seconds of each repeat, after one warm-up."""
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def record(
    name: str, shape: tuple[int, ...], before: int, seconds: list[float]
) -> dict[str, object]:
    """One line of the benchmark contract; memory includes the mapped pages this call touched."""
    q1, median, q3 = np.percentile(seconds, [25, 50, 75]).round(4).tolist()
    return {
        "name": name,
        "shape": [N_QUERIES, *shape],
        "dtype": "float32 gallery, float64 scores",
        "device": platform.machine(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "seed": SEED,
        "repeats": len(seconds),
        "q1_s": q1,
        "median_s": median,
        "q3_s": q3,
        "peak_mb_above_start": round((peak_bytes() - before) / 1e6),
        "gallery_mb": round(4 * shape[0] * shape[1] / 1e6),
        "numpy": np.__version__,
        "commit": commit(),
    }


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kilobytes


def resident_bytes() -> int:
    """Memory of this process now, the touched pages of the mapped gallery included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
