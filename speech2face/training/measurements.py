"""The measurements of a corpus that the recipe of the embedded model needs, kept on disk.

The measurements of a clip are the statistics of its voice, the recogniser feature of its photo, and
for each render (the canonical true face and the teachers' faces) its pixels, landmarks and feature.
There is one safetensors file per group of clips. Each file is complete or absent, so a run that was
killed can be continued.

The cache key is the content of the clips' files plus a fingerprint of the voice side: the trunk's
output on a test signal and on every distortion of it, and the version of the speech finder. If only
the fingerprint has changed, voices are measured again and pictures are kept.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from speech2face.audio.distortion import DISTORTIONS
from speech2face.audio.segment import N_SAMPLES, tile_to
from speech2face.audio.speech import FINDER, SAMPLE_RATE, Waveform
from speech2face.data.sample import Sample
from speech2face.data.speech import speech_of
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import DlibDetector
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.face.image import RGBImage, open_image
from speech2face.files import whole_file
from speech2face.models.compact_voice_encoder import MIN_SECONDS, CompactVoiceEncoder
from speech2face.models.warp import WarpConfig, warp_image
from speech2face.records import parse_json_object

CANONICAL = "canonical"
IMAGE_SIZE = 224  # pixels, width and height of every render
GROUP = 32  # clips per file
N_LEAST = MIN_SECONDS * SAMPLE_RATE  # the fewest samples that the trunk takes
DISTORTION_KINDS = (  # one of each kind is used per voice
    ("telephone", "mu_law", "a_law", "mobile"),
    ("internet",),
    ("microphone", "room"),
    ("little_noise", "much_noise"),
    ("clipped", "short"),
)
PROBE = "probe"  # name of the fingerprint in a file
Reason = Literal[
    "no voice file",
    "no photo",
    "no canonical face",
    "no teacher's image",
    "the voice cannot be used",
    "a picture cannot be read",
]
LOG = logging.getLogger(__name__)
WARP = WarpConfig(flow_stride=2)  # exact enough for detected landmarks, at a quarter of the work


@dataclass(frozen=True)
class Measurements:
    """The measurements of M clips, in the order of `samples`, and why other clips were left out."""

    samples: tuple[Sample, ...]
    statistics: Tensor  # [M, S], statistics of the voices
    distorted: Tensor  # [M, K, S], statistics of the `distorted_copies` of each voice
    photo_features: Tensor  # [M, 128]
    render_features: dict[str, Tensor]  # for each render [M, 128]
    landmarks: dict[str, Tensor]  # for each render [M, 68, 2], pixels
    pictures: dict[str, Tensor]  # for each render uint8 [M, 3, 224, 224]
    languages: Tensor  # [M, N], probabilities of languages by the teacher; N is 0 without it
    left_out: dict[str, str] = field(default_factory=dict)  # `Reason` by id of a clip

    @property
    def persons(self) -> list[str]:
        """The person who speaks in each clip."""
        return [sample.person for sample in self.samples]


@dataclass(frozen=True)
class Instruments:
    """The pretrained trunk, the detector and the recogniser."""

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
    """Measure `samples`, or read the measurements of an earlier call with the same samples.

    A clip that cannot be measured is left out, and the result gives the reason.

    Args:
        renders: `canonical` and names of `Sample.teachers`.
        folder: folder of the cache; use one folder per corpus and split.
        progress: is called after every group with the number of clips that are done.

    Raises:
        Speech2FaceError: no clip can be measured, or `folder` cannot be written.
    """
    probe = _probe(instruments.trunk)
    groups: list[dict[str, Tensor]] = []
    left_out: dict[str, str] = {}
    for start in range(0, len(samples), GROUP):
        group = samples[start : start + GROUP]
        file = folder / f"clips-{start:06d}.safetensors"
        tensors, reasons = _measured_group(group, renders, instruments, probe, file)
        left_out |= reasons
        if len(reasons) < len(group):
            groups.append(tensors)
        progress(start + len(group))
    if not groups:
        reasons_given = ", ".join(sorted(set(left_out.values()))) or "there is none"
        problem = f"no clip can be measured: {reasons_given}"
        raise Speech2FaceError(problem, "give clips with a voice, a photo and all renders")
    joined = {name: torch.cat([group[name] for group in groups]) for name in groups[0]}
    return Measurements(
        samples=tuple(sample for sample in samples if sample.id not in left_out),
        left_out=left_out,
        statistics=joined["statistics"],
        distorted=joined["distorted"],
        photo_features=joined["photo"],
        render_features={render: joined[f"feature.{render}"] for render in renders},
        landmarks={render: joined[f"landmarks.{render}"] for render in renders},
        pictures={render: joined[f"picture.{render}"] for render in renders},
        languages=joined["statistics"][:, :0],
    )


def to_frame(pictures: Tensor, landmarks: Tensor, frame: Tensor) -> Tensor:
    """Warp all pictures to the same landmarks.

    Args:
        pictures: uint8 `[M, 3, H, W]`.
        landmarks: landmarks of the pictures, in pixels, `[M, 68, 2]`.
        frame: landmarks after the warp, in pixels, `[68, 2]`.

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
    """File of one render of a clip; `render` is `canonical` or the name of a teacher."""
    return sample.canonical if render == CANONICAL else sample.teachers.get(render)


