"""Many reconstructions in one process: the faces stay the same and the memory stays flat.

    python benchmarks/soak.py --reconstructions 5000

Prints one JSON record: first one after another in this process, then in threads that share a model,
then in forked processes that each open it. Exits with status 1 if a face differs, or if the memory
grows by more than `--allowed-mb` after the first tenth.
"""

import argparse
import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import speech2face

VOICE = Path(__file__).resolve().parents[1] / "examples" / "slt.ogg"


def face(model: speech2face.Pipeline) -> str:
    """Digest of the image, the feature and one further face that a voice gives."""
    made = model.reconstruct(VOICE, draws=1)
    parts = (made.image.tobytes(), made.feature.tobytes(), made.likely[0].tobytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def resident_mb() -> float:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def one_after_another(model: speech2face.Pipeline, n: int) -> tuple[set[str], float]:
    """Digests, and by how much the memory grew after the first tenth."""
    digests: set[str] = set()
    before = 0.0
    for index in range(n):
        digests.add(face(model))
        if index == n // 10:
            before = resident_mb()
    return digests, resident_mb() - before


def in_forks(path: str | None, n: int, expected: set[str]) -> list[int]:
    """Exit statuses of processes that are forked from this one; 0 if all faces were as expected."""
    children = []
    for _ in range(n):
        child = os.fork()
        if child == 0:
            own = speech2face.load_model(path)
            os._exit({face(own) for _ in range(5)} != expected)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reconstructions", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--forks", type=int, default=4)
    parser.add_argument("--model")
    parser.add_argument("--allowed-mb", type=float, default=16)
    given = parser.parse_args()
    expected = {face(speech2face.load_model(given.model))}
    forks = in_forks(given.model, given.forks, expected)
    model = speech2face.load_model(given.model)
    digests, growth = one_after_another(model, given.reconstructions)
    with ThreadPoolExecutor(given.threads) as pool:
        threaded = set(pool.map(face, [model] * (4 * given.threads)))
    is_same = digests == threaded == expected and not any(forks)
    record = {
        "reconstructions": given.reconstructions,
        "growth_mb": round(growth, 2),
        "resident_mb": round(resident_mb(), 1),
        "threads": given.threads,
        "forks": given.forks,
        "same_faces": is_same,
    }
    print(json.dumps(record))
    return 0 if is_same and growth <= given.allowed_mb else 1


if __name__ == "__main__":
    sys.exit(main())
