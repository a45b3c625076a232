"""The wheel has the right files, and works outside the repository."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from media import EXAMPLES

import speech2face

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tracked sources, with the build tool that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-WEIGHTS", "speech2face"):
        subprocess.run(["cp", "-r", ROOT / name, source / name], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--no-build-isolation", "-w", folder, source], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_elsewhere(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the unpacked wheel, in a folder that holds nothing of the repository."""
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import speech2face; "
        f"assert speech2face.__file__.startswith({str(installed)!r}); "
        "from speech2face.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=installed, capture_output=True, text=True)


def test_the_wheel_carries_the_package_the_licences_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"speech2face-{speech2face.__version__}.dist-info/"
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"speech2face", info.rstrip("/")}
    assert {f"{info}licenses/LICENSE", f"{info}licenses/LICENSE-WEIGHTS"} <= names
    assert "speech2face/py.typed" in names
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "speech2face").rglob("*.py")}
    assert sources <= names


def test_the_wheel_names_its_command_and_needs_no_torch(wheel: Path) -> None:
    info = f"speech2face-{speech2face.__version__}.dist-info/"
    with zipfile.ZipFile(wheel) as archive:
        entry_points = archive.read(f"{info}entry_points.txt").decode()
        metadata = archive.read(f"{info}METADATA").decode()
    assert "speech2face = speech2face.__main__:main" in entry_points
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    always = [line.split()[1] for line in needed if "extra ==" not in line]
    assert sorted(name.partition(">")[0] for name in always) == [
        "av",
        "numpy",
        "onnxruntime",
        "pillow",
        "tqdm",
    ]


def test_the_wheel_runs_away_from_the_repository(installed: Path, stand_in_model: Path) -> None:
    voice, out = str(EXAMPLES / "rms.ogg"), str(installed / "faces")
    model = str(stand_in_model)
    finished = run_elsewhere(installed, "reconstruct", voice, "--out", out, "--model", model)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (installed / "faces" / "rms.png").exists()


@pytest.mark.usefixtures("default_asset")
def test_the_wheel_carries_the_model_and_uses_it(installed: Path) -> None:
    assert run_elsewhere(installed, "models", "verify").returncode == 0
    voice, out = str(EXAMPLES / "slt.ogg"), str(installed / "faces")
    finished = run_elsewhere(installed, "reconstruct", voice, "--out", out)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (installed / "faces" / "slt.png").exists()
