"""The recipe of the embedded default: from paired clips to a `Speech2Face`, all in closed form.

1. measure     the voice, the photo and every render of each clip (pretrained networks, kept)
2. space       the code of a canonical face: principal components of the face, and of its surround
3. decode      the face decoder that is the inverse of that code
4. listen      the head of the voice encoder: ridge regressions on what the trunk hears
5. photo       a linear map from the recogniser's feature to the code, for faces from photos (F2F)

Only measuring takes minutes. It is kept in the run directory group by group, so a run that was
stopped goes on; the rest is computed anew by every call. Only `train` clips are learned from, and
`test` is never opened here.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech2face.data.sample import Sample, Split
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import DlibDetector
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.models.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore_config,
    restore_weights,
    save_checkpoint,
)
from speech2face.models.compact_voice_encoder import (
    CompactVoiceEncoder,
    CompactVoiceEncoderConfig,
)
from speech2face.models.face_decoder import LinearFaceDecoder, LinearFaceDecoderConfig
from speech2face.models.speech2face import Speech2Face, load_speaker_encoder
from speech2face.models.stored import as_stored
from speech2face.progress import Progress
from speech2face.training.canonical_space import (
    CODED_SIZE,
    CanonicalSpace,
    decoder_of_space,
    fit_canonical_space,
)
from speech2face.training.config import to_json
from speech2face.training.measurements import (
    CANONICAL,
    Instruments,
    Measurements,
    measure,
    render_path,
    to_frame,
)
from speech2face.training.tracking import Run
from speech2face.training.voice_head import VoiceHeadConfig, fit_voice_head

LOG = logging.getLogger(__name__)
MODEL = "model"  # folder of the finished model in a run directory
SPLIT: Split = "train"  # that is opened


@dataclass(frozen=True)
class EmbeddedConfig:
    """Everything that was chosen, on train and val; docs/experiments.md says against what."""

    teacher: str = "s2f_exg1.4"  # what the voice's teacher made of it, one of the renders
    renders: tuple[str, ...] = (CANONICAL, "s2f_exg0", "s2f_exg0.7", "s2f_exg1.4")
    n_face: int = 320  # coordinates of landmarks and face
    n_surround: int = 64  # coordinates of hair, shoulders and ground
    landmark_share: float = 0.25  # of the variance of the face's code, beside 1 for the texture
    face_reach: float = 1.25  # of the coded face, see `face_region`
    white_below: float = 0.4  # darkness of the background, see `whiten_background`
    photo_ridge: float = 3e-4
    photo_render_weight: float = 0.3  # of renders beside photos in the photo map
    default_exaggeration: float = 0.15
    voice: VoiceHeadConfig = field(default_factory=VoiceHeadConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "renders", tuple(self.renders))  # JSON makes lists
        missing = {CANONICAL, self.teacher} - set(self.renders)
        if missing:
            problem = f"renders {self.renders} lack {sorted(missing)}"
            raise Speech2FaceError(problem, f"name {CANONICAL!r} and the teacher among them")
        if min(self.n_face, self.n_surround) < 1:
            problem = f"a code of {self.n_face} and {self.n_surround} coordinates"
            raise Speech2FaceError(problem, "give n_face and n_surround of 1 or more")

    @property
    def code_size(self) -> int:
        """D: coordinates of a code."""
        return self.n_face + self.n_surround

    @property
    def decoder(self) -> LinearFaceDecoderConfig:
        """Sizes of the face decoder."""
        return LinearFaceDecoderConfig(
            feature_size=self.code_size, texture_size=CODED_SIZE, white_below=self.white_below
        )


@dataclass(frozen=True)
class PhotoMap:
    """Linear map from the recogniser's feature of a photo to the code of its canonical face."""

    weight: Tensor  # [D, 128]
    bias: Tensor  # [D]


@dataclass(frozen=True)
class Embedded:
    """What the recipe makes: a model for voices, and the way to it for photos."""

    model: Speech2Face
    photo: PhotoMap


def train_embedded(
    samples: Sequence[Sample],
    run_dir: Path,
    *,
    speaker_encoder: dict[str, Tensor],
    config: EmbeddedConfig | None = None,
) -> Embedded:
    """Train the compact model; the same call continues a run that was stopped.

    Args:
        samples: of a corpus with photos, canonical faces and teachers; split by person. A clip
            that lacks one of the pictures is left out.
        run_dir: where the stages leave their files.
        speaker_encoder: weights of the pretrained trunk, as `read_speaker_encoder` returns them.
        config: what was chosen. With what the kept stages depend on changed, a run is refused.

    Raises:
        Speech2FaceError: too few clips, a clip that cannot be read, or a run of other settings.
    """
    config = config or EmbeddedConfig()
    chosen = _complete(samples, config)
    _refuse_too_few(chosen, config)
    Run(run_dir).begin(_kept_settings(config, chosen))
    encoder = pretrained_encoder(config, speaker_encoder)
    measured = measure_clips(chosen, config, encoder, run_dir / "measurements" / SPLIT)
    embedded = fit_embedded(encoder, measured, config)
    save_checkpoint(_as_checkpoint(embedded, config), run_dir / MODEL)
    return embedded


