"""The list of faults that `make mutants` puts into the package still fits the code."""

from pathlib import Path

import pytest
from mutants import ROOT, Mutant, judge, read_mutants

MUTANTS = read_mutants()


def test_there_are_fifty_faults_and_each_is_named_once() -> None:
    assert len({one.breaks for one in MUTANTS}) == len(MUTANTS) >= 50


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.breaks)
def test_a_fault_still_fits_the_line_it_breaks(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.before) == 1
    assert mutant.before != mutant.after
    assert all((ROOT / test).exists() for test in mutant.tests)


def test_a_fault_is_caught_and_a_harmless_change_survives(tmp_path: Path) -> None:
    file, tests = "speech2face/audio/segment.py", ("tests/audio/test_segment.py",)
    before = "    middle = waveform.shape[-1] // 2\n"
    wrong = Mutant("halves", file, before, before.replace("2", "3"), tests)
    harmless = Mutant("nothing", file, before, f"\n{before}", tests)
    assert [judge(one)[0] for one in (wrong, harmless)] == ["caught", "survived"]