def missing_file(sample: Sample, renders: Sequence[str]) -> Reason | None:
    """The reason why a clip cannot be measured, if a file is missing; no file is opened."""
    if not sample.voice.is_file():
        return "no voice file"
    if sample.face is None or not sample.face.is_file():
        return "no photo"
    for render in renders:
        path = render_path(sample, render)
        if path is None or not path.is_file():
            return "no canonical face" if render == CANONICAL else "no teacher's image"
    return None


def _probe(trunk: CompactVoiceEncoder) -> Tensor:
    """Fingerprint of the voice side, `[(1 + D) S + 4]`.

    First come the statistics of a test signal and of its D distortions, which change with the
    trunk, its front end, its windows and the distortions. The last four numbers change with the
    version of the speech finder.
    """
    time = torch.arange(N_SAMPLES) / SAMPLE_RATE  # s
    tones = torch.sin(time * 1500) * torch.sin(time * 20) + 0.5 * torch.sin(time * 9000)
    signal = (0.1 * tones).numpy()
    copies = [DISTORTIONS[name](signal, np.random.default_rng(0)) for name in _used_distortions()]
    heard = [_statistics(copy, trunk, N_LEAST) for copy in (signal, *copies)]
    finder = hashlib.sha256(FINDER.encode()).digest()[:4]
    return torch.cat([*heard, torch.tensor(list(finder), dtype=heard[0].dtype)])


def _used_distortions() -> tuple[str, ...]:
    """Their names, kind after kind."""
    return tuple(name for kind in DISTORTION_KINDS for name in kind)