def fit_embedded(
    encoder: CompactVoiceEncoder, measured: Measurements, config: EmbeddedConfig
) -> Embedded:
    """Everything behind the measuring: a function of what was measured and of the settings.

    Args:
        encoder: with its pretrained trunk; its head is fitted here.
        measured: of the clips to learn from.
    """
    LOG.info("finds the code of canonical faces")
    faces = _faces(measured)
    space = fit_canonical_space(
        faces.landmarks,
        faces.textures,
        n_face=config.n_face,
        n_surround=config.n_surround,
        landmark_share=config.landmark_share,
        reach=config.face_reach,
    )
    codes = space.encode(faces.landmarks, faces.textures)  # [renders * M, D]
    mean_texture = faces.textures.float().mean(dim=0) / 255.0  # [3, 224, 224]
    decoder = decoder_of_space(space, mean_texture, config.decoder)
    LOG.info("learns to listen")
    encoder, spread = _fit_voice(encoder, measured, codes, space, config)
    mean_code = _of_render(codes, CANONICAL, config).mean(dim=0)  # [D]
    model = Speech2Face(encoder, decoder, mean_code, spread).eval()
    return Embedded(model, _fit_photo(measured, codes, config))


def load_embedded(run_dir: Path) -> tuple[Embedded, EmbeddedConfig]:
    """What `train_embedded` left in `run_dir`, and the settings it was made with.

    Raises:
        Speech2FaceError: the recipe has not ended there, or the checkpoint is another's or damaged.
    """
    folder = run_dir / MODEL
    checkpoint = load_checkpoint(folder)
    config = restore_config(EmbeddedConfig, checkpoint.config, str(folder))
    weights = dict(checkpoint.weights)
    try:
        photo = PhotoMap(weights.pop("photo.weight"), weights.pop("photo.bias"))
        mean_code, spread = weights["mean_feature"], weights["spread"]
    except KeyError as missing:
        problem = f"the checkpoint has no {missing}"
        raise Speech2FaceError(
            problem, "give a run of the embedded model", str(folder)
        ) from missing
    model = Speech2Face(
        CompactVoiceEncoder(_sizes(config)), LinearFaceDecoder(config.decoder), mean_code, spread
    )
    restore_weights(model, weights, str(folder))
    return Embedded(model.eval(), photo), config


def usable(samples: Sequence[Sample], split: Split, config: EmbeddedConfig) -> list[Sample]:
    """Clips of a split that have a photo and all renders of the recipe."""
    return [
        sample
        for sample in samples
        if sample.split == split and all(path is not None for path in _pictures(sample, config))
    ]


def _pictures(sample: Sample, config: EmbeddedConfig) -> Iterator[Path | None]:
    yield sample.face
    for render in config.renders:
        yield render_path(sample, render)


def _complete(samples: Sequence[Sample], config: EmbeddedConfig) -> list[Sample]:
    """The clips that are learned from; how many are left out is logged."""
    chosen = usable(samples, SPLIT, config)
    n_left_out = sum(sample.split == SPLIT for sample in samples) - len(chosen)
    if n_left_out:
        LOG.info("leaves out %d %s clips that lack a picture", n_left_out, SPLIT)
    return chosen


def _refuse_too_few(chosen: Sequence[Sample], config: EmbeddedConfig) -> None:
    """Raise unless folds and code have enough people and faces."""
    n_people = len({sample.person for sample in chosen})
    n_faces = len(chosen) * len(config.renders)
    if n_people < config.voice.n_folds:
        problem = f"{n_people} people in the {SPLIT} split"
        raise Speech2FaceError(problem, f"give a corpus of at least {config.voice.n_folds}")
    if n_faces <= config.code_size:
        problem = f"{n_faces} faces for a code of {config.code_size} coordinates"
        raise Speech2FaceError(problem, "give more clips, or a smaller n_face and n_surround")


def _kept_settings(config: EmbeddedConfig, chosen: Sequence[Sample]) -> dict[str, Any]:
    """What the files of a run depend on: a change of it needs a new run directory."""
    clips = hashlib.sha256("\n".join(sample.id for sample in chosen).encode()).hexdigest()
    return {"renders": to_json(config)["renders"], "clips": clips}


