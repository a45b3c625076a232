"""Long commands that are killed and given again end with the same bytes."""

import signal
from pathlib import Path

import pytest
from long_commands import LONG_COMMANDS, QUICK_COMMANDS, LongCommand
from processes import moments, run, temporaries


def check(command: LongCommand, folder: Path, n_kills: int) -> None:
    for index, moment in enumerate(moments(n_kills, command.seconds, seed=7)):
        out, _ = command.stopped(folder / str(index), signal.SIGKILL, moment)
        ended = run(command.arguments(out))
        assert ended.status == 0, ended.errors
        assert command.results(out) == command.unbroken
        assert temporaries(out) == []


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
