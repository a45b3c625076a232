"""Runs commands as processes, stops them at any moment, and looks at the files they leave."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LONGEST = 300.0  # seconds; no command of the tests takes nearly as long
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # so that two runs add up numbers in the same order


@dataclass(frozen=True)
class Ended:
    """How a process ended; the status of one that a signal killed is minus its number."""

    status: int
    output: str
    errors: str


def ignore_no_signal() -> None:
    """Undo what a shell does to its background jobs, and `nohup` to all: they ignore signals.

    For `preexec_fn` of a process that a test stops by a signal.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(
    arguments: Sequence[str], *, largest_file: int | None = None, **environment: str
) -> subprocess.Popen[str]:
    """`speech2face ARGUMENTS` as a process in a session of its own.

    Args:
        largest_file: bytes after which a file cannot grow, as if the disk were full.
    """

    def prepare() -> None:
        ignore_no_signal()
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.Popen(
        [sys.executable, "-m", "speech2face", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ONE_THREAD | environment,
        start_new_session=True,
        preexec_fn=prepare,
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    output, errors = process.communicate(timeout=LONGEST)
    return Ended(process.returncode, output, errors)


def run(arguments: Sequence[str], **environment: str) -> Ended:
    return finish(start(arguments, **environment))


def timed(arguments: Sequence[str]) -> float:
    """Seconds that a whole run takes; it must succeed."""
    before = time.monotonic()
    ended = run(arguments)
    assert ended.status == 0, ended.errors
    return time.monotonic() - before


def moments(n: int, seconds: float, seed: int) -> Iterator[float]:
    """`n` random moments of a run of `seconds`, one in each of `n` equal parts of it."""
    chance = random.Random(seed)
    return (seconds * (part + chance.random()) / n for part in range(n))


def stopped_at(
    arguments: Sequence[str], number: signal.Signals, seconds: float, *, to_all: bool = False
) -> Ended:
    """A run that gets a signal so many seconds after it is able to handle one.

    Args:
        to_all: also its worker processes get the signal, as Ctrl-C on a terminal gives it.
    """
    process = start(arguments)
    while not handles(process.pid, signal.SIGTERM) and process.poll() is None:
        time.sleep(0.002)
    try:
        return Ended(0, *process.communicate(timeout=seconds))
    except subprocess.TimeoutExpired:
        if to_all:
            os.killpg(process.pid, number)  # it leads a group of its own
        else:
            process.send_signal(number)
        ended = finish(process)
        assert not survivors(process.pid), "a process of this run did not end with it"
        return ended


def survivors(session: int, seconds: float = 20.0) -> list[int]:
    """Processes of a session that are still there when they have had time to end."""
    until = time.monotonic() + seconds
    while (found := members(session)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def members(session: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        state, its_session = after_name[0], int(after_name[3])
        if its_session == session and state != "Z":
            found.append(int(folder.name))
    return found


def handles(process: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal. Python itself has none for SIGTERM."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # it has ended
        return False
    (caught,) = (line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def descendants(process: int) -> list[tuple[int, str]]:
    """Every living process that a process started, by way of others too, with its command line."""
    found: list[tuple[int, str]] = []
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (path / "stat").read_text().rpartition(")")[2].split()
            lines[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended
            continue
        parents[int(path.name)] = int(after_name[1])
    for pid, line in lines.items():
        above = pid
        while above in parents and above != process:
            above = parents[above]
        if above == process and pid != process:
            found.append((pid, line))
    return found


def contents(folder: Path, wanted: Callable[[Path], bool] = lambda path: True) -> dict[str, bytes]:
    """Every file below a folder, by its relative name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and wanted(path)
    }


def temporaries(folder: Path) -> list[str]:
    """Names below a folder that no finished command leaves."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.name.startswith(".") or path.suffix in (".part", ".partial", ".tmp")
    ]