def pretrained_encoder(
    config: EmbeddedConfig, speaker_encoder: dict[str, Tensor]
) -> CompactVoiceEncoder:
    """The voice encoder with its pretrained trunk; its head is still to be fitted.

    The trunk is rounded as it will be stored, so that the head learns from what it will hear.
    """
    encoder = CompactVoiceEncoder(_sizes(config)).eval()
    load_speaker_encoder(speaker_encoder, encoder)
    return as_stored(encoder)


def _sizes(config: EmbeddedConfig) -> CompactVoiceEncoderConfig:
    return CompactVoiceEncoderConfig(feature_size=config.code_size)


def measure_clips(
    chosen: Sequence[Sample], config: EmbeddedConfig, encoder: CompactVoiceEncoder, folder: Path
) -> Measurements:
    """What the recipe reads of clips; `folder` keeps it, one a split."""
    LOG.info("measures %d %s clips", len(chosen), folder.name)
    detector = DlibDetector()
    instruments = Instruments(encoder, detector, DlibFaceEncoder(detector))
    with Progress(len(chosen)) as progress:
        return measure(
            chosen,
            config.renders,
            instruments,
            folder,
            progress=progress.show,
        )


@dataclass(frozen=True)
class _Faces:
    """Every render of every clip, render after render."""

    landmarks: Tensor  # [renders * M, 68, 2], pixels
    textures: Tensor  # uint8 [renders * M, 3, 224, 224], in the frame of the mean landmarks


def _faces(measured: Measurements) -> _Faces:
    landmarks = torch.cat(list(measured.landmarks.values()))
    frame = landmarks.mean(dim=0)  # [68, 2]
    textures = [
        to_frame(pictures, measured.landmarks[render], frame)
        for render, pictures in measured.pictures.items()
    ]
    return _Faces(landmarks, torch.cat(textures))


def _of_render(values: Tensor, render: str, config: EmbeddedConfig) -> Tensor:
    """The rows that belong to one render, of values `[renders * M, ...]`."""
    return values.chunk(len(config.renders))[config.renders.index(render)]


def _fit_voice(
    encoder: CompactVoiceEncoder,
    measured: Measurements,
    codes: Tensor,
    space: CanonicalSpace,
    config: EmbeddedConfig,
) -> tuple[CompactVoiceEncoder, Tensor]:
    """The voice encoder with its head, and the spread around its predictions `[D, D]`."""
    teacher, true = (_of_render(codes, render, config) for render in (config.teacher, CANONICAL))
    with torch.no_grad():
        head = fit_voice_head(
            encoder.views(measured.statistics),
            encoder.config.n_statistics,
            teacher,
            true,
            measured.persons,
            config.voice,
            n_face=space.n_face,
        )
        encoder.head.weight.copy_(head.weight)
        encoder.head.bias.copy_(head.bias)
    return encoder, head.spread


def _fit_photo(measured: Measurements, all_codes: Tensor, config: EmbeddedConfig) -> PhotoMap:
    """Ridge regression of codes on recogniser features, of photos and of the renders themselves.

    A render has no pose and no background, so its feature lies a step aside from a photo's; both
    are centred by themselves before they are put together.
    """
    photo_mean = measured.photo_features.mean(dim=0)  # [128]
    render_mean = measured.render_features[CANONICAL].mean(dim=0)
    true = _of_render(all_codes, CANONICAL, config)  # [M, D]
    renders = torch.cat([measured.render_features[render] for render in config.renders])
    features = torch.cat([measured.photo_features - photo_mean, renders - render_mean]).double()
    codes = torch.cat([true, all_codes]).double()
    weight = torch.cat(
        [torch.ones(len(true)), torch.full((len(renders),), config.photo_render_weight)]
    ).double()[:, None]
    ones = torch.ones(len(features), 1, dtype=torch.float64)
    design = torch.cat([features, ones], dim=1)  # [rows, 129]
    penalty = torch.eye(design.shape[1], dtype=torch.float64) * config.photo_ridge * len(design)
    penalty[-1, -1] = 0.0
    solution = torch.linalg.solve(
        design.T @ (weight * design) + penalty, design.T @ (weight * codes)
    )
    slopes, constant = solution[:-1].T.float(), solution[-1].float()  # [D, 128], [D]
    return PhotoMap(slopes, constant - slopes @ photo_mean)


def _as_checkpoint(embedded: Embedded, config: EmbeddedConfig) -> Checkpoint:
    weights = embedded.model.state_dict() | {
        "photo.weight": embedded.photo.weight,
        "photo.bias": embedded.photo.bias,
    }
    return Checkpoint(weights=weights, config=config)