def _measured_group(
    samples: Sequence[Sample],
    renders: Sequence[str],
    instruments: Instruments,
    probe: Tensor,
    file: Path,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Measurements of one group by name, each `[clips, ...]`, and why other clips were left out.

    They are read from `file` if it has them, else measured and written there.
    """
    key = _content_key(samples, renders)
    if (kept := _kept_group(file, key)) is not None:
        group, left_out = kept
        if _is_close(group.pop(PROBE, None), probe):
            return group, left_out
        group, left_out = _heard_again(samples, instruments.trunk, group, left_out)
    else:
        measured: list[dict[str, Tensor]] = []
        left_out = {}
        for sample in samples:
            clip = _measure_clip(sample, renders, instruments)
            if isinstance(clip, str):
                left_out[sample.id] = clip
            else:
                measured.append(clip)
        names = measured[0] if measured else {}
        group = {name: torch.stack([clip[name] for clip in measured]) for name in names}
    _keep(group | {PROBE: probe}, key, left_out, file)
    return group, left_out


def _heard_again(
    samples: Sequence[Sample],
    trunk: CompactVoiceEncoder,
    group: dict[str, Tensor],
    left_out: dict[str, str],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A stored group with its voices measured again; a voice that is now unusable is left out."""
    rows: list[int] = []
    heard: list[dict[str, Tensor]] = []
    now_left_out: dict[str, str] = {}
    for row, sample in enumerate([one for one in samples if one.id not in left_out]):
        failure: Reason = "the voice cannot be used"
        try:
            speech = speech_of(sample)
        except Speech2FaceError as error:
            LOG.warning("%s is left out: %s", sample.id, error)
            now_left_out[sample.id] = failure
        else:
            rows.append(row)
            heard.append(_hear(speech, trunk))
    group = {name: values[rows] for name, values in group.items()}
    if heard:
        group |= {name: torch.stack([voice[name] for voice in heard]) for name in heard[0]}
    return group, left_out | now_left_out


def _is_close(kept: Tensor | None, probe: Tensor) -> bool:
    """Whether two fingerprints are equal, up to the last digits, which depend on the processor."""
    return kept is not None and kept.shape == probe.shape and torch.allclose(kept, probe, atol=1e-3)


def _content_key(samples: Sequence[Sample], renders: Sequence[str]) -> str:
    """SHA-256 of what is measured: ids, lengths, and the content of every file."""
    found = hashlib.sha256(json.dumps(list(renders)).encode())
    for sample in samples:
        found.update(json.dumps([sample.id, sample.seconds]).encode())
        for path in (sample.voice, sample.face, *(render_path(sample, one) for one in renders)):
            is_there = path is not None and path.is_file()
            content = path.read_bytes() if path is not None and is_there else b""
            found.update(hashlib.sha256(content).digest())
    return found.hexdigest()


def _keep(group: dict[str, Tensor], key: str, left_out: dict[str, str], file: Path) -> None:
    from safetensors.torch import save_file

    with whole_file(file) as temporary:
        save_file(group, temporary, metadata={"key": key, "left_out": json.dumps(left_out)})


def _kept_group(file: Path, key: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Measurements and reasons that an earlier call stored for files of the same content."""
    from safetensors import SafetensorError, safe_open

    if not file.exists():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("key") != key:
                return None
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        return tensors, parse_json_object(metadata["left_out"], file)
    except (SafetensorError, OSError, KeyError, Speech2FaceError):
        return None  # the file is damaged, so the group is measured again


def _measure_clip(
    sample: Sample, renders: Sequence[str], instruments: Instruments
) -> dict[str, Tensor] | Reason:
    """Measurements of one clip by name, or the reason why there are none."""
    if reason := missing_file(sample, renders):
        return reason
    failure: Reason = "the voice cannot be used"
    try:  # only around files: an error of an instrument concerns every clip and must be raised
        speech = speech_of(sample)
        failure = "a picture cannot be read"
        photo = _photo(sample)
        pictures = {render: _render(sample, render) for render in renders}
    except Speech2FaceError as error:
        LOG.warning("%s is left out: %s", sample.id, error)
        return failure
    clip = _hear(speech, instruments.trunk) | {"photo": _locate(photo, instruments)[1]}
    for render, picture in pictures.items():
        landmarks, feature = _locate(picture, instruments)
        clip |= {
            f"landmarks.{render}": landmarks,
            f"feature.{render}": feature,
            f"picture.{render}": torch.from_numpy(picture).permute(2, 0, 1).contiguous(),
        }
    return clip


def distorted_copies(speech: Waveform) -> list[Waveform]:
    """One copy of a voice `[L]` for each of `DISTORTION_KINDS`.

    The samples themselves determine which one of a kind is used and how strong it is, so that the
    same voice always has the same copies.
    """
    digest = hashlib.sha256(speech.tobytes()).digest()
    rng = np.random.default_rng(list(digest))
    return [DISTORTIONS[kind[rng.integers(len(kind))]](speech, rng) for kind in DISTORTION_KINDS]


def _hear(speech: Waveform, trunk: CompactVoiceEncoder) -> dict[str, Tensor]:
    """Statistics of a voice, `[S]`, and of its distorted copies, `[K, S]`."""
    voice = _statistics(speech, trunk, N_SAMPLES)
    copies = [_statistics(copy, trunk, N_LEAST) for copy in distorted_copies(speech)]
    return {"statistics": voice, "distorted": torch.stack(copies)}


def _statistics(speech: Waveform, trunk: CompactVoiceEncoder, n_samples: int) -> Tensor:
    """Statistics `[S]` of a voice, which is repeated to `n_samples`."""
    with torch.no_grad():
        return trunk.voice_statistics(torch.from_numpy(tile_to(speech, n_samples))[None])[0]


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
        problem = f"the render has {picture.shape[1]}x{picture.shape[0]} pixels"
        raise Speech2FaceError(problem, f"make it {IMAGE_SIZE}x{IMAGE_SIZE}", str(path))
    return picture
