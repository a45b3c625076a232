"""What is heard and seen: equally loud voices, pictures of one size, beeps that can be counted."""

import io
from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES
from PIL import Image

from speech2face import Speech2FaceError
from speech2face.audio.wav import waveform_of
from speech2face.data.sample import Sample
from speech2face.xab.stimuli import LOUDNESS, beeps, content_of, levelled


def sample(voice: str = "slt", face: Path | None = None) -> Sample:
    return Sample(id=voice, person=voice, voice=EXAMPLES / f"{voice}.ogg", face=face)


def test_voices_are_equally_loud_and_of_the_length_asked_for() -> None:
    for name in ("slt", "rms"):
        heard = waveform_of(content_of(sample(name), "voice", 2.5))
        assert len(heard) == 40_000
        assert np.sqrt(np.mean(heard**2)) == pytest.approx(LOUDNESS, rel=0.01)
        assert abs(heard[0]) < 1e-3 and abs(heard[-1]) < 1e-3  # faded: no click


def test_a_voice_with_one_loud_peak_is_not_clipped() -> None:
    voice = np.full(16_000, 1e-4, np.float32)
    voice[8_000] = 1.0
    assert np.abs(levelled(voice)).max() == pytest.approx(0.95)


def test_a_picture_has_the_longer_side_of_all(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), (10, 200, 30)).save(tmp_path / "face.png")
    content = content_of(sample(face=tmp_path / "face.png"), "still", 1)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (448, 299)
        assert picture.getpixel((200, 100)) == (10, 200, 30)


@pytest.mark.parametrize("number", [1, 2])
def test_beeps_can_be_counted(number: int) -> None:
    loud = np.abs(waveform_of(beeps(number))).reshape(-1, 80).max(axis=1) > 0.05  # 5 ms each
    assert int(np.sum(loud[1:] & ~loud[:-1]) + loud[0]) == number


def test_a_clip_without_a_photo_is_named() -> None:
    with pytest.raises(Speech2FaceError, match="clip slt has no photo"):
        content_of(sample(), "still", 1)
