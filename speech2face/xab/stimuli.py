"""What is heard and seen in a trial, made from a clip.

Voices are 16 kHz speech of equal loudness, as the models hear it too, so that neither the level nor
the format tells which recordings belong together. Pictures and films have one size and hold nothing
but the picture.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.audio.wav import wav_of
from speech2face.data.sample import Sample
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError
from speech2face.face.image import open_image
from speech2face.face.silent import silent_film
from speech2face.xab.trials import Kind

SIDE = 448  # pixels, the longer side of a face
LOUDNESS = 0.05  # root mean square of a voice: -26 dBFS
PEAK = 0.95  # the loudest sample; a voice that would exceed it is quieter instead
FADE_SECONDS = 0.01  # at both ends, against clicks
BEEP_HERTZ = 880.0
BEEP_SECONDS = 0.25
PAUSE_SECONDS = 0.35  # between two beeps


def content_of(clip: Sample, kind: Kind, seconds: float) -> bytes:
    """The file of a stimulus: WAV, PNG, or WebM without sound.

    Args:
        clip: where it comes from.
        kind: a voice, a still face, or a moving face, which may be played backward.
        seconds: at most so much of a voice or a film.

    Raises:
        Speech2FaceError: the clip has no such side, or it cannot be read; names the file.
    """
    if kind == "voice":
        return wav_of(levelled(speech_of(clip)[: round(seconds * SAMPLE_RATE)]))
    if kind in ("moving", "backward"):
        backward = kind == "backward"
        return silent_film(clip.voice, seconds=seconds, side=SIDE, backward=backward)
    if clip.face is None:
        raise Speech2FaceError(f"clip {clip.id} has no photo", "name it in the manifest")
    return _still(open_image(clip.face))


def beeps(number: int) -> bytes:
    """A WAV file with so many beeps."""
    beep = _faded(np.sin(2 * np.pi * BEEP_HERTZ * _times(BEEP_SECONDS)))
    pause = np.zeros_like(_times(PAUSE_SECONDS))
    sound = np.concatenate([beep, *([pause, beep] * (number - 1)), pause])
    return wav_of(np.asarray(3 * LOUDNESS * sound, np.float32))


def levelled(waveform: Waveform) -> Waveform:
    """A voice `[L]` of the common loudness, faded in and out."""
    voice = _faded(waveform.astype(np.float64))
    gain = LOUDNESS / np.sqrt(np.mean(voice**2))
    return np.asarray(voice * min(gain, PEAK / np.abs(voice).max()), np.float32)


def _still(image: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(image)
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    file = io.BytesIO()
    picture.resize((width, height), Image.Resampling.LANCZOS).save(file, "PNG")
    return file.getvalue()


def _faded(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    ramp = np.clip(_times(FADE_SECONDS) / FADE_SECONDS, 0, 1)
    envelope = np.ones_like(sound)
    envelope[: len(ramp)] = ramp
    envelope[-len(ramp) :] *= ramp[::-1]
    return sound * envelope


def _times(seconds: float) -> NDArray[np.float64]:
    """Seconds of each sample, `[L]`."""
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
