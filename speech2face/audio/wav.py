"""Sound as the bytes of a wav file, as shards contain it: 16 kHz mono, 16 bits."""

import io
import wave

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.errors import Speech2FaceError

FULL_SCALE = 32767  # of 16-bit samples
HEADER_SIZE = 44  # bytes before the samples
REMEDY = "prepare the clips again"


def wav_of(waveform: Waveform) -> bytes:
    """A sound file of `[L]` in [-1, 1] at 16 kHz."""
    levels = np.rint(waveform * FULL_SCALE).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(levels.tobytes())
    return file.getvalue()


def levels_of(wav: bytes) -> NDArray[np.int16]:
    """Samples `[L]` of what `wav_of` wrote, which may end early.

    Raises:
        Speech2FaceError: it is no wav file, empty, or of another rate or kind.
    """
    try:
        with wave.open(io.BytesIO(wav), "rb") as reader:
            form = reader.getframerate(), reader.getsampwidth(), reader.getnchannels()
            levels = np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
    except (wave.Error, EOFError) as damage:
        raise Speech2FaceError("a sound is damaged", REMEDY) from damage
    if form != (SAMPLE_RATE, 2, 1) or not len(levels):
        raise Speech2FaceError("a sound is empty, or not 16 kHz, 16 bits, mono", REMEDY)
    return levels


def waveform_of(wav: bytes) -> Waveform:
    """The same samples `[L]` in [-1, 1]; it raises the same errors."""
    return levels_of(wav).astype(np.float32) / np.float32(FULL_SCALE)
