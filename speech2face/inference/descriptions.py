"""Voices and photos of clips as a model and the recognisers describe them, for the matcher.

Descriptions of voices are kept, found by the content of the recording and by the model, and so are
readings of photos; a command that was stopped goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech2face.audio.speech import FINDER
from speech2face.data.sample import Sample
from speech2face.data.speech import recording_of
from speech2face.data.store import Record, Rejected, Store, fingerprint_of, key_of
from speech2face.errors import Speech2FaceError
from speech2face.face.instruments import Instruments, Readings
from speech2face.inference.pictures import read_pictures
from speech2face.inference.pipeline import Pipeline

UNUSABLE = "unusable"  # the one reason for which a voice is rejected here
VOICES, READINGS = "voices", "readings"  # folders of what is kept
_NAME = "descriptors"  # of the array in a record


@dataclass(frozen=True, eq=False)
class DescribedClips:
    """N clips of which voice and photo can be used, in their order, and why others cannot."""

    samples: tuple[Sample, ...]
    descriptors: NDArray[np.float32]  # [N, V], of the voices
    readings: Readings  # of the photos
    left_out: dict[str, str]  # by id of a clip: what is wrong with it


def describe_clips(
    samples: Sequence[Sample],
    pipeline: Pipeline,
    folder: Path,
    *,
    instruments: Instruments | None = None,
    progress: Callable[[], object] = lambda: None,
) -> DescribedClips:
    """Describe the voice and read the photo of each clip, or take what `folder` has of them.

    Args:
        samples: the clips.
        pipeline: the model; it must give descriptors of a voice.
        folder: of what is kept.
        instruments: what reads the photos; those of the evaluation unless given.
        progress: called after every voice.

    Raises:
        Speech2FaceError: the model gives no descriptors, not one clip can be used, an instrument
            is missing, or `folder` cannot be written.
    """
    left_out = {one.id: "no photo" for one in samples if one.face is None}
    heard = describe_voices(
        [one for one in samples if one.face], pipeline, folder / VOICES, progress
    )
    left_out |= {name: one for name, one in heard.items() if isinstance(one, str)}
    chosen = [one for one in samples if one.id not in left_out]
    photos = read_pictures(
        [one.face for one in chosen if one.face], cache=folder / READINGS, instruments=instruments
    )
    left_out |= {chosen[row].id: f"its photo {why}" for row, why in photos.unreadable().items()}
    chosen = [one for one in chosen if one.id not in left_out]
    if not chosen:
        reason = next(iter(left_out.values()), "there is none")
        raise Speech2FaceError(f"no clip can be used: {reason}", "give clips with voice and photo")
    return DescribedClips(
        tuple(chosen),
        np.stack([np.asarray(heard[one.id]) for one in chosen]),
        photos.take(np.flatnonzero(photos.readable)).together(),
        left_out,
    )


def describe_voices(
    samples: Sequence[Sample],
    pipeline: Pipeline,
    cache: Path,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, NDArray[np.float32] | str]:
    """By id of each clip: the description of its voice `[V]`, or why there is none."""
    store = Store(cache, fingerprint_of({"model": pipeline.card.sha256}))
    keys = {sample.id: key_of(sample.voice, sample.seconds, FINDER) for sample in samples}
    rejected: dict[str, str] = {}
    items = [(keys[sample.id], sample) for sample in samples]
    for outcome in store.fill(items, partial(_described, pipeline), retry=(UNUSABLE,)):
        if outcome.rejected is not None:
            rejected[outcome.source.id] = outcome.rejected.detail
        progress()
    return {name: rejected.get(name) or store.array(key, _NAME) for name, key in keys.items()}


def _described(pipeline: Pipeline, sample: Sample) -> Record | Rejected:
    """The record of one voice; a model that gives no descriptors is no fault of the voice."""
    try:
        recording = recording_of(sample)
    except Speech2FaceError as error:
        return Rejected(UNUSABLE, f"{error.problem}; {error.remedy}")
    return {_NAME: pipeline.describe(recording)}
