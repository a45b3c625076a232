"""Names that cannot be printed and streams that cannot be written, in separate processes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from media import EXAMPLES

COMMAND = [sys.executable, "-m", "speech2face"]
linux = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@pytest.fixture
def voices(tmp_path: Path) -> list[str]:
    """Two voices, one of them with a name in Japanese."""
    names = [str(tmp_path / "日本.ogg"), str(tmp_path / "b.ogg")]
    for name in names:
        shutil.copy(EXAMPLES / "slt.ogg", name)
    return names


def reconstruct(model: Path, out: Path, *voices: str, **process: object) -> tuple[int, str, str]:
    """Status, standard output and standard error of one command line."""
    command = [*COMMAND, "reconstruct", *voices, "--out", str(out), "--model", str(model)]
    finished = subprocess.run(
        command, **({"stdout": subprocess.PIPE} | process), stderr=subprocess.PIPE
    )
    printed = (finished.stdout or b"").decode("ascii", "replace")
    return finished.returncode, printed, finished.stderr.decode("ascii", "replace")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "ascii:strict", "latin-1"])
def test_a_name_that_the_output_cannot_encode_is_printed_with_escapes(
    encoding: str, stand_in_model: Path, voices: list[str], tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    bad = str(tmp_path / "無.ogg")
    out = tmp_path / "faces"
    status, printed, errors = reconstruct(stand_in_model, out, *voices, bad, env=environment)
    assert status == 1
    assert printed.split() == [f"{out}/\\u65e5\\u672c.png", f"{out}/b.png"]
    assert errors == f"{tmp_path}/\\u7121.ogg: there is no such file; check the path\n"


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on this system")
def test_a_name_that_is_not_text_is_printed_with_escapes(
    stand_in_model: Path, tmp_path: Path
) -> None:
    name = os.fsdecode(b"b\xff.ogg")
    shutil.copy(EXAMPLES / "slt.ogg", tmp_path / name)
    status, printed, errors = reconstruct(stand_in_model, tmp_path, str(tmp_path / name), "--json")
    assert (status, errors) == (0, "")
    assert json.loads(printed)["image"] == f"{tmp_path}/{name[:-4]}.png"
    assert (tmp_path / f"{name[:-4]}.png").exists()


@linux
def test_a_full_disk_behind_standard_output_does_not_stop_the_work(
    stand_in_model: Path, voices: list[str], tmp_path: Path
) -> None:
    with open("/dev/full", "w") as full:
        status, _, errors = reconstruct(stand_in_model, tmp_path / "out", *voices, stdout=full)
    assert status == 1
    assert sorted(os.listdir(tmp_path / "out")) == ["b.png", "日本.png"]
    assert errors == (
        "standard output: could not be written (no space left on device); "
        "free some space, or send it elsewhere\n"
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("ending", [">&-", "| head -0", "| true"])
def test_a_closed_standard_output_does_not_stop_the_work(
    ending: str, stand_in_model: Path, voices: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [*COMMAND, "reconstruct", *voices, "--out", str(out), "--model", str(stand_in_model)]
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"{quoted} {ending}; exit ${{PIPESTATUS[0]}}"
    finished = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert finished.returncode == 1
    assert sorted(os.listdir(out)) == ["b.png", "日本.png"]
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in os.listdir(out))
    (line,) = finished.stderr.splitlines()
    assert line.startswith("standard output: could not be written (")


@linux
@pytest.mark.parametrize("ending", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_a_closed_standard_error_does_not_stop_the_work(
    ending: str, stand_in_model: Path, voices: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["reconstruct", "missing", *voices, "--out", str(out), "--model", str(stand_in_model)]
    quoted = " ".join(f"'{word}'" for word in [*COMMAND, *words])
    finished = subprocess.run(["sh", "-c", f"{quoted} {ending}"], capture_output=True)
    assert finished.returncode == 1 and finished.stderr == b""
    assert sorted(os.listdir(out)) == ["b.png", "日本.png"]
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in os.listdir(out))


@linux
def test_help_into_a_full_disk_gives_one_line() -> None:
    with open("/dev/full", "w") as full:
        finished = subprocess.run([*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE)
    assert finished.returncode == 1 and len(finished.stderr.splitlines()) == 1


@pytest.mark.parametrize("spread", ["0", "3"])
def test_a_name_as_long_as_the_file_system_allows_is_shortened(
    spread: str, stand_in_model: Path, tmp_path: Path
) -> None:
    long = [f"{'n' * 251}.ogg", f"{'n' * 250}m.ogg", f"{'声' * 83}.ogg"]
    voices = [str(tmp_path / name) for name in long]
    for voice in voices:
        shutil.copy(EXAMPLES / "slt.ogg", voice)
    out = tmp_path / "out"
    too_long = str(tmp_path / ("x" * 300))
    arguments = ["--spread", spread, "--json"]
    status, printed, errors = reconstruct(stand_in_model, out, too_long, *voices, *arguments)
    assert status == 1 and errors.startswith(f"{too_long}: ")
    assert len(errors.splitlines()) == 1 and len(printed.splitlines()) == 4
    assert len(os.listdir(out)) == 3 * (1 + int(spread))
    assert all(name.startswith(("n" * 100, "声" * 60)) for name in os.listdir(out))
