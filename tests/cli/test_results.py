"""The result of a command as JSON, and the scripts by which a shell completes commands."""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from speech2face.cli.main import main, make_parser
from speech2face.cli.results import print_result


def commands(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command without sub-commands, by its words."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    for action in below:
        for word, command in action.choices.items():
            yield from commands(command, f"{name} {word}".strip())
    if not below:
        yield name, parser


def test_every_command_with_a_result_can_print_it_as_json() -> None:
    without = {
        name for name, one in commands(make_parser()) if "--json" not in one._option_string_actions
    }
    assert without == {"serve", "xab run", "completion"}


def test_a_result_is_lines_or_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"path": Path("a/b"), "n": 3}
    print_result(argparse.Namespace(json=False), "a/b: 3", **values)
    print_result(argparse.Namespace(json=True), "a/b: 3", **values)
    assert capsys.readouterr().out.splitlines() == ["a/b: 3", '{"path": "a/b", "n": 3}']


@pytest.mark.usefixtures("default_asset")
def test_models_are_listed_and_verified_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["models", "verify", "--json"]) == 0
    verified = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["name"] for one in listed] == [one["name"] for one in verified]
    assert all(Path(one["path"]).exists() for one in listed)
    assert all(one["whole"] and len(one["sha256"]) == 64 for one in verified)


def test_settings_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="torch of the extra train is not installed")
    assert main(["default-model", "--dry-run", "--json", "--set", "voice.gain=0.75"]) == 0
    assert json.loads(capsys.readouterr().out)["voice"]["gain"] == 0.75


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_command_is_in_the_script_of_a_shell(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab", reason="shtab of the extra completion is not installed")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name, _ in commands(make_parser()):
        assert name.split()[0] in script


def test_bash_completes_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="shtab of the extra completion is not installed")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    typed = (
        f"source {script}; COMP_WORDS=(speech2face reconstruct --exag); COMP_CWORD=2; "
        "_shtab_speech2face; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run([bash, "-c", typed], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--exaggeration"]


def test_without_shtab_the_remedy_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "shtab is not installed; run " in capsys.readouterr().err
