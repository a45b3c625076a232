"""Voice-face pairs as shards of features, for training: serial, and continued where it stopped.

`prepare_clip` is pure: a sample in, its features or a named reason out. A shard is done when its
JSON exists, which is written last; killing the work and starting it again ends in the same bytes.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speech2face.audio.io import SAMPLE_RATE
from speech2face.audio.segment import CLIP_SECONDS, tile_or_cut
from speech2face.audio.spectrogram import complex_spectrogram
from speech2face.data.datasets import DESCRIPTION
from speech2face.data.manifest import manifest_hash, read_manifest
from speech2face.data.sample import Sample
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import FaceDetector
from speech2face.face.encoder import FaceEncoder
from speech2face.face.image import RGBImage, open_image
from speech2face.face.landmarks import read_landmarks
from speech2face.records import read_json_object

CANONICAL_SIZE = 224  # pixels

Reason = Literal["unusable_voice", "unusable_face", "no_face", "unusable_canonical"]


@dataclass(frozen=True)
class Tools:
    """What a clip is prepared with.

    Attributes:
        detector: finds the face in the photograph, and the landmarks of a canonical face that
            comes without them.
        encoder: the frozen recogniser that makes `v_f`.
        front_end: waveform `[B, L]` to spectrogram `[B, ...]`.
        clip_seconds: speech is repeated or cut to it.
        with_canonical: also keep the canonical face and its landmarks, for the face decoder.
    """

    detector: FaceDetector
    encoder: FaceEncoder
    front_end: Callable[[Tensor], Tensor] = complex_spectrogram
    clip_seconds: float = CLIP_SECONDS
    with_canonical: bool = True


@dataclass(frozen=True)
class Prepared:
    """Features of one clip, by the names that the shards use."""

    sample: Sample
    features: dict[str, Tensor]


@dataclass(frozen=True)
class Rejected:
    """Why a clip has no features."""

    sample_id: str
    reason: Reason
    detail: str


def prepare_pairs(
    manifest: Path, out: Path, tools: Tools, *, shard_size: int = 64
) -> Iterator[Path]:
    """Fill `out` with the features of all pairs of a manifest; yields each shard when it is done.

    Args:
        manifest: as `speech2face.data.manifest` reads it; every sample needs a face.
        out: folder; shards that are done are kept.
        tools: what the clips are prepared with.
        shard_size: samples a shard, rejected ones included.

    Raises:
        Speech2FaceError: `out` holds features of another manifest or made with other tools.
    """
    samples = read_manifest(manifest)
    _describe(out, manifest, tools, shard_size)
    for number, start in enumerate(range(0, len(samples), shard_size)):
        marker = out / f"shard-{number:05d}.json"
        if not marker.exists():
            _write_shard(marker, samples[start : start + shard_size], tools)
        yield marker


def prepare_clip(sample: Sample, tools: Tools) -> Prepared | Rejected:
    """Features of one clip, or the named reason why there are none. Pure."""
    try:
        waveform = speech_of(sample)  # [L]
    except Speech2FaceError as error:
        return Rejected(sample.id, "unusable_voice", error.problem)
    try:
        if sample.face is None:
            return Rejected(sample.id, "unusable_face", "the sample names no photograph")
        photograph = open_image(sample.face)  # [H, W, 3]
    except Speech2FaceError as error:
        return Rejected(sample.id, "unusable_face", error.problem)
    located = tools.detector.locate(photograph)
    if not located.found:
        return Rejected(sample.id, "no_face", "no face was found in the photograph")
    clip = tile_or_cut(waveform, round(tools.clip_seconds * SAMPLE_RATE))  # [L]
    spectrogram = tools.front_end(torch.from_numpy(clip)[None])[0]  # [2, F, T]
    face_feature = tools.encoder.encode_located([photograph], [located])[0]  # [D]
    features = {
        "spectrogram": spectrogram.half(),  # halves the shards; the relative error is below 1/2000
        "face_feature": torch.from_numpy(face_feature),
    }
    if tools.with_canonical:
        canonical = _canonical(sample, tools.detector)
        if isinstance(canonical, Rejected):
            return canonical
        features |= canonical
    return Prepared(sample, features)


def summary_of(marker: Path) -> tuple[int, dict[str, int]]:
    """How many clips a shard that is done holds, and how many were left out for which reason."""
    record = read_json_object(marker)
    return len(record["samples"]), record["reasons"]


def _canonical(sample: Sample, detector: FaceDetector) -> dict[str, Tensor] | Rejected:
    """Canonical face `[3, 224, 224]` uint8 and its landmarks `[68, 2]` float32."""
    if sample.canonical is None:
        return Rejected(sample.id, "unusable_canonical", "the sample names no canonical face")
    try:
        image = open_image(sample.canonical)  # [H, W, 3]
    except Speech2FaceError as error:
        return Rejected(sample.id, "unusable_canonical", error.problem)
    if image.shape != (CANONICAL_SIZE, CANONICAL_SIZE, 3):
        return Rejected(sample.id, "unusable_canonical", f"its shape is {image.shape}")
    try:
        landmarks = _landmarks(sample, image, detector)
    except Speech2FaceError as error:
        return Rejected(sample.id, "unusable_canonical", f"landmarks: {error}")
    if landmarks is None:
        return Rejected(sample.id, "unusable_canonical", "no face was found in it")
    return {
        "canonical_face": torch.from_numpy(image.transpose(2, 0, 1).copy()),
        "landmarks": torch.from_numpy(landmarks).float(),
    }


def _landmarks(
    sample: Sample, image: RGBImage, detector: FaceDetector
) -> NDArray[np.float64] | None:
    if sample.landmarks is not None:
        return read_landmarks(sample.landmarks)
    located = detector.locate(image)
    return located.landmarks if located.found else None


def _describe(out: Path, manifest: Path, tools: Tools, shard_size: int) -> None:
    """Write what all shards have in common, or refuse to mix it with something else."""
    description = {
        "manifest_sha256": manifest_hash(manifest),
        "face_feature": tools.encoder.name,
        "feature_size": tools.encoder.size,
        "clip_seconds": tools.clip_seconds,
        "with_canonical": tools.with_canonical,
        "shard_size": shard_size,
    }
    file = out / DESCRIPTION
    if file.is_file():
        found = read_json_object(file)
        if differing := sorted(
            name for name in description if found.get(name) != description[name]
        ):
            raise Speech2FaceError(
                f"the features here differ in {', '.join(differing)}",
                "choose an empty folder, or repeat the settings of the first start",
                str(out),
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    _write_atomically(file, json.dumps(description, indent=1).encode())


def _write_shard(marker: Path, samples: Sequence[Sample], tools: Tools) -> None:
    from safetensors.torch import save

    results = [prepare_clip(sample, tools) for sample in samples]
    prepared = [result for result in results if isinstance(result, Prepared)]
    rejected = [result for result in results if isinstance(result, Rejected)]
    if prepared:
        names = prepared[0].features
        tensors = {name: torch.stack([clip.features[name] for clip in prepared]) for name in names}
        _write_atomically(marker.with_suffix(".safetensors"), save(tensors))
    record = {
        "samples": [
            {"id": clip.sample.id, "person": clip.sample.person, "split": clip.sample.split}
            for clip in prepared
        ],
        "rejected": [{"id": one.sample_id, "reason": one.reason, "detail": one.detail}
                     for one in rejected],
        "reasons": dict(sorted(Counter(one.reason for one in rejected).items())),
    }  # fmt: skip
    _write_atomically(marker, json.dumps(record, indent=1).encode())


def _write_atomically(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
