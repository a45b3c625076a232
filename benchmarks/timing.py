"""The benchmark contract: warm-up, many repeats, median and quartiles, one JSON record each."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

WARM_UP = 3


def measure(
    name: str,
    run: Callable[[], object],
    *,
    shape: tuple[int, ...],
    dtype: str = "float32",
    device: str = "cpu",
    threads: int = 1,
    seed: int = 0,
    repeats: int = 30,
    **more: Any,
) -> dict[str, Any]:
    """Time `run`, awaited inside the span, and print the record as one JSON line.

    Args:
        shape: of the main input.
        threads: that `run` was given; it is recorded, not set.
        more: other figures of the same case, such as an error, under names with units.
    """
    for _ in range(WARM_UP):
        run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    first, median, third = (float(q) for q in np.quantile(seconds, [0.25, 0.5, 0.75]))
    record = {
        "name": name,
        "shape": list(shape),
        "dtype": dtype,
        "device": device,
        "threads": threads,
        "seed": seed,
        "repeats": repeats,
        "q1_s": first,
        "median_s": median,
        "q3_s": third,
        "torch": torch.__version__,
        "commit": _commit(),
        **more,
    }
    print(json.dumps(record), flush=True)
    return record


def _commit() -> str:
    """Abbreviated commit of the checkout, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    here = Path(__file__).parent
    return subprocess.run(command, cwd=here, capture_output=True, text=True).stdout.strip()
