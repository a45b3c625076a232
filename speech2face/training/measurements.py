"""What the recipe of the embedded default reads of a corpus, measured once and kept on disk.

For every clip: the statistics of its voice, the photo's recogniser feature, and of each
render (the canonical true face, the teachers' faces) its pixels, landmarks and feature. One
safetensors file a group of clips, renamed into place when it is whole, so a killed run continues.
Each file also holds what the trunk makes of a fixed waveform: where another trunk listens now,
voices are measured anew and pictures are kept.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from speech2face.audio.io import SAMPLE_RATE
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
IMAGE_SIZE = 224  # pixels, both ways, of every render
GROUP = 32  # clips a file
PROBE = "probe"  # name in a file, of what the trunk makes of the fixed waveform
OF_A_RENDER = ("landmarks", "feature", "picture")  # names in a file, before the render's
WARP = WarpConfig(flow_stride=2)  # as exact as the landmarks, at a quarter of the work


@dataclass(frozen=True)
class Measurements:
    """Of M clips, in the order of their samples."""

    samples: tuple[Sample, ...]
    statistics: Tensor  # [M, 1024], of the voices
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
        folder: of the cache; one folder a corpus and split. A group of clips is known again by
            its ids, not by the content of their files; a trunk, by what it makes of two tones.
        progress: told after every group how many clips are done.

    Raises:
        Speech2FaceError: a clip without a voice, a photo or a render that can be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = _probe(instruments.trunk)
    groups = []
    for start in range(0, len(samples), GROUP):
        group = samples[start : start + GROUP]
        file = folder / f"clips-{start:06d}.safetensors"
        groups.append(_measured_group(group, renders, instruments, probe, file))
        progress(start + len(group))
    joined = {name: torch.cat([group[name] for group in groups]) for name in groups[0]}
    return Measurements(
        samples=tuple(samples),
        statistics=joined["statistics"],
        photo_features=joined["photo"],
        render_features={render: joined[f"feature.{render}"] for render in renders},
        landmarks={render: joined[f"landmarks.{render}"] for render in renders},
        pictures={render: joined[f"picture.{render}"] for render in renders},
    )


def to_frame(pictures: Tensor, landmarks: Tensor, frame: Tensor) -> Tensor:
    """Pictures warped into one frame.

    Args:
        pictures: uint8 `[M, 3, H, W]`.
        landmarks: theirs, pixels, `[M, 68, 2]`.
        frame: where the landmarks lie afterwards, pixels, `[68, 2]`.

    Returns:
        uint8 `[M, 3, H, W]`.
    """
    textures = torch.empty_like(pictures)
    with torch.no_grad():
        for start in range(0, len(pictures), 16):
            part = slice(start, start + 16)
            source = landmarks[part]  # [B, 68, 2]
            destination = frame.expand_as(source)
            warped = warp_image(pictures[part].float(), source, destination, config=WARP)
            textures[part] = warped.clamp(0, 255).round().to(torch.uint8)
    return textures


def render_path(sample: Sample, render: str) -> Path | None:
    """File of a render of one clip: `canonical`, or the name of a teacher."""
    return sample.canonical if render == CANONICAL else sample.teachers.get(render)


def _probe(trunk: CompactVoiceEncoder) -> Tensor:
    """Statistics `[1024]` of two tones: they tell trunks apart, and front ends and windows too."""
    time = torch.arange(N_SAMPLES) / SAMPLE_RATE  # s
    tones = torch.sin(time * 1500) * torch.sin(time * 20) + 0.5 * torch.sin(time * 9000)
    with torch.no_grad():
        return trunk.voice_statistics(0.1 * tones[None])[0]


def _measured_group(
    samples: Sequence[Sample],
    renders: Sequence[str],
    instruments: Instruments,
    probe: Tensor,
    file: Path,
) -> dict[str, Tensor]:
    """Measurements of one group by name, each `[clips, ...]`: read from `file`, or made anew."""
    ids = " ".join(sample.id for sample in samples)
    group = _kept_group(file, ids, renders)
    if group is None:
        measured = [_measure_clip(sample, renders, instruments) for sample in samples]
        group = {name: torch.stack([clip[name] for clip in measured]) for name in measured[0]}
    elif _is_close(group.pop(PROBE, None), probe):
        return group
    else:
        group["statistics"] = torch.stack([_hear(sample, instruments.trunk) for sample in samples])
    _keep(group | {PROBE: probe}, ids, file)
    return group


def _is_close(kept: Tensor | None, probe: Tensor) -> bool:
    """Whether the same trunk made both; processors differ in the last digits."""
    return kept is not None and kept.shape == probe.shape and torch.allclose(kept, probe, atol=1e-3)


def _keep(group: dict[str, Tensor], ids: str, file: Path) -> None:
    from safetensors.torch import save_file

    partial = file.with_suffix(".partial")
    save_file(group, partial, metadata={"ids": ids})
    os.replace(partial, file)


def _kept_group(file: Path, ids: str, renders: Sequence[str]) -> dict[str, Tensor] | None:
    """What an earlier call has measured, if it was of these clips and renders."""
    from safetensors import safe_open

    if not file.exists():
        return None
    with safe_open(file, framework="pt") as stored:
        names = set(stored.keys())
        wanted = {f"{kind}.{render}" for render in renders for kind in OF_A_RENDER}
        if stored.metadata().get("ids") != ids or not wanted <= names:
            return None
        return {name: stored.get_tensor(name) for name in names}


def _measure_clip(
    sample: Sample, renders: Sequence[str], instruments: Instruments
) -> dict[str, Tensor]:
    clip = {
        "statistics": _hear(sample, instruments.trunk),
        "photo": _locate(_photo(sample), instruments)[1],
    }
    for render in renders:
        picture = _render(sample, render)
        landmarks, feature = _locate(picture, instruments)
        clip |= {
            f"landmarks.{render}": landmarks,
            f"feature.{render}": feature,
            f"picture.{render}": torch.from_numpy(picture).permute(2, 0, 1).contiguous(),
        }
    return clip


def _hear(sample: Sample, trunk: CompactVoiceEncoder) -> Tensor:
    """Statistics `[1024]` of the voice of a clip."""
    waveform = torch.from_numpy(tile_to(speech_of(sample), N_SAMPLES))[None]  # [1, L]
    with torch.no_grad():
        return trunk.voice_statistics(waveform)[0]


def _locate(picture: RGBImage, instruments: Instruments) -> tuple[Tensor, Tensor]:
    """Landmarks `[68, 2]` and recogniser feature `[128]` of a picture."""
    located = instruments.detector.locate(picture)
    feature = instruments.recogniser.encode_located([picture], [located])[0]
    return torch.from_numpy(located.landmarks).float(), torch.from_numpy(feature)


def _photo(sample: Sample) -> RGBImage:
    if sample.face is None:
        raise Speech2FaceError("the clip has no photo", "give a corpus with faces", sample.id)
    return open_image(sample.face)


def _render(sample: Sample, render: str) -> RGBImage:
    path = render_path(sample, render)
    if path is None:
        problem = f"the clip has no render {render!r}"
        raise Speech2FaceError(problem, "give a corpus with canonical faces", sample.id)
    picture = open_image(path)
    if picture.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE):
        problem = f"a render of {picture.shape[1]}x{picture.shape[0]} pixels"
        raise Speech2FaceError(problem, f"make it {IMAGE_SIZE}x{IMAGE_SIZE}", str(path))
    return picture
