"""Long commands that get a signal at any moment end at once and leave no temporary files."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from long_commands import LONG_COMMANDS, QUICK_COMMANDS, LongCommand
from processes import moments, run, temporaries

# A terminal sends the first and the last to all processes of a command; SIGTERM goes to one.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOISE = re.compile("Traceback|Exception|Error|Warning|leaked")


def check(command: LongCommand, numbers: Sequence[signal.Signals], folder: Path) -> None:
    """Stop a run at one moment for each signal; the moments are spread over the whole run."""
    for index, moment in enumerate(moments(len(numbers), command.seconds, seed=len(numbers))):
        to_all = numbers[index] != signal.SIGTERM
        place = folder / str(index)
        out, ended = command.stopped(place, numbers[index], moment, to_all=to_all)
        assert not NOISE.search(ended.errors), ended.errors
        assert ended.status == 128 + numbers[index], ended
        assert temporaries(folder) == []
    ended = run(command.arguments(out))  # the one that was stopped last goes on
    assert ended.status == 0, ended.errors
    assert command.results(out) == command.unbroken


@pytest.mark.parametrize("long_command", QUICK_COMMANDS, indirect=True)
def test_a_long_command_stops_cleanly_at_three_moments(
    long_command: LongCommand, tmp_path: Path
) -> None:
    check(long_command, SIGNALS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("long_command", LONG_COMMANDS, indirect=True)
def test_a_long_command_stops_cleanly_at_thirty_moments(
    long_command: LongCommand, number: signal.Signals, tmp_path: Path
) -> None:
    check(long_command, [number] * 30, tmp_path)
