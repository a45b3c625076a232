"""Extraction on shards, of which the driver or a worker is killed: the same results in the end."""

from collections.abc import Callable
from pathlib import Path

import pytest
import talking
from killing import RAY_STARTS, WORKERS, kill_driver, kill_workers, runner_options, unbroken_run
from processes import contents, moments, run, temporaries

from speech2face.audio.speech import SAMPLE_RATE

pytestmark = pytest.mark.slow  # test_prepare_kills.py kills the same runners, once each
N_KILLS = 10
N_CLIPS, SHARD_SIZE = 240, 8


@pytest.fixture(scope="module")
def line(
    stand_in_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path, str], list[str]]:
    """The command, by its folder and runner."""
    shards = talking.write_many(
        tmp_path_factory.mktemp("shards") / "prepared", N_CLIPS, 4 * SAMPLE_RATE
    )

    def arguments(out: Path, runner: str) -> list[str]:
        given = ["extract", str(stand_in_model), str(shards), str(out)]
        return [*given, "--shard-size", str(SHARD_SIZE), *runner_options(runner)]

    return arguments


@pytest.fixture(scope="module")
def unbroken(
    line: Callable[[Path, str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], float]:
    """What a run that nothing stops leaves, and how many seconds it takes."""
    return unbroken_run(line, tmp_path_factory.mktemp("unbroken"))


@pytest.mark.parametrize("runner", WORKERS)
def test_a_driver_that_is_killed_goes_on_to_the_same_bytes(
    runner: str,
    line: Callable[[Path, str], list[str]],
    unbroken: tuple[dict[str, bytes], float],
    tmp_path: Path,
) -> None:
    expected, seconds = unbroken
    seconds += RAY_STARTS if runner == "ray" else 0.0
    for moment in moments(N_KILLS, seconds, seed=len(runner)):
        kill_driver(line(tmp_path, runner), moment)
    ended = run(line(tmp_path, runner))
    assert ended.status == 0, ended.errors
    assert contents(tmp_path) == expected
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("runner", WORKERS)
def test_workers_that_are_killed_cost_no_clip(
    runner: str,
    line: Callable[[Path, str], list[str]],
    unbroken: tuple[dict[str, bytes], float],
    tmp_path: Path,
) -> None:
    ended, n_killed = kill_workers(line(tmp_path, runner), runner, N_KILLS)
    assert ended.status == 0, ended.errors
    assert n_killed >= 6  # of thirty shards
    assert contents(tmp_path) == unbroken[0]
    assert not temporaries(tmp_path)
