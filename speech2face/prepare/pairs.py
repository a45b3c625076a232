"""Computes features for training from voice-face pairs; a stopped run can be continued.

`prepare_clip` is a pure function from a sample to its features or a named reason. A run writes

    OUT/manifest.jsonl           the corpus
    OUT/features.json            what all features have in common: recogniser, clip length, ...
    OUT/shard-*.tar, .json       the features, in the format of `data.store`
    OUT/clips.jsonl              written last: the key of each clip, or why it was left out

A run that was killed and started again writes the same bytes as one that was not.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speech2face.audio.segment import CLIP_SECONDS, tile_or_cut
from speech2face.audio.spectrogram import complex_spectrogram
from speech2face.audio.speech import FINDER, SAMPLE_RATE
from speech2face.data.manifest import manifest_content
from speech2face.data.prepared import CLIPS, DESCRIPTION, PreparedClip, write_clips
from speech2face.data.sample import Sample
from speech2face.data.speech import speech_of
from speech2face.data.store import (
    SHARD_SIZE,
    Outcome,
    Record,
    Rejected,
    Store,
    fingerprint_of,
    key_of,
)
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import FaceDetector
from speech2face.face.encoder import FaceEncoder
from speech2face.face.image import RGBImage, open_image
from speech2face.face.landmarks import read_landmarks
from speech2face.files import write_whole
from speech2face.records import read_json_object

MANIFEST = "manifest.jsonl"
CANONICAL_SIZE = 224  # pixels

Reason = Literal[
    "unusable_voice", "unusable_face", "no_face", "unusable_canonical", "unusable_landmarks"
]


@dataclass(frozen=True)
class Tools:
    """The tools and settings with which clips are prepared.

    Attributes:
        detector: finds the face in the photograph, and the landmarks of a canonical face if the
            sample has none.
        encoder: the frozen recogniser that computes `v_f`.
        front_end: function from a waveform `[B, L]` to a spectrogram `[B, ...]`.
        clip_seconds: speech is repeated or cut to this length.
        with_canonical: also store the canonical face and its landmarks, for the face decoder.
        weights_sha256: digest of the encoder's weights, if they are a file of the user.
    """

    detector: FaceDetector
    encoder: FaceEncoder
    front_end: Callable[[Tensor], Tensor] = complex_spectrogram
    clip_seconds: float = CLIP_SECONDS
    with_canonical: bool = True
    weights_sha256: str | None = None


def prepare_pairs(
    samples: Sequence[Sample],
    out: Path,
    tools: Tools,
    *,
    shard_size: int = SHARD_SIZE,
    retry: Collection[Reason] = (),
) -> Iterator[Outcome[Sample]]:
    """Fill `out` with the features of all pairs, and yield the outcome of each clip.

    Args:
        samples: the corpus. A clip without a face is rejected.
        out: folder of the run, as the module describes; what is there already is kept.
        tools: the tools and settings.
        shard_size: samples per shard, rejected ones included.
        retry: reasons; clips that were rejected for one of them are tried again.

    Raises:
        Speech2FaceError: `out` has features of another manifest, or made with other tools.
    """
    manifest = out / MANIFEST
    content = manifest_content(manifest, samples)
    description = _description(tools, hashlib.sha256(content).hexdigest())
    _refuse_other(out, description)
    write_whole(out / DESCRIPTION, json.dumps(description, indent=1).encode())
    write_whole(manifest, content)
    keys = {sample.id: _key(sample, tools) for sample in samples}
    store = Store(out, _fingerprint(tools))
    rejected: dict[str, Rejected] = {}
    for outcome in store.fill(
        [(keys[sample.id], sample) for sample in samples],
        lambda sample: prepare_clip(sample, tools),
        shard_size=shard_size,
        retry=retry,
    ):
        if outcome.rejected is not None:
            rejected[outcome.source.id] = outcome.rejected
        yield outcome
    clips = [
        PreparedClip(sample.id, sample.split, keys[sample.id], rejected.get(sample.id))
        for sample in samples
    ]
    write_clips(out / CLIPS, clips)


def prepare_clip(sample: Sample, tools: Tools) -> Record | Rejected:
    """Features of one clip by name, or the reason why there are none. A pure function."""
    try:
        waveform = speech_of(sample)  # [L]
    except Speech2FaceError as error:
        return _rejected("unusable_voice", error.problem)
    try:
        if sample.face is None:
            return _rejected("unusable_face", "the sample names no photograph")
        photograph = open_image(sample.face)  # [H, W, 3]
    except Speech2FaceError as error:
        return _rejected("unusable_face", error.problem)
    located = tools.detector.locate(photograph)
    if not located.found:
        return _rejected("no_face", "no face was found in the photograph")
    clip = tile_or_cut(waveform, round(tools.clip_seconds * SAMPLE_RATE))  # [L]
    spectrogram = tools.front_end(torch.from_numpy(clip)[None])[0]  # [2, F, T]
    features = {
        # Half precision halves the shards; the relative error is below 1/2000.
        "spectrogram": spectrogram.half().numpy(),
        "face_feature": tools.encoder.encode_located([photograph], [located])[0],  # [D]
    }
    if not tools.with_canonical:
        return features
    canonical = _canonical(sample, tools.detector)
    return canonical if isinstance(canonical, Rejected) else features | canonical


def _rejected(reason: Reason, detail: str) -> Rejected:
    return Rejected(reason, detail)


def _canonical(sample: Sample, detector: FaceDetector) -> dict[str, NDArray[Any]] | Rejected:
    """Canonical face `[3, 224, 224]` uint8 and its landmarks `[68, 2]` float32."""
    if sample.canonical is None:
        return _rejected("unusable_canonical", "the sample names no canonical face")
    try:
        image = open_image(sample.canonical)  # [H, W, 3]
    except Speech2FaceError as error:
        return _rejected("unusable_canonical", error.problem)
    if image.shape != (CANONICAL_SIZE, CANONICAL_SIZE, 3):
        return _rejected("unusable_canonical", f"its shape is {image.shape}")
    try:
        landmarks = _landmarks(sample, image, detector)
    except Speech2FaceError as error:
        return _rejected("unusable_landmarks", error.problem)
    if landmarks is None:
        return _rejected("unusable_canonical", "no face was found in it")
    return {"canonical_face": image.transpose(2, 0, 1), "landmarks": landmarks.astype(np.float32)}


def _landmarks(
    sample: Sample, image: RGBImage, detector: FaceDetector
) -> NDArray[np.float64] | None:
    """The sample's own landmarks, or detected ones; None if no face is found."""
    if sample.landmarks is not None:
        return read_landmarks(sample.landmarks)
    located = detector.locate(image)
    return located.landmarks if located.found else None


