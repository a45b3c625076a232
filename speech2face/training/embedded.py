"""The recipe of the embedded default: from paired clips to a `Speech2Face`, in stages that resume.

1. measure     the voice, the photo and every render of each clip (pretrained networks, kept)
2. space       the code of a canonical face: principal components of landmarks and texture
3. draw        the texture branch learns to draw, as half of an autoencoder
4. decode      the face decoder learns codes -> landmarks and textures, from faces and morphs
5. listen      the head of the voice encoder: ridge regressions on Fourier features
6. photo       a linear map from the recogniser's feature to the code, for faces from photos (F2F)

Each stage leaves its file in the run directory. Only `train` clips are learned from; `val` serves
the losses that are shown. `test` is never opened here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech2face.data.sample import Sample
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import DlibDetector
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.models.checkpoint import Checkpoint, save_checkpoint
from speech2face.models.compact_voice_encoder import (
    CompactVoiceEncoder,
    CompactVoiceEncoderConfig,
    draw_frequencies,
)
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig, TransposedTexture
from speech2face.models.speech2face import Speech2Face, load_speaker_encoder
from speech2face.models.warp import WarpConfig
from speech2face.training.canonical_space import CanonicalSpace, fit_canonical_space
from speech2face.training.config import AdamConfig, Plan
from speech2face.training.loop import fit
from speech2face.training.measurements import (
    CANONICAL,
    Instruments,
    Measurements,
    measure,
    to_frame,
)
from speech2face.training.state import TrainState, start_state
from speech2face.training.texture import (
    Morphs,
    TextureAutoencoder,
    TextureBatch,
    TextureTraining,
    autoencoder_losses,
    decoder_losses,
    start_decoder,
    start_drawing,
    update,
)
from speech2face.training.tracking import Progress, Run
from speech2face.training.voice_head import VoiceHeadConfig, fit_voice_head

LOG = logging.getLogger(__name__)
DECODER = FaceDecoderConfig(
    feature_size=160,
    hidden_size=320,  # a code and its negative: see `start_decoder`
    landmark_widths=(),
    channels=(96, 64, 32, 16, 12),
    texture_bias=True,
    warp=WarpConfig(flow_stride=4),
)


@dataclass(frozen=True)
class EmbeddedConfig:
    """Everything that was chosen, on the val split; docs/experiments.md says against what."""

    teacher: str = "s2f_exg1.4"  # what the voice's teacher made of it
    renders: tuple[str, ...] = (CANONICAL, "s2f_exg0", "s2f_exg0.7", "s2f_exg1.4")
    landmark_share: float = 0.25  # of the code's variance, beside 1 for the texture
    photo_ridge: float = 3e-4
    photo_render_weight: float = 0.3  # of renders beside photos in the photo map
    default_exaggeration: float = 1.2
    voice: VoiceHeadConfig = field(default_factory=VoiceHeadConfig)
    drawing: TextureTraining = field(default_factory=TextureTraining)
    decoding: TextureTraining = field(
        default_factory=lambda: TextureTraining(
            adam=AdamConfig(
                learning_rate=1e-3, decay=0.8, decay_iterations=300, beta1=0.9, epsilon=1e-8
            ),
            plan=Plan(
                batch_size=8, total_samples=32_000, validate_every=4_000, checkpoint_every=2_000
            ),
        )
    )


@dataclass(frozen=True)
class PhotoMap:
    """Linear map from the recogniser's feature of a photo to the code of its canonical face."""

    weight: Tensor  # [D, 128]
    bias: Tensor  # [D]


