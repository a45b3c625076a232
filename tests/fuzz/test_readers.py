"""A short run of the harness, and that the harness finds what it looks for."""

import os
import random
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the train extra is not installed")

from fuzz import harness  # noqa: E402
from fuzz.harness import fuzz, input_of  # noqa: E402
from fuzz.target import Target  # noqa: E402
from fuzz.targets import SLOW, TARGETS  # noqa: E402
from speech2face.errors import Speech2FaceError  # noqa: E402

# A worker is a fork of this process, which may have threads by now.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - set(SLOW)))
def test_damaged_files_give_a_result_or_a_clear_error(name: str, tmp_path: Path) -> None:
    outcome = fuzz(name, 200, seed=1, found=tmp_path / "found")
    assert outcome.findings == {}
    assert outcome.n_inputs == 200 and 0 < outcome.n_results < 200


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_seed_is_a_valid_file(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    for seed in target.seeds:
        (tmp_path / target.name).write_bytes(seed)
        try:
            target.read(tmp_path / target.name)
        except Speech2FaceError as error:
            assert name == "weights" and "weights are missing" in error.problem  # a small .mat


def test_an_input_is_made_again_from_its_number(tmp_path: Path) -> None:
    target = TARGETS["manifest"](tmp_path)
    inputs = [input_of(target, "manifest", 3, number) for number in range(3_000)]
    assert inputs == [input_of(target, "manifest", 3, number) for number in range(3_000)]
    assert inputs[0] == target.seeds[0] and len(set(inputs)) > 1_500


def faulty(fault: str) -> Target:
    """A reader that fails on every input that begins with `fault`."""

    def read(path: Path) -> object:
        if path.read_bytes() != b"fault":
            raise Speech2FaceError("no such thing", "give another")
        match fault:
            case "exception":
                raise KeyError("missing")
            case "crash":
                os.abort()
            case "hang":
                time.sleep(60)
            case "memory":
                return bytearray(2 * harness.MEMORY).count(1)
            case "message":
                raise Speech2FaceError("short", "give another", "x" * 5_000)
        return None

    def damage(_: bytes, draw: random.Random) -> bytes:
        return draw.choice((b"fault", b"other"))

    return Target(read, [b"other"], damage)


@pytest.mark.parametrize("fault", ["exception", "crash", "hang", "memory", "message"])
def test_every_kind_of_failure_is_found_and_its_input_saved(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, fault, lambda _: faulty(fault))
    monkeypatch.setattr(harness, "SECONDS", 0.5 if fault == "hang" else 30.0)  # on a busy machine
    monkeypatch.setattr(harness, "GRACE", 0.5)
    monkeypatch.setattr(harness, "MEMORY", 2**26)
    outcome = fuzz(fault, 9, seed=0, found=tmp_path)
    assert outcome.n_inputs == 9
    assert len(outcome.findings) == 1
    (count, file), (kind,) = *outcome.findings.values(), outcome.findings.keys()
    assert count >= 1 and (tmp_path / file).read_bytes() == b"fault"
    assert {"exception": "KeyError"}.get(fault, fault) in kind
