"""Kills commands that work on shards: their driver, or single workers, at random moments."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from processes import Ended, contents, descendants, finish, members, run, start

WORKERS = {"serial": "spawn_main", "processes": "spawn_main", "ray": "ray::_do"}
RAY_STARTS = 10.0  # seconds


def runner_options(runner: str) -> list[str]:
    return ["--runner", runner, *([] if runner == "serial" else ["--workers", "2"])]


def unbroken_run(
    line: Callable[[Path, str], list[str]], out: Path
) -> tuple[dict[str, bytes], float]:
    """What a run that nothing stops leaves in `out`, and how many seconds it takes."""
    before = time.monotonic()
    ended = run(line(out, "processes"))
    assert ended.status == 0, ended.errors
    return contents(out), time.monotonic() - before


def kill_driver(arguments: list[str], seconds: float) -> None:
    """Kill a run after so many seconds. Whatever could still write has to end by itself.

    Two agents of a Ray cluster stay longer; they belong to the cluster and know nothing of shards.
    """
    process = start(arguments)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    until = time.monotonic() + 20
    while (left := _writers(process.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not left


def kill_workers(arguments: list[str], runner: str, n_kills: int) -> tuple[Ended, int]:
    """A run of which up to so many workers are killed, and how many were.

    Never twice in one shard: an item that is hit a second time is rightly left out.
    """
    chance = random.Random(n_kills)
    process = start(arguments)
    hit = set[str]()
    while process.poll() is None:
        time.sleep(0.02 + 0.2 * chance.random())
        workers = [pid for pid, said in descendants(process.pid) if WORKERS[runner] in said]
        if workers and len(hit) < n_kills:
            _kill_unless_hit(chance.choice(workers), hit)
    return finish(process), len(hit)


def _kill_unless_hit(worker: int, hit: set[str]) -> None:
    """Kill a worker that is busy with a shard in which none was killed; it is stopped meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGSTOP)
        shard = _shard_of(worker)
        if shard is not None and shard not in hit:
            hit.add(shard)
            os.kill(worker, signal.SIGKILL)
        os.kill(worker, signal.SIGCONT)


def _shard_of(worker: int) -> str | None:
    """Name of the file that says what the worker is busy with; None if it has none open."""
    for link in Path(f"/proc/{worker}/fd").glob("*"):
        with suppress(OSError):
            target = os.readlink(link)
            if "/.in-flight/shard-" in target:
                return Path(target).name
    return None


def _writers(session: int) -> list[int]:
    """Living processes of a session that work on shards."""
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in members(session)}
    found = []
    for pid, path in lines.items():
        with suppress(OSError):
            said = path.read_text()
            if "spawn_main" in said or "ray::_do" in said:
                found.append(pid)
    return found
