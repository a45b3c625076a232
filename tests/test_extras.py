"""The message about a missing optional package: the command that it prints is run."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from speech2face import extras

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that this copy was installed from a source, with some requirements."""

    def pretend(direct_url: Any, requires: tuple[str, ...] = ()) -> None:
        text = None if direct_url is None else json.dumps(direct_url)
        distribution = SimpleNamespace(read_text=lambda name: text)
        monkeypatch.setattr(extras, "_checkout", lambda folder: None)
        monkeypatch.setattr(metadata, "distribution", lambda name: distribution)
        monkeypatch.setattr(metadata, "requires", lambda name: list(requires))

    return pretend


def words_of(extra: str) -> list[str]:
    """What pip is given by the command for an extra."""
    words = shlex.split(extras.install_command(extra))
    return words[words.index("install") + 1 :]


def test_a_checkout_installs_itself() -> None:
    assert words_of("face") == ["-e", f"{ROOT}[face]"]
    error = extras.missing_extra("dlib", "face")
    assert str(error).startswith("dlib is not installed; run ") and f"{ROOT}[face]" in str(error)


@pytest.mark.parametrize(
    "source, words",
    [
        ({"dir_info": {"editable": True}, "url": "FILE"}, ["-e", "PATH[face]"]),
        ({"dir_info": {}, "url": "FILE"}, ["PATH[face]"]),
        ({"archive_info": {}, "url": "FILE"}, ["PATH[face]"]),
        (
            {"archive_info": {}, "url": "https://host/a.whl"},
            ["speech2face[face] @ https://host/a.whl"],
        ),
        (
            {
                "vcs_info": {"vcs": "git", "commit_id": "abc"},
                "url": "https://host/r.git",
                "subdirectory": "python",
            },
            ["speech2face[face] @ git+https://host/r.git@abc#subdirectory=python"],
        ),
    ],
)
def test_every_source_is_named_again(
    source: dict[str, Any], words: list[str], installed: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "a folder"  # its address has %20
    folder.mkdir()
    installed(source | {"url": source["url"].replace("FILE", folder.as_uri())})
    assert words_of("face") == [word.replace("PATH", str(folder)) for word in words]


@pytest.mark.parametrize("source", [None, {"dir_info": {}, "url": "file:///gone"}])
def test_a_copy_whose_source_is_gone_names_the_packages_and_never_our_name(
    source: Any, installed: Callable[..., None]
) -> None:
    requires = ("numpy>=1.26", 'dlib-bin>=20; extra == "face"', 'onnx>=1.17; extra == "sface"')
    installed(source, requires)
    assert words_of("face") == ["dlib-bin>=20"]
    assert words_of("face,sface") == ["dlib-bin>=20", "onnx>=1.17"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["editable", "folder", "wheel", "git"])
def test_the_printed_command_works(kind: str, tmp_path: Path) -> None:
    """Install a copy in a new environment, and run what its error says."""
    source = tmp_path / "a source"
    names = ["pyproject.toml", "README.md", "LICENSE", "LICENSE-WEIGHTS"]
    names += ["speech2face/__init__.py", "speech2face/errors.py", "speech2face/extras.py"]
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    (source / "speech2face" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    heading = "[project.optional-dependencies]"
    settings = (source / "pyproject.toml").read_text()
    (source / "pyproject.toml").write_text(settings.replace(heading, f"{heading}\ntiny = []"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    tools = tmp_path / "tools"  # the build tool of this environment, so that nothing is fetched
    tools.mkdir()
    for found in Path(str(metadata.distribution("setuptools").locate_file(""))).glob("setuptools*"):
        (tools / found.name).symlink_to(found)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tools), "HOME": str(tmp_path)}
    environment |= {  # git reads the folder where it is asked for a repository of the network
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{source}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://host.invalid/r.git",
    }
    local = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]

    def run(*command: str) -> str:
        finished = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    given = {"editable": ["-e", str(source)], "folder": [str(source)]}.get(kind)
    if kind == "wheel":
        run(python, "-m", "pip", "wheel", *local, "-w", str(tmp_path), str(source))
        given = [str(next(tmp_path.glob("*.whl")))]
    if kind == "git":
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
            who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
            run("git", "-C", str(source), *who, *command)
        given = ["git+https://host.invalid/r.git"]
    assert given is not None
    run(python, "-m", "pip", "install", *local, *given)
    script = "from speech2face.extras import install_command; print(install_command('tiny'))"
    printed = run(python, "-c", script).strip()
    assert "speech2face[tiny]" not in printed or "@ git+https" in printed
    run("sh", "-c", f"{printed} {' '.join(local)}")