@dataclass(frozen=True)
class Embedded:
    """What the recipe makes."""

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
        samples: of a corpus with photos, canonical faces and teachers; split by person.
        run_dir: where every stage leaves its file.
        speaker_encoder: weights of the pretrained trunk, `lstm.*` and `linear.*`.

    Raises:
        Speech2FaceError: too few clips, or a clip without a render.
    """
    config = config or EmbeddedConfig()
    trunk = CompactVoiceEncoder(CompactVoiceEncoderConfig(n_fourier=config.voice.n_fourier)).eval()
    load_speaker_encoder(speaker_encoder, trunk)
    instruments = _instruments(trunk)
    train, val = (
        _measure_split(samples, split, config, instruments, run_dir) for split in ("train", "val")
    )
    frame = torch.cat(list(train.landmarks.values())).mean(dim=0)  # [68, 2]
    faces, val_faces = _faces(train, frame), _faces(val, frame)
    size = DECODER.feature_size
    space = fit_canonical_space(
        faces.landmarks, faces.textures, size=size, landmark_share=config.landmark_share
    )
    morphs, val_morphs = _coded(faces, space), _coded(val_faces, space)
    decoder = _train_decoder(space, morphs, val_morphs, config, run_dir)
    voice_encoder, spread = _fit_voice(trunk, train, morphs, config)
    mean_code = _of_render(morphs.codes, CANONICAL, config).mean(dim=0)  # [D]
    model = Speech2Face(voice_encoder, decoder, mean_code, spread).eval()
    embedded = Embedded(model, _fit_photo(train, morphs, config))
    save_checkpoint(_as_checkpoint(embedded, config), run_dir / "model")
    return embedded


def _instruments(trunk: CompactVoiceEncoder) -> Instruments:
    detector = DlibDetector()
    return Instruments(trunk, detector, DlibFaceEncoder(detector))


def _measure_split(
    samples: Sequence[Sample],
    split: str,
    config: EmbeddedConfig,
    instruments: Instruments,
    run_dir: Path,
) -> Measurements:
    chosen = [sample for sample in samples if sample.split == split]
    if len({sample.person for sample in chosen}) <= config.voice.n_folds:
        problem = f"{len(chosen)} clips in the {split} split"
        raise Speech2FaceError(problem, "give a corpus of at least 6 people in each split")
    LOG.info("measures %d %s clips", len(chosen), split)
    with Progress(0, len(chosen)) as bar:
        done = 0

        def show(count: int) -> None:
            nonlocal done
            done += count
            bar.show(done, {})

        folder = run_dir / "measurements" / split
        return measure(chosen, config.renders, instruments, folder, progress=show)


@dataclass(frozen=True)
class _Faces:
    landmarks: Tensor  # [renders * M, 68, 2]
    textures: Tensor  # uint8 [renders * M, 3, 224, 224]


def _faces(measured: Measurements, frame: Tensor) -> _Faces:
    """All renders one after the other, their textures in the frame of the mean landmarks."""
    textures = [
        to_frame(measured.pictures[render], measured.landmarks[render], frame)
        for render in measured.pictures
    ]
    return _Faces(torch.cat(list(measured.landmarks.values())), torch.cat(textures))


def _coded(faces: _Faces, space: CanonicalSpace) -> Morphs:
    codes = space.encode(faces.landmarks, faces.textures)
    return Morphs(codes, faces.landmarks, faces.textures, seed=0)


def _of_render(values: Tensor, render: str, config: EmbeddedConfig) -> Tensor:
    """The rows that belong to one render, of values `[renders * M, ...]`."""
    return values.chunk(len(config.renders))[config.renders.index(render)]


def _train_decoder(
    space: CanonicalSpace, morphs: Morphs, val: Morphs, config: EmbeddedConfig, run_dir: Path
) -> FaceDecoder:
    torch.manual_seed(config.drawing.plan.seed)  # of the first weights
    decoder = FaceDecoder(DECODER, space.mean_landmarks(DECODER.n_landmarks))
    branch = decoder.texture
    assert isinstance(branch, TransposedTexture)
    start_drawing(branch)
    mean_texture = morphs.textures.float().mean(dim=0) / 255.0  # [3, 224, 224]
    autoencoder = TextureAutoencoder(branch, mean_texture)
    LOG.info("learns to draw")
    _train(autoencoder, autoencoder_losses, config.drawing, morphs, val, run_dir / "drawing")
    start_decoder(decoder, space, autoencoder, morphs)
    LOG.info("learns to decode")
    _train(decoder, decoder_losses, config.decoding, morphs, val, run_dir / "decoding")
    return decoder


def _train(
    model: Any, losses_of: Any, training: TextureTraining, morphs: Morphs, val: Morphs, folder: Path
) -> None:
    run = Run(folder)
    run.begin(_settings(training))
    lambdas = _settings(training.lambdas)
    plan = training.plan

    def step(state: TrainState, batch: TextureBatch) -> dict[str, Tensor]:
        return update(state, losses_of(model, batch), lambdas, len(batch.code))

    def batches_from(samples_seen: int) -> Any:
        from speech2face.data.datasets import positions_from

        stream = positions_from(
            samples_seen, n_samples=len(morphs), batch_size=plan.batch_size, seed=plan.seed
        )
        for number, positions in enumerate(stream):
            yield morphs.batch(positions, samples_seen + number * plan.batch_size)

    def validate(state: TrainState) -> dict[str, float]:
        with torch.no_grad():
            parts = [
                losses_of(model, val.plain(range(start, min(start + 32, len(val)))))
                for start in range(0, len(val), 32)
            ]
        return {name: sum(part[name].item() for part in parts) / len(parts) for name in parts[0]}

    fit(start_state(model, training.adam, plan), step, batches_from, run, validate=validate)


def _fit_voice(
    encoder: CompactVoiceEncoder, train: Measurements, morphs: Morphs, config: EmbeddedConfig
) -> tuple[CompactVoiceEncoder, Tensor]:
    """The voice encoder with its head, and the spread around its predictions `[D, D]`."""
    size = encoder.config.hidden_size
    frequencies, phases = draw_frequencies(
        size,
        config.voice.n_fourier,
        gamma=config.voice.gamma,
        generator=torch.Generator().manual_seed(config.voice.seed),
    )
    encoder.embedding_mean.copy_(train.embeddings.mean(dim=0))
    encoder.embedding_deviation.copy_(train.embeddings.std(dim=0, correction=0))
    encoder.frequencies.copy_(frequencies)
    encoder.phases.copy_(phases)
    teacher, true = (
        _of_render(morphs.codes, render, config) for render in (config.teacher, CANONICAL)
    )
    with torch.no_grad():
        features = encoder.fourier_features(train.embeddings)  # [M, n_fourier]
        head = fit_voice_head(features, teacher, true, train.persons, config.voice)
        encoder.head.weight.copy_(head.weight)
        encoder.head.bias.copy_(head.bias)
    return encoder, head.spread


def _fit_photo(train: Measurements, morphs: Morphs, config: EmbeddedConfig) -> PhotoMap:
    """Ridge regression of codes on recogniser features, of photos and of the renders themselves.

    A render has no pose and no background, so its feature lies a step aside from a photo's; both
    are centred by themselves before they are put together.
    """
    photo_mean = train.photo_features.mean(dim=0)  # [128]
    render_mean = train.render_features[CANONICAL].mean(dim=0)
    true = _of_render(morphs.codes, CANONICAL, config)  # [M, D]
    renders = torch.cat([train.render_features[render] for render in config.renders])
    features = torch.cat([train.photo_features - photo_mean, renders - render_mean]).double()
    codes = torch.cat([true, morphs.codes]).double()
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


def _settings(config: Any) -> dict[str, Any]:
    from speech2face.training.config import to_json

    return to_json(config)


def _as_checkpoint(embedded: Embedded, config: EmbeddedConfig) -> Checkpoint:
    weights = embedded.model.state_dict() | {
        "photo.weight": embedded.photo.weight,
        "photo.bias": embedded.photo.bias,
    }
    return Checkpoint(weights=weights, config=config)
