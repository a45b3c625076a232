"""Reading the speech of a sample."""

from speech2face.audio.io import decode
from speech2face.audio.recording import MAX_SEARCHED_SECONDS, Recording
from speech2face.audio.speech import Waveform
from speech2face.data.sample import Sample


def recording_of(sample: Sample) -> Recording:
    """Speech of one clip, without the repetitions that may follow it.

    Raises:
        Speech2FaceError: the file is missing, or has no usable speech.
    """
    seconds = MAX_SEARCHED_SECONDS if sample.seconds is None else sample.seconds
    return decode(sample.voice, max_searched_seconds=seconds)


def speech_of(sample: Sample) -> Waveform:
    """Only the samples of `recording_of`, `[L]`, 16 kHz mono; it raises the same errors."""
    return recording_of(sample).waveform
