"""Feeds damaged files to every reader, each in a worker process with limits.

    make fuzz N=100000                         # that many inputs for each target
    PYTHONPATH=tests python -m fuzz.harness --inputs 1000 photo audio

An input is a finding when the reader does anything but give a result or raise a
`Speech2FaceError`: another exception, a crash, more than `SECONDS`, or more than `MEMORY`. Inputs
are drawn from (seed, target, number), so every one can be made again; findings are saved.
"""

import argparse
import faulthandler
import hashlib
import mmap
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.target import Target
from fuzz.targets import SLOW, TARGETS
from speech2face.errors import Speech2FaceError

SECONDS = 30.0  # of wall clock for one input; the budget of the audio reader is five of CPU time
GRACE = 30.0  # more, before a worker is killed: the first input waits for imports
MEMORY = 2**30  # bytes that an input may add to the largest resident size
ADDRESS_SPACE = 2**34  # libraries such as torch reserve much that they never use


@dataclass
class Outcome:
    """The result of one target.

    Attributes:
        n_inputs: how many were read.
        n_results: how many gave a result; the others a `Speech2FaceError`, or a finding.
        findings: their kinds, with the number of each and the file of the first.
    """

    n_inputs: int = 0
    n_results: int = 0
    findings: dict[str, tuple[int, str]] = field(default_factory=dict)


def input_of(target: Target, name: str, seed: int, number: int) -> bytes:
    """The input of that number; the first ones are the seeds themselves."""
    if number < len(target.seeds):
        return target.seeds[number]
    draw = random.Random(f"{seed} {name} {number}")
    return target.damage(draw.choice(target.seeds), draw)


def fuzz(name: str, n_inputs: int, seed: int, found: Path) -> Outcome:
    """Feed one target; a worker that dies or hangs is replaced and goes on with the next input."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        shared = mmap.mmap(-1, 16)  # number of the input in work, number of results
        first = 0
        while first < n_inputs:
            report = Path(folder) / "report"
            report.touch()
            worker = os.fork()
            if worker == 0:
                _work(name, range(first, n_inputs), seed, Path(folder), shared)
            problem = _wait(worker, shared)
            number = int.from_bytes(shared[:8], "little")
            for line in report.read_text().splitlines():
                at, kind = line.split(" ", 1)
                _keep(outcome, name, seed, int(at), kind, found, Path(folder))
            report.unlink()
            if problem:
                _keep(outcome, name, seed, number, problem, found, Path(folder))
            first = number + 1
        outcome.n_inputs = first
        outcome.n_results = int.from_bytes(shared[8:], "little")
    return outcome


def _wait(worker: int, shared: mmap.mmap) -> str | None:
    """Wait for the worker; how it failed, or None."""
    number, since = shared[:8], time.monotonic()
    while True:
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return None if code == 0 else f"crash: status {code}"
        if shared[:8] != number:
            number, since = shared[:8], time.monotonic()
        elif time.monotonic() - since > SECONDS + GRACE:
            os.kill(worker, 9)
            os.waitpid(worker, 0)
            return f"hang: more than {SECONDS:.0f} s"
        time.sleep(0.02)


def _work(name: str, numbers: range, seed: int, folder: Path, shared: mmap.mmap) -> None:
    """What the worker does; it never returns."""
    status = 70
    try:
        warnings.simplefilter("ignore")
        faulthandler.disable()  # a crash is counted, not printed
        home = Path(tempfile.mkdtemp(dir=folder))
        target = TARGETS[name](home)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries write about what they read
        with (folder / "report").open("a", buffering=1) as report:
            for number in numbers:
                shared[:8] = number.to_bytes(8, "little")
                problem = _try(target, input_of(target, name, seed, number), home)
                if problem == "":
                    results = int.from_bytes(shared[8:], "little") + 1
                    shared[8:] = results.to_bytes(8, "little")
                elif problem is not None:
                    report.write(f"{number} {problem}\n")
        status = 0
    finally:
        if status:
            traceback.print_exc()
        os._exit(status)


def _try(target: Target, content: bytes, home: Path) -> str | None:
    """The kind of finding; "" if there was a result, None if a `Speech2FaceError`."""
    file = home / target.name
    file.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    outcome: str | None = ""
    try:
        target.read(file)
    except Speech2FaceError as error:
        outcome = None
        if not error.remedy or len(str(error)) > 2_000:
            outcome = f"message: {len(str(error))} characters"
    except BaseException as error:  # the point of it all
        trace = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in trace if "speech2face" in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        outcome = f"{type(error).__name__} at {where}: {str(error)[:80]!r}"
    if time.monotonic() - began > SECONDS:
        outcome = f"slow: more than {SECONDS:.0f} s"
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > MEMORY:
        outcome = f"memory: more than {MEMORY >> 20} MiB"
    return outcome


def _keep(
    outcome: Outcome, name: str, seed: int, number: int, kind: str, found: Path, folder: Path
) -> None:
    """Count a finding, and save the first input of each kind."""
    label = kind.split(": ")[0] if " at " in kind or kind.startswith("message") else kind
    count, file = outcome.findings.get(label, (0, ""))
    if not count:
        home = Path(tempfile.mkdtemp(dir=folder))
        content = input_of(TARGETS[name](home), name, seed, number)
        found.mkdir(parents=True, exist_ok=True)
        file = f"{name}-{hashlib.sha256(content).hexdigest()[:12]}.bin"
        (found / file).write_bytes(content)
        (found / f"{file}.txt").write_text(f"{name} seed {seed} input {number}\n{kind}\n")
    outcome.findings[label] = count + 1, file


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per target; status 1 if there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=[], help="all unless given")
    parser.add_argument("--inputs", type=int, default=1_000, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args(arguments)
    n_findings = 0
    for name in options.targets or TARGETS:
        n_inputs = options.inputs if name not in SLOW else max(8, options.inputs // 500)
        began = time.monotonic()
        outcome = fuzz(name, n_inputs, options.seed, options.found)
        seconds = time.monotonic() - began
        sys.stdout.write(
            f"{name}: {outcome.n_inputs:,} inputs, {outcome.n_results:,} results, "
            f"{len(outcome.findings)} kinds of findings, {seconds:.0f} s\n"
        )
        for kind, (count, file) in outcome.findings.items():
            sys.stdout.write(f"    {count} x {kind}  [{file}]\n")
        sys.stdout.flush()
        n_findings += len(outcome.findings)
    return 1 if n_findings else 0


if __name__ == "__main__":
    sys.exit(main())
