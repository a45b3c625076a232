"""How quickly the server answers, beside the bare model, and whether its memory stays.

    python benchmarks/serve.py [--requests 5000] [--clients 16] [--model M]     a JSON record a line

A server is started on this machine over a model, the embedded one by default, and asked for the
face of a sample voice: one request after the other, and then by many clients at once, who ask again
after the time that a 503 names. Other addresses are never asked. Needs the extra `serve`.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

import speech2face

VOICE = Path(__file__).resolve().parent.parent / "examples" / "rms.ogg"
ALONE = 30  # requests of one client, and repeats of the bare model
WARM_UP = 200  # requests before the memory is taken for the first time


class Client:
    """Asks for faces, and notes times in seconds and statuses."""

    def __init__(self, address: str, voice: bytes) -> None:
        self.host, self.voice = urlsplit(address).netloc, voice
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.lock = threading.Lock()

    def ask(self, _: int = 0) -> None:
        """One request; only the time of a face counts, that of a 503 does not."""
        started = time.perf_counter()
        status, wait = self._asked()
        took = time.perf_counter() - started
        with self.lock:
            self.statuses[status] += 1
            if status == 200:
                self.seconds.append(took)
        if status == 503:
            time.sleep(wait)

    def _asked(self) -> tuple[int, float]:
        connection = http.client.HTTPConnection(self.host, timeout=120)
        try:
            connection.request("POST", "/v1/faces", self.voice, {"Content-Type": "audio/ogg"})
            answer = connection.getresponse()
            answer.read()
            return answer.status, float(answer.headers.get("Retry-After", 0))
        finally:
            connection.close()


def tell(name: str, seconds: list[float], **more: object) -> None:
    """Print the median and the 95th percentile."""
    p50, p95 = (float(q) for q in np.quantile(seconds, [0.5, 0.95]))
    record = {"name": name, "n": len(seconds), "p50_s": p50, "p95_s": p95, **more}
    print(json.dumps(record), flush=True)


def bare(voice: bytes, model: str | None) -> None:
    """The same work without a server: decode, hear, draw, and the PNG is left out."""
    pipeline = speech2face.load_model(model)
    seconds = []
    for _ in range(ALONE):
        started = time.perf_counter()
        pipeline.reconstruct(voice)
        seconds.append(time.perf_counter() - started)
    tell("bare model", seconds)


def resident_mib(pid: int) -> float:
    """Memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--model")
    given = parser.parse_args()
    voice = VOICE.read_bytes()
    bare(voice, given.model)
    command = [sys.executable, "-m", "speech2face", "serve", "--no-page", "--port", "0"]
    command += ["--model", given.model] if given.model else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().strip()
        alone = Client(address, voice)
        for number in range(ALONE):
            alone.ask(number)
        tell("server, one client", alone.seconds[1:])
        many = Client(address, voice)
        with ThreadPoolExecutor(given.clients) as clients:
            list(clients.map(many.ask, range(WARM_UP)))
            before = resident_mib(process.pid)
            list(clients.map(many.ask, range(given.requests - WARM_UP)))
        grown = resident_mib(process.pid) - before
        statuses = {str(status): number for status, number in many.statuses.items()}
        facts = {"clients": given.clients, "statuses": statuses}
        tell("server, many clients", many.seconds, **facts, memory_mib=before, grown_mib=grown)
        process.terminate()


if __name__ == "__main__":
    main()
