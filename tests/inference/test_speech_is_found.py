"""The pipeline and the command with the real search for speech, which other tests leave out."""

import json
from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES, write_media
from numpy.typing import NDArray

from speech2face import load_model
from speech2face.audio.io import decode
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.cli.main import main
from speech2face.errors import Speech2FaceError

CHANCE = np.random.default_rng(0)


@pytest.fixture(scope="module")
def voice() -> NDArray[np.float32]:
    """Seven seconds of a synthetic voice."""
    return decode(EXAMPLES / "slt.ogg", speech_only=False).waveform


def faint(seconds: float) -> NDArray[np.float32]:
    """What a microphone records while nobody speaks, 60 dB below full scale."""
    return (0.001 * CHANCE.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


def test_silence_around_a_voice_does_not_change_what_is_heard(
    stand_in_model: Path, voice: NDArray[np.float32], tmp_path: Path
) -> None:
    model = load_model(stand_in_model)
    alone = write_media(tmp_path / "alone.wav", voice, SAMPLE_RATE)
    within = np.concatenate([faint(20), voice, faint(20)])
    among_silence = write_media(tmp_path / "among.wav", within, SAMPLE_RATE)
    heard, expected = model.hear(among_silence), model.hear(alone)
    # The stand-in hears loudness: with 40 s of silence among 7 s of voice it would be a seventh.
    np.testing.assert_allclose(heard, expected, rtol=0.05)


@pytest.mark.parametrize("kind", ["noise", "tone", "silence"])
def test_a_recording_in_which_nobody_speaks_gives_no_face(
    kind: str, stand_in_model: Path, tmp_path: Path
) -> None:
    time = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    sounds = {
        "noise": 0.1 * CHANCE.standard_normal(len(time)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time),
        "silence": np.zeros(len(time)),
    }
    file = write_media(tmp_path / "sound.wav", sounds[kind], SAMPLE_RATE)
    with pytest.raises(Speech2FaceError) as refused:
        load_model(stand_in_model).reconstruct(file)
    assert refused.value.path == str(file)


def test_of_many_recordings_those_with_speech_become_faces(
    stand_in_model: Path,
    voice: NDArray[np.float32],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    noise = write_media(tmp_path / "noise.wav", 100 * faint(6), SAMPLE_RATE)
    late = write_media(tmp_path / "late.wav", np.concatenate([faint(30), voice]), SAMPLE_RATE)
    given = [str(noise), str(EXAMPLES / "rms.ogg"), str(late)]
    out = tmp_path / "out"
    words = ["reconstruct", *given, "--model", str(stand_in_model), "--out", str(out), "--json"]
    assert main(words) == 1
    assert sorted(path.name for path in out.iterdir()) == ["late.png", "rms.png"]
    printed = capsys.readouterr()
    (complaint,) = printed.err.splitlines()
    assert complaint.startswith(f"{noise}: ")
    *_, of_late = map(json.loads, printed.out.splitlines())
    assert of_late["seconds"] == pytest.approx(len(voice) / SAMPLE_RATE, rel=0.2)
    assert of_late["seconds_searched"] == pytest.approx(30 + len(voice) / SAMPLE_RATE, abs=0.2)
