"""The speech of a sample, opened."""

from speech2face.audio.io import SAMPLE_RATE, Waveform, decode
from speech2face.data.sample import Sample


def speech_of(sample: Sample) -> Waveform:
    """Speech of one clip, 16 kHz mono, `[L]`, without the repetitions that may follow it.

    Raises:
        Speech2FaceError: the file is missing or holds no usable sound.
    """
    waveform = decode(sample.voice).waveform  # [L]
    if sample.seconds is None:
        return waveform
    return waveform[: round(sample.seconds * SAMPLE_RATE)]
