"""`speech2face reconstruct`, run for real on good voices, bad voices and bad folders."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import EXAMPLES, write_media, write_sparse_hours
from PIL import Image

from speech2face import load_model
from speech2face.audio.io import decode
from speech2face.cli.image_files import image_names
from speech2face.cli.main import main
from speech2face.cli.reconstruct import AGE, NOTICE

pytestmark = pytest.mark.usefixtures("everything_is_speech")  # noise and tones stand for voices

SLT, RMS = str(EXAMPLES / "slt.ogg"), str(EXAMPLES / "rms.ogg")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "faces"


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    folder = tmp_path / "voices"
    folder.mkdir()
    return folder


def speak(path: Path, *, codec: str = "pcm_s16le", rate: int = 16_000) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * rate)
    return str(write_media(path, noise, rate, codec=codec))


def reconstruct(model: Path, out: Path, *arguments: str) -> int:
    return main(["reconstruct", *arguments, "--out", str(out), "--model", str(model)])


def images(out: Path) -> list[str]:
    """Names of all files in the folder, hidden ones too."""
    return sorted(os.listdir(out))


def test_every_voice_becomes_an_image_of_its_name(
    stand_in_model: Path, voices: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [
        speak(voices / "a.wav"),
        speak(voices / "b.mp3", codec="libmp3lame"),
        speak(voices / "c.webm", codec="libopus", rate=48_000),
    ]
    assert reconstruct(stand_in_model, out, *named) == 0
    assert images(out) == ["a.png", "b.png", "c.png"]
    for name in images(out):
        with Image.open(out / name) as image:
            assert (image.mode, image.size, image.format) == ("RGB", (224, 224), "PNG")
    printed = capsys.readouterr()
    assert printed.out.split() == [str(out / name) for name in images(out)]
    assert printed.err == ""


def test_an_image_says_what_it_is_and_what_made_it(stand_in_model: Path, out: Path) -> None:
    assert reconstruct(stand_in_model, out, SLT, "--exaggeration", "1.4") == 0
    with Image.open(out / "slt.png") as image:
        assert image.text["Description"] == NOTICE
        assert image.text["Model"] == "stand-in"
        assert image.text["Exaggeration"] == "1.4"
        assert re.fullmatch("[0-9a-f]{64}", image.text["Model SHA-256"])
        assert "slt" not in str(image.text)  # an image is passed on without whose voice it was


def test_the_same_command_makes_the_same_bytes(stand_in_model: Path, tmp_path: Path) -> None:
    for name, order in (("first", [SLT, RMS]), ("second", [RMS, SLT])):
        assert reconstruct(stand_in_model, tmp_path / name, *order, "--spread", "2") == 0
    assert images(tmp_path / "first") == images(tmp_path / "second")
    for name in images(tmp_path / "first"):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second


def test_every_bad_voice_is_named_in_one_line_and_the_others_are_finished(
    stand_in_model: Path, voices: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(96_000)
    (voices / "text.wav").write_text("these are words, not sound\n" * 20)
    (voices / "empty.wav").touch()
    (voices / "folder").mkdir()
    write_media(voices / "silence.wav", np.zeros(96_000), 16_000)
    write_media(voices / "short.wav", noise[:1_600], 16_000)
    not_finite = noise.copy()
    not_finite[50_000] = np.nan
    write_media(voices / "nan.wav", not_finite, 16_000, codec="pcm_f32le")
    cut = write_media(voices / "cut.mp4", noise, 16_000, codec="aac", video=True)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    write_media(voices / "mute.mp4", None, 16_000, video=True)
    sounds = ["missing.wav", "text.wav", "empty.wav", "folder", "silence.wav", "short.wav"]
    bad = [str(voices / name) for name in [*sounds, "nan.wav", "cut.mp4", "mute.mp4"]]
    assert reconstruct(stand_in_model, out, bad[0], SLT, *bad[1:], RMS) == 1
    assert images(out) == ["rms.png", "slt.png"]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == len(bad)
    for line, voice in zip(lines, bad, strict=True):
        assert line.startswith(f"{voice}: ")
        problem, remedy = line.removeprefix(f"{voice}: ").split("; ")
        assert problem and remedy


def test_eight_channels_at_192_khz_give_a_face(
    stand_in_model: Path, voices: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((8, 576_000))
    file = write_media(voices / "studio.wav", noise, 192_000, codec="pcm_s24le")
    assert reconstruct(stand_in_model, out, str(file)) == 0
    assert images(out) == ["studio.png"] and capfd.readouterr().err == ""


def test_a_two_hour_file_gives_a_face_and_a_note(
    stand_in_model: Path, voices: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_sparse_hours(voices / "long.wav", decode(SLT).waveform, hours=2)
    assert reconstruct(stand_in_model, out, str(file)) == 0
    assert images(out) == ["long.png"]
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith(f"{file}: only the first 300 s of speech were used; ")


def test_an_mp4_that_breaks_off_after_its_index_gives_a_face_and_a_note(
    stand_in_model: Path, voices: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(96_000)
    options = {"movflags": "faststart"}
    file = write_media(voices / "cut.mp4", noise, 16_000, codec="aac", options=options)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert reconstruct(stand_in_model, out, str(file)) == 0
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith(f"{file}: parts could not be decoded")


@pytest.mark.parametrize("place", ["a file", "under a file", "in the kernel"])
def test_a_folder_that_cannot_be_written_is_named_in_one_line(
    place: str, stand_in_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    out = {"a file": file, "under a file": file / "faces", "in the kernel": Path("/proc/faces")}
    assert reconstruct(stand_in_model, out[place], SLT) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{out[place]}: ") and "choose another --out" in line
    assert images(tmp_path) == ["file"]


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    stand_in_model: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    assert reconstruct(stand_in_model, out, SLT) == 1
    assert images(out) == []
    assert "slt.png: cannot be written (No space left on device)" in capsys.readouterr().err


def test_an_image_that_exists_is_kept_unless_force_is_given(
    stand_in_model: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out.mkdir()
    (out / "slt.png").write_text("precious")
    assert reconstruct(stand_in_model, out, SLT, RMS) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{SLT}: {out / 'slt.png'} exists already; give --force")
    assert (out / "slt.png").read_text() == "precious" and images(out) == ["rms.png", "slt.png"]
    assert reconstruct(stand_in_model, out, SLT, RMS, "--force") == 0
    assert (out / "slt.png").read_bytes().startswith(b"\x89PNG")


def test_a_cartoon_is_written_beside_each_face(
    stand_in_model: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reconstruct(stand_in_model, out, SLT, "--cartoon", "--spread", "1", "--json") == 0
    assert images(out) == ["slt.likely-1.png", "slt.likely-1.svg", "slt.png", "slt.svg"]
    face = load_model(stand_in_model).reconstruct(SLT, draws=1)
    assert (out / "slt.svg").read_text() == face.cartoon()
    assert (out / "slt.likely-1.svg").read_text() == face.cartoon(0)
    told = json.loads(capsys.readouterr().out)
    assert told["cartoons"] == [str(out / "slt.svg"), str(out / "slt.likely-1.svg")]
    (out / "slt.png").unlink()  # a cartoon is not replaced either
    (out / "slt.likely-1.png").unlink()
    assert reconstruct(stand_in_model, out, SLT, "--cartoon", "--spread", "1") == 1
    assert "slt.svg exists already" in capsys.readouterr().err


def test_a_spread_writes_further_faces_beside_the_first(stand_in_model: Path, out: Path) -> None:
    assert reconstruct(stand_in_model, out, SLT, "--spread", "2", "--seed", "1") == 0
    assert images(out) == ["slt.likely-1.png", "slt.likely-2.png", "slt.png"]
    assert len({(out / name).read_bytes() for name in images(out)}) == 3


def test_json_gives_one_line_per_voice_also_for_failures(
    stand_in_model: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reconstruct(stand_in_model, out, SLT, "missing.wav", "--json", "--spread", "1") == 1
    done, failed = map(json.loads, capsys.readouterr().out.splitlines())
    assert done["voice"] == SLT and done["image"] == str(out / "slt.png")
    assert done["likely"] == [str(out / "slt.likely-1.png")]
    assert np.shape(done["landmarks"]) == (68, 2)
    assert done["exaggeration"] == 0.5 and done["what"] == NOTICE
    assert done["age"] == AGE
    assert done["seconds"] == pytest.approx(decode(SLT).seconds, abs=1e-3)
    assert failed["voice"] == "missing.wav" and "no such file" in failed["error"]


def test_a_bad_model_gives_one_line(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.onnx").write_text("nonsense")
    assert reconstruct(tmp_path / "bad.onnx", out, SLT) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path / 'bad.onnx'}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav"],
        ["--out", "faces"],
        ["a.wav", "--out", "faces", "--exaggeration", "9"],
        ["a.wav", "--out", "faces", "--exaggeration", "nan"],
        ["a.wav", "--out", "faces", "--exaggeration", "much"],
        ["a.wav", "--out", "faces", "--spread", "-1"],
        ["a.wav", "--out", "faces", "--unknown"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", *arguments]) == 2
    assert "usage: speech2face" in capsys.readouterr().err


def test_two_voices_with_the_same_name_give_two_images(
    stand_in_model: Path, voices: Path, out: Path
) -> None:
    named = [
        speak(voices / "mon" / "a.wav"),
        speak(voices / "tue" / "a.wav"),
        speak(voices / "a.mp3", codec="libmp3lame"),
        speak(voices / "b.wav"),
    ]
    assert reconstruct(stand_in_model, out, *named) == 0
    expected = ["a.mp3.png", "b.png", "mon-a.wav.png", "tue-a.wav.png"]
    assert images(out) == expected
    assert reconstruct(stand_in_model, out, *reversed(named), "--force") == 0
    assert images(out) == expected


def test_a_voice_given_twice_is_used_once(
    stand_in_model: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    assert reconstruct(stand_in_model, out, "slt.ogg", "./slt.ogg", SLT) == 0
    assert images(out) == ["slt.png"]


names = st.sampled_from(["a", "A", "a-b", "b", "b-a", "c"])
endings = st.sampled_from([".wav", ".WAV", ".mp3", ""])
paths = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end, st.lists(names, min_size=1, max_size=4), endings
)


@given(st.lists(paths, min_size=1, max_size=8, unique=True), st.randoms())
def test_names_are_unique_and_do_not_depend_on_the_order(
    voices: list[str], random: np.random.Generator
) -> None:
    named = image_names(voices)
    assert named.keys() == set(voices)
    assert len({name.casefold() for name in named.values()}) == len(voices)
    shuffled = list(voices)
    random.shuffle(shuffled)
    assert image_names(shuffled) == named


def test_progress_is_shown_on_a_terminal_only(stand_in_model: Path, out: Path) -> None:
    command = [sys.executable, "-m", "speech2face", "reconstruct", SLT, RMS]
    command += ["--out", str(out), "--model", str(stand_in_model)]
    script = f"import sys, pty; sys.exit(pty.spawn({command!r}))"
    terminal = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    assert b"0/2" in terminal.stdout and b"1/2" in terminal.stdout  # 2/2 may come too soon after
    lines = terminal.stdout.decode().split("\r\n")
    shown = [line.split("\r")[-1] for line in lines]  # what is left of each line on the screen
    assert shown == [str(out / "slt.png"), str(out / "rms.png"), ""]


def test_the_command_itself_reports_and_exits(stand_in_model: Path, out: Path) -> None:
    command = [sys.executable, "-m", "speech2face", "reconstruct", "missing.wav", SLT]
    finished = subprocess.run(
        [*command, "--out", str(out), "--model", str(stand_in_model)],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 1
    assert finished.stderr == "missing.wav: there is no such file; check the path\n"
    assert finished.stdout == f"{out / 'slt.png'}\n"
