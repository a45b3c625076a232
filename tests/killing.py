"""Kills commands that work on shards: their driver, or single workers, at random moments."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from processes import Ended, descendants, finish, members, start

WORKERS = {"serial": "spawn_main", "processes": "spawn_main", "ray": "ray::_do"}
RAY_STARTS = 10.0  # seconds


def runner_options(runner: str) -> list[str]:
    return ["--runner", runner, *([] if runner == "serial" else ["--workers", "2"])]


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


def kill_workers(
    arguments: list[str], shards: Path, runner: str, n_kills: int
) -> tuple[Ended, int]:
    """A run of which up to so many workers are killed, and how many were.

    Never twice in one shard: an item that is hit a second time is rightly left out.

    Args:
        shards: folder that the run fills.
    """
    chance = random.Random(n_kills)
    process = start(arguments)
    n_killed, hit = 0, set[str]()
    while process.poll() is None:
        time.sleep(0.02 + 0.1 * chance.random())
        in_flight = {path.name for path in shards.glob(".in-flight/shard-*")}
        workers = [pid for pid, said in descendants(process.pid) if WORKERS[runner] in said]
        all_busy = workers and len(in_flight) == len(workers)  # none has just been started
        if not all_busy or in_flight & hit or n_killed == n_kills:
            continue
        with suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
            n_killed += 1
        hit |= {path.name for path in shards.glob(".in-flight/shard-*")} | in_flight
    return finish(process), n_killed


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