def _key(sample: Sample, tools: Tools) -> str:
    """Key of a clip: a digest of everything that its features are computed from."""
    pictures = (sample.canonical, sample.landmarks) if tools.with_canonical else ()
    return key_of(sample.voice, sample.seconds, sample.face, *pictures)


def _fingerprint(tools: Tools) -> str:
    """Fingerprint of the tools: names, settings and, if they come from a file, weights."""
    return fingerprint_of(
        {
            "speech": FINDER,
            "face_feature": tools.encoder.name,
            "weights": tools.weights_sha256,
            "clip_seconds": tools.clip_seconds,
            "with_canonical": tools.with_canonical,
        }
    )


def _description(tools: Tools, manifest_sha256: str) -> dict[str, Any]:
    """What all features of a folder have in common."""
    return {
        "manifest_sha256": manifest_sha256,
        "face_feature": tools.encoder.name,
        "feature_size": tools.encoder.size,
        "clip_seconds": tools.clip_seconds,
        "with_canonical": tools.with_canonical,
        "fingerprint": _fingerprint(tools),
    }


def _refuse_other(out: Path, description: Mapping[str, Any]) -> None:
    """Raise if `out` has features of other settings.

    Other versions of packages are no error: the features are then computed again.
    """
    if not (out / DESCRIPTION).is_file():
        return
    found = read_json_object(out / DESCRIPTION) | {"fingerprint": description["fingerprint"]}
    if differing := sorted(name for name in description if found.get(name) != description[name]):
        raise Speech2FaceError(
            f"the features here differ in {', '.join(differing)}",
            "choose an empty folder, or repeat the settings of the first start",
            str(out),
        )
