"""Puts faults into the package, one at a time, and checks that the tests notice them.

    python tests/mutants.py [--only WORD] [--workers 2]

`mutants.toml` beside this file lists faults, each a small change of a line or two: what it would
break, the file, the text before and after, and the tests that should notice. Every fault is put
alone into a copy of the package, and its tests run against that copy. A fault is caught when they
fail, and survives when they pass. The exit status is 1 when fewer than 95 % are caught.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
LIST = Path(__file__).with_suffix(".toml")
COPIED = ("speech2face", "tests", "benchmarks", "configs", "docs", "examples", "pyproject.toml")
SHARE_TO_CATCH = 0.95
TIMEOUT_SECONDS = 600
TESTS_FAILED = 1  # exit status of pytest; 2 and above say that the run itself went wrong

Verdict = Literal["caught", "survived", "not run"]


@dataclass(frozen=True)
class Mutant:
    """One fault: `before` becomes `after` in `file`, which breaks what `breaks` says."""

    breaks: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Put the fault into the copy of the project at `root`."""
        path = root / self.file
        text = path.read_text()
        if text.count(self.before) != 1:
            raise ValueError(f"{self.file} has {text.count(self.before)} times: {self.before}")
        path.write_text(text.replace(self.before, self.after))


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """All faults of the list."""
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text())["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def judge(mutant: Mutant) -> tuple[Verdict, str]:
    """Run the tests of one fault on a copy that has it; the verdict and pytest's last line."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        # One folder deeper, with the shared data beside the copy as it lies beside the project.
        root = Path(folder) / "project"
        root.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        shared = ROOT.parent / "shared"
        if shared.is_dir():
            (root.parent / "shared").symlink_to(shared)
        mutant.apply(root)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        try:
            run = subprocess.run(
                [*command, *mutant.tests],
                cwd=root,
                env={**os.environ, "PYTHONPATH": str(root)},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return "caught", "the tests did not end"
    last = (run.stdout.strip().splitlines() or ["no output"])[-1]
    if run.returncode == 0:
        return "survived", last
    return ("caught" if run.returncode == TESTS_FAILED else "not run"), last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("--only", default="", help="faults whose description or file has this word")
    parser.add_argument("--workers", type=int, default=2, help="faults judged at a time")
    arguments = parser.parse_args()
    mutants = [one for one in read_mutants() if arguments.only in one.breaks + one.file]
    with ThreadPoolExecutor(arguments.workers) as pool:
        verdicts = []
        for mutant, (verdict, line) in zip(mutants, pool.map(judge, mutants), strict=True):
            verdicts.append(verdict)
            print(f"{verdict:9} {mutant.file}: {mutant.breaks}  [{line}]", flush=True)
    n_caught = verdicts.count("caught")
    print(json.dumps({"mutants": len(mutants), "caught": n_caught}))
    return 0 if n_caught >= SHARE_TO_CATCH * len(mutants) else 1


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description."""


if __name__ == "__main__":
    sys.exit(main())
