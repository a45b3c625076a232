"""Speech of any length brought to the length a network wants; numpy only.

Layout: a waveform is `[L]`, or `[*, L]` with any leading axes; the last axis is time.
"""

import numpy as np

from speech2face.audio.speech import SAMPLE_RATE, Waveform
from speech2face.errors import Speech2FaceError

CLIP_SECONDS = 6
N_SAMPLES = CLIP_SECONDS * SAMPLE_RATE  # 96000


def tile_or_cut(waveform: Waveform, n_samples: int = N_SAMPLES) -> Waveform:
    """Exactly `n_samples` of speech: shorter is repeated from its beginning, longer is cut.

    Args:
        waveform: `[*, L]`.
        n_samples: wanted length in samples; six seconds unless told.

    Returns:
        `[*, n_samples]`.

    Raises:
        Speech2FaceError: the waveform is empty, so there is nothing to repeat.

    Source:
        Oh et al. 2019, section 3 ("we repeat the audio such that it becomes at least 6 seconds
        long"); that the repetition is then cut is our reading.
    """
    if waveform.shape[-1] == 0:
        raise Speech2FaceError("the waveform is empty", "give at least one sample of speech")
    repeats = -(-n_samples // waveform.shape[-1])  # ceiling
    tiled = np.concatenate([waveform] * repeats, axis=-1) if repeats > 1 else waveform
    return tiled[..., :n_samples]


def tile_to(waveform: Waveform, n_samples: int = N_SAMPLES) -> Waveform:
    """At least `n_samples` of speech: shorter is repeated to that length, longer is kept whole.

    Args and errors as in `tile_or_cut`; returns `[*, max(L, n_samples)]`.
    """
    return tile_or_cut(waveform, max(n_samples, waveform.shape[-1]))


def halves(waveform: Waveform) -> tuple[Waveform, Waveform]:
    """First and second half of one person's speech, `[*, L // 2]` each and disjoint.

    The last sample of an odd length belongs to neither.
    """
    middle = waveform.shape[-1] // 2
    return waveform[..., :middle], waveform[..., middle : 2 * middle]
