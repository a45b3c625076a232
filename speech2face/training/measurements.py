"""What the recipe of the embedded default reads of a corpus, measured once and kept on disk.

For every clip: the speaker embedding of its voice, the photo's recogniser feature, and of each
render (the canonical true face, the teachers' faces) its pixels, landmarks and feature. One
safetensors file a group of clips, renamed into place when it is whole, so
a killed run continues.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.data.sample import Sample
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import DlibDetector
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import RGBImage, open_image
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder
from speech2face.models.warp import WarpConfig, warp_image

CANONICAL = "canonical"
GROUP = 32  # clips a file
WARP = WarpConfig(flow_stride=2)  # as exact as the landmarks, at a quarter of the work


@dataclass(frozen=True)
class Measurements:
    """Of M clips, in the order of their samples."""

    samples: tuple[Sample, ...]
    embeddings: Tensor  # [M, 256]
    photo_features: Tensor  # [M, 128]
    render_features: dict[str, Tensor]  # by render: [M, 128]
    landmarks: dict[str, Tensor]  # by render: [M, 68, 2], pixels
    pictures: dict[str, Tensor]  # by render: uint8 [M, 3, 224, 224]

    @property
    def persons(self) -> list[str]:
        """Who speaks in each clip."""
        return [sample.person for sample in self.samples]


@dataclass(frozen=True)
class Instruments:
    """What measures: the pretrained trunk, the detector and the recogniser."""

    trunk: CompactVoiceEncoder
    detector: DlibDetector
    recogniser: DlibFaceEncoder


def measure(
    samples: Sequence[Sample],
    renders: Sequence[str],
    instruments: Instruments,
    folder: Path,
    *,
    progress: Callable[[int], object],
) -> Measurements:
    """Measure `samples`, or read what an earlier call with the same samples has measured.

    Args:
        renders: `canonical` and names of `Sample.teachers`; clips that lack one are refused.
        folder: of the cache; one folder a corpus and split.
        progress: told how many clips were done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = [
        _measured_group(samples[start : start + GROUP], renders, instruments, folder, start)
        for start in _starts(len(samples), progress)
    ]
    joined = {name: torch.cat([group[name] for group in groups]) for name in groups[0]}
    return Measurements(
        samples=tuple(samples),
        embeddings=joined["embedding"],
        photo_features=joined["photo"],
        render_features={render: joined[f"feature.{render}"] for render in renders},
        landmarks={render: joined[f"landmarks.{render}"] for render in renders},
        pictures={render: joined[f"picture.{render}"] for render in renders},
    )


def to_frame(pictures: Tensor, landmarks: Tensor, frame: Tensor) -> Tensor:
    """Pictures uint8 `[M, 3, H, W]` warped so that their landmarks lie at `frame [68, 2]`."""
    textures = torch.empty_like(pictures)
    with torch.no_grad():
        for start in range(0, len(pictures), 16):
            part = slice(start, start + 16)
            source = landmarks[part]  # [B, 68, 2]
            warped = warp_image(
                pictures[part].float(), source, frame.expand_as(source), config=WARP
            )
            textures[part] = warped.clamp(0, 255).round().to(torch.uint8)
    return textures


def _starts(n_samples: int, progress: Callable[[int], object]) -> Iterator[int]:
    """First position of every group; `progress` hears of each when the next is asked for."""
    for start in range(0, n_samples, GROUP):
        yield start
        progress(min(GROUP, n_samples - start))


def _measured_group(
    samples: Sequence[Sample],
    renders: Sequence[str],
    instruments: Instruments,
    folder: Path,
    start: int,
) -> dict[str, Tensor]:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    file = folder / f"clips-{start:06d}.safetensors"
    ids = " ".join(sample.id for sample in samples)
    if file.exists():
        with safe_open(file, framework="pt") as stored:
            if stored.metadata().get("ids") == ids:
                return load_file(file)
    measured = [_measure_clip(sample, renders, instruments) for sample in samples]
    group = {name: torch.stack([clip[name] for clip in measured]) for name in measured[0]}
    partial = file.with_suffix(".partial")
    save_file(group, partial, metadata={"ids": ids})
    os.replace(partial, file)
    return group


def _measure_clip(
    sample: Sample, renders: Sequence[str], instruments: Instruments
) -> dict[str, Tensor]:
    waveform = torch.from_numpy(tile_to(speech_of(sample), N_SAMPLES))[None]  # [1, L]
    with torch.no_grad():
        embedding = instruments.trunk.speaker_embedding(waveform)[0]  # [256]
    clip = {"embedding": embedding, "photo": _locate(_photo(sample), instruments)[1]}
    for render in renders:
        picture = open_image(_render_path(sample, render))
        landmarks, feature = _locate(picture, instruments)
        clip |= {
            f"landmarks.{render}": landmarks,
            f"feature.{render}": feature,
            f"picture.{render}": torch.from_numpy(picture).permute(2, 0, 1).contiguous(),
        }
    return clip


def _locate(picture: RGBImage, instruments: Instruments) -> tuple[Tensor, Tensor]:
    """Landmarks `[68, 2]` and recogniser feature `[128]` of a picture."""
    located = instruments.detector.locate(picture)
    feature = instruments.recogniser.encode_located([picture], [located])[0]
    return torch.from_numpy(located.landmarks).float(), torch.from_numpy(feature)


def _photo(sample: Sample) -> RGBImage:
    if sample.face is None:
        raise Speech2FaceError("the clip has no photo", "give a corpus with faces", sample.id)
    return open_image(sample.face)


def _render_path(sample: Sample, render: str) -> Path:
    path = sample.canonical if render == CANONICAL else sample.teachers.get(render)
    if path is None:
        problem = f"the clip has no render {render!r}"
        raise Speech2FaceError(problem, "give a corpus with canonical faces", sample.id)
    return path
