"""Long commands whose results cannot be written, or are written by two processes at once."""

from pathlib import Path

import pytest
from long_commands import LONG_COMMANDS, QUICK_COMMANDS, LongCommand
from processes import Ended, finish, run, start, temporaries

NOBODY_WRITES_HERE = Path("/sys/speech2face")  # the kernel lets no user make a folder there
QUICK = [
    pytest.param(name, marks=[] if name in QUICK_COMMANDS else pytest.mark.slow)
    for name in LONG_COMMANDS
]


def assert_one_line(ended: Ended) -> None:
    """One line says what could not be done; lines of the log may stand before it."""
    assert ended.status == 1, ended
    assert "Traceback" not in ended.errors, ended.errors
    assert "; " in ended.errors.strip().splitlines()[-1], ended.errors


@pytest.mark.parametrize("long_command", QUICK, indirect=True)
def test_a_folder_that_may_not_be_written_is_one_line(long_command: LongCommand) -> None:
    ended = run(long_command.arguments(NOBODY_WRITES_HERE))
    assert_one_line(ended)
    assert str(NOBODY_WRITES_HERE) in ended.errors


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["no room", "room for half of a file"])
@pytest.mark.parametrize("long_command", QUICK, indirect=True)
def test_a_full_disk_is_one_line_and_the_command_goes_on_when_there_is_room(
    long_command: LongCommand, tmp_path: Path, share: float
) -> None:
    largest = max(map(len, long_command.unbroken.values()))
    ended = finish(start(long_command.arguments(tmp_path), largest_file=int(share * largest)))
    assert_one_line(ended)
    assert temporaries(tmp_path) == []
    ended = run(long_command.arguments(tmp_path))
    assert ended.status == 0, ended.errors
    assert long_command.results(tmp_path) == long_command.unbroken


@pytest.mark.parametrize("long_command", QUICK, indirect=True)
def test_two_at_once_in_one_folder_end_with_the_same_bytes(
    long_command: LongCommand, tmp_path: Path
) -> None:
    arguments = long_command.arguments(tmp_path)
    both = [finish(process) for process in [start(arguments), start(arguments)]]
    assert any(ended.status == 0 for ended in both), both
    for ended in both:
        if ended.status != 0:
            assert_one_line(ended)
    assert temporaries(tmp_path) == []
    assert run(arguments).status == 0
    assert long_command.results(tmp_path) == long_command.unbroken
