"""The command as a whole: help, version, errors, interruptions."""

import pytest

from speech2face import Speech2FaceError, __version__
from speech2face.cli import main as command
from speech2face.cli import models, reconstruct
from speech2face.cli.main import COMMANDS, main


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"speech2face {__version__}\n"


def test_help_contains_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "speech2face reconstruct voice.m4a --out faces" in capsys.readouterr().out
    assert main(["reconstruct", "--help"]) == 0
    text = capsys.readouterr().out
    assert "not the speaker's face" in text and "--spread 4" in text and "--force" in text


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["models"], ["models", "unknown"]])
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: speech2face")


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert {reconstruct, models} <= set(COMMANDS)
    for module in COMMANDS:
        name = module.__name__.rsplit(".", 1)[-1].replace("_", "-")
        assert main([name, "--help"]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 5


@pytest.mark.parametrize(
    "raised, status, line",
    [
        (Speech2FaceError("is odd", "mend it", "a.txt"), 1, "a.txt: is odd; mend it\n"),
        (Speech2FaceError("it is odd", "mend it"), 1, "speech2face: it is odd; mend it\n"),
        (KeyboardInterrupt(), 130, "speech2face: stopped\n"),
    ],
)
def test_an_error_that_a_user_can_correct_is_one_line(
    raised: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise raised

    monkeypatch.setattr(command.models, "_list", fail)
    assert main(["models", "list"]) == status
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(command.models, "_list", fail)
    with pytest.raises(ZeroDivisionError):
        main(["models", "list"])
