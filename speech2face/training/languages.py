"""Which languages Whisper hears in the voices that are learned from, kept in the store."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from speech2face.audio.speech import FINDER
from speech2face.data.sample import Sample
from speech2face.data.speech import speech_of
from speech2face.data.store import Record, Store, fingerprint_of, key_of
from speech2face.models.whisper import (
    LEAST_FRAMES,
    SILENT_FRAMES,
    Whisper,
    language_probabilities,
)
from speech2face.models.whisper_weights import PARTS, read_whisper
from speech2face.third_party import FILES

NAME = "languages"  # of the array of a record


def spoken_languages(
    samples: Sequence[Sample], folder: Path, *, progress: Callable[[int], object]
) -> Tensor:
    """How probable Whisper finds each of its 99 languages in each voice, `[M, 99]`.

    Args:
        samples: whose voices hold speech.
        folder: of the store, in which what was heard before is found again.
        progress: told after every voice how many are done.

    Raises:
        Speech2FaceError: Whisper is not installed, a voice cannot be used, or `folder` cannot be
            written.
    """
    tools = {part: FILES[part].sha256 for part in PARTS}
    tools |= {"finder": FINDER, "frames": f"{LEAST_FRAMES} {SILENT_FRAMES}"}
    store = Store(folder, fingerprint_of(tools))
    keys = [key_of(sample.voice, sample.seconds) for sample in samples]
    for done, _ in enumerate(store.fill(zip(keys, samples, strict=True), _heard), start=1):
        progress(done)
    return torch.stack([torch.from_numpy(store.array(key, NAME)) for key in keys])


def _heard(sample: Sample) -> Record:
    speech = torch.from_numpy(speech_of(sample))
    return {NAME: language_probabilities(_network(), speech).numpy()}


@cache
def _network() -> Whisper:
    """Opened once, and only if there is a voice to hear."""
    return read_whisper()
