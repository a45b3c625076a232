"""`speech2face reconstruct -`: voices through real pipes, in separate processes."""

import io
import subprocess
import sys
from pathlib import Path

import av
import pytest
from media import EXAMPLES

from speech2face import load_model

VOICE = EXAMPLES / "slt.ogg"


def piped(content: bytes, model: Path, out: Path) -> tuple[int, str, str]:
    """Status, standard output and standard error of a run that reads `content` from a pipe."""
    words = ["reconstruct", "-", "--out", str(out), "--model", str(model)]
    command = [sys.executable, "-m", "speech2face", *words]
    finished = subprocess.run(command, input=content, capture_output=True)
    return finished.returncode, finished.stdout.decode(), finished.stderr.decode()


def mp4_with_its_index_last() -> bytes:
    """The voice as AAC in an mp4, as a camera writes it."""
    made = io.BytesIO()
    with av.open(str(VOICE)) as source, av.open(made, "w", format="mp4") as target:
        track = target.add_stream("aac", rate=16000)
        for frame in source.decode(audio=0):
            target.mux(track.encode(frame))
        target.mux(track.encode(None))
    content = made.getvalue()
    assert 0 < content.index(b"mdat") < content.index(b"moov")
    return content


def test_a_voice_through_a_pipe_gives_the_face_of_its_file(
    stand_in_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "faces"
    status, printed, errors = piped(VOICE.read_bytes(), stand_in_model, out)
    assert (status, printed, errors) == (0, f"{out / 'stdin.png'}\n", "")
    words = ["reconstruct", str(VOICE), "--out", str(out), "--model", str(stand_in_model)]
    subprocess.run([sys.executable, "-m", "speech2face", *words], check=True)
    assert (out / "stdin.png").read_bytes() == (out / "slt.png").read_bytes()


def test_an_mp4_with_its_index_last_is_used_from_a_pipe_or_one_line_says_why_not(
    stand_in_model: Path, tmp_path: Path
) -> None:
    content = mp4_with_its_index_last()
    status, _, errors = piped(content, stand_in_model, tmp_path / "faces")
    if status == 0:
        assert (tmp_path / "faces" / "stdin.png").exists()
    else:
        (line,) = errors.splitlines()
        assert status == 1 and "index" in line


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 100, b"RIFF"])
def test_a_pipe_without_a_voice_gives_one_line_and_leaves_no_file(
    content: bytes, stand_in_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "faces"
    status, printed, errors = piped(content, stand_in_model, out)
    assert (status, printed) == (1, "")
    (line,) = errors.splitlines()
    assert "Traceback" not in line and "; " in line
    assert list(out.iterdir()) == []


def test_a_pipeline_takes_bytes_and_open_files(stand_in_model: Path) -> None:
    pipeline = load_model(stand_in_model)
    face = pipeline.reconstruct(VOICE).image.tobytes()
    content = VOICE.read_bytes()
    assert pipeline.reconstruct(content).image.tobytes() == face
    assert pipeline.reconstruct(io.BytesIO(content)).image.tobytes() == face
