"""`speech2face live`, with a file in the place of the microphone, and with none that can be had."""

import io
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from media import EXAMPLES
from PIL import Image

from speech2face import load_model
from speech2face.cli import colours
from speech2face.cli.main import main

VOICE = str(EXAMPLES / "slt.ogg")


def live(model: Path, out: Path, *options: str) -> int:
    return main(["live", "--model", str(model), "--out", str(out), *options])


def test_the_picture_is_the_newest_face(
    stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "face.png"
    assert live(stand_in_model, out, "--voice", VOICE, "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == 8 and all(one["image"] == str(out) for one in told)
    expected = load_model(stand_in_model).reconstruct(VOICE)
    assert told[-1]["seconds"] == pytest.approx(expected.seconds, abs=0.05)
    with Image.open(out) as image:
        difference = np.abs(np.asarray(image, int) - np.asarray(expected.image, int))
        assert difference.max() <= 1


def test_it_ends_after_some_seconds(
    stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--voice", VOICE, "--seconds", "3")
    assert live(stand_in_model, tmp_path / "face.png", *options) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_picture_is_not_replaced_without_force(
    stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "face.png"
    out.write_bytes(b"mine")
    assert live(stand_in_model, out, "--voice", VOICE) == 1
    assert "--force" in capsys.readouterr().err and out.read_bytes() == b"mine"


def test_a_file_in_which_nobody_speaks_is_one_line(
    stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = tmp_path / "x.wav"
    noise.write_bytes(b"no sound")
    assert live(stand_in_model, tmp_path / "face.png", "--voice", str(noise)) == 1
    assert capsys.readouterr().err.startswith(f"{noise}: ")
    assert not (tmp_path / "face.png").exists()


class _Microphone:
    """Gives a second of a voice at once, and then nothing."""

    def __init__(self, *, callback: object, samplerate: int, **_: object) -> None:
        from speech2face.audio.io import decode

        self.callback, self.samples = callback, decode(VOICE).waveform[: 2 * samplerate]

    def __enter__(self) -> None:
        for start in range(0, len(self.samples), 1600):
            self.callback(self.samples[start : start + 1600, None], 1600, None, None)  # type: ignore[operator]

    def __exit__(self, *_: object) -> None:
        pass


def stand_in_sounddevice(stream: object) -> ModuleType:
    module = ModuleType("sounddevice")
    module.InputStream = stream  # type: ignore[attr-defined]
    module.PortAudioError = OSError  # type: ignore[attr-defined]
    return module


def test_the_microphone_is_heard(
    stand_in_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in_sounddevice(_Microphone))
    assert live(stand_in_model, tmp_path / "face.png", "--seconds", "2") == 0
    assert capsys.readouterr().out == f"  2.0 s of speech  {tmp_path / 'face.png'}\n"


def no_device(**_: object) -> None:
    raise OSError("Error querying device -1")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (None, "sounddevice is not installed; run "),
        (stand_in_sounddevice(no_device), "the microphone cannot be opened (Error querying"),
    ],
)
def test_without_a_microphone_the_reason_is_told(
    stand_in_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: ModuleType | None,
    words: str,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    assert live(stand_in_model, tmp_path / "face.png") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_each_face_over_the_one_before(
    stand_in_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    options = ("--voice", VOICE, "--seconds", "2")
    assert live(stand_in_model, tmp_path / "face.png", *options) == 0
    shown = terminal.getvalue()
    assert shown.count("\u2580") == 2 * colours.COLUMNS * colours.COLUMNS // 2
    assert shown.count(f"\x1b[{colours.COLUMNS // 2}A") == 1


def test_colours_are_shown_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = _Terminal()
    assert colours.coloured("x", colours.RED, terminal) == "\x1b[31mx\x1b[0m"
    assert colours.coloured("x", colours.RED, io.StringIO()) == "x"
    assert colours.coloured("x", colours.RED, None) == "x"
    monkeypatch.setenv("TERM", "dumb")
    assert not colours.has_colours(terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours.has_colours(terminal)


def test_a_picture_in_the_terminal_has_its_colours() -> None:
    image = Image.new("RGB", (224, 224), (255, 0, 0))
    image.paste((0, 0, 255), (0, 112, 224, 224))
    lines = list(colours.picture_lines(image))
    assert len(lines) == colours.COLUMNS // 2
    assert lines[0].count("38;2;255;0;0;48;2;255;0;0") == colours.COLUMNS
    assert lines[-1].count("38;2;0;0;255;48;2;0;0;255") == colours.COLUMNS
