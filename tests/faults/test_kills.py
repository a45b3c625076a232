"""Long commands that are killed and given again end with the same bytes."""

import signal
from pathlib import Path

import pytest
from long_commands import LONG_COMMANDS, QUICK_COMMANDS, LongCommand
from processes import moments, run, stopped_at, temporaries


def check(command: LongCommand, folder: Path, n_kills: int) -> None:
    n_killed = 0
    for index, moment in enumerate(moments(n_kills, command.seconds, seed=7)):
        arguments = command.arguments(folder / str(index))
        n_killed += stopped_at(arguments, signal.SIGKILL, moment).status != 0
        ended = run(arguments)
        assert ended.status == 0, ended.errors
        assert command.results(folder / str(index)) == command.unbroken
        assert temporaries(folder / str(index)) == []
    assert n_killed >= n_kills / 2


@pytest.mark.parametrize("long_command", QUICK_COMMANDS, indirect=True)
def test_a_command_that_was_killed_once_ends_with_the_same_bytes(
    long_command: LongCommand, tmp_path: Path
) -> None:
    check(long_command, tmp_path, n_kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("long_command", LONG_COMMANDS, indirect=True)
def test_a_command_that_was_killed_at_ten_moments_ends_with_the_same_bytes(
    long_command: LongCommand, tmp_path: Path
) -> None:
    check(long_command, tmp_path, n_kills=10)
