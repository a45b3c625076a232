"""The recipe of the embedded default: from paired clips to a `Speech2Face`, in stages that resume.

1. measure     the voice, the photo and every render of each clip (pretrained networks, kept)
2. space       the code of a canonical face: principal components of landmarks and texture
3. draw        the texture branch learns to draw, as half of an autoencoder
4. decode      the face decoder learns codes -> landmarks and textures, from faces and morphs
5. listen      the head of the voice encoder: ridge regressions on Fourier features
6. photo       a linear map from the recogniser's feature to the code, for faces from photos (F2F)

Measurements and both trainings are kept in the run directory; what has a closed form is computed
anew by every call. Only `train` clips are learned from; `val` serves the losses that are shown.
`test` is never opened here.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from speech2face.data.datasets import positions_from
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
    draw_frequencies,
)
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.speech2face import Speech2Face, load_speaker_encoder
from speech2face.models.warp import WarpConfig
from speech2face.training.canonical_space import (
    CanonicalSpace,
    fit_canonical_space,
    inner_face,
)
from speech2face.training.config import AdamConfig, Plan, to_json
from speech2face.training.loop import fit
from speech2face.training.measurements import (
    CANONICAL,
    IMAGE_SIZE,
    Instruments,
    Measurements,
    measure,
    render_path,
    to_frame,
)
from speech2face.training.state import TrainState, start_state
from speech2face.training.texture import (
    HALVINGS,
    Morphs,
    TextureAutoencoder,
    TextureBatch,
    TextureTraining,
    autoencoder_losses,
    decoder_losses,
    start_decoder,
    start_drawing,
    transposed_branch,
    update,
)
from speech2face.training.tracking import Progress, Run
from speech2face.training.voice_head import VoiceHeadConfig, fit_voice_head, principal_components

LOG = logging.getLogger(__name__)
MODEL = "model"  # folder of the finished model in a run directory
M = TypeVar("M", bound=nn.Module)
SPLITS: tuple[Split, ...] = ("train", "val")  # that are opened
VALIDATION_BATCH = 32  # faces at a time; the validation losses are means over such batches
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

    teacher: str = "s2f_exg1.4"  # what the voice's teacher made of it, one of the renders
    renders: tuple[str, ...] = (CANONICAL, "s2f_exg0", "s2f_exg0.7", "s2f_exg1.4")
    landmark_share: float = 0.25  # of the code's variance, beside 1 for the texture
    outside: float = 0.15  # weight of hair and ground in code and decoder, beside 1 for the face
    morph_share: float = 0.0  # of the faces that the decoder learns from; see `Morphs`
    code_noise: float = 0.3  # on their codes
    photo_ridge: float = 3e-4
    photo_render_weight: float = 0.3  # of renders beside photos in the photo map
    default_exaggeration: float = 0.3
    voice: VoiceHeadConfig = field(default_factory=VoiceHeadConfig)
    decoder: FaceDecoderConfig = DECODER
    drawing: TextureTraining = field(default_factory=TextureTraining)
    decoding: TextureTraining = field(
        default_factory=lambda: TextureTraining(
            adam=AdamConfig(
                learning_rate=1e-3, decay=0.8, decay_iterations=200, beta1=0.9, epsilon=1e-8
            ),
            plan=Plan(
                batch_size=8, total_samples=20_000, validate_every=4_000, checkpoint_every=2_000
            ),
        )
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "renders", tuple(self.renders))  # JSON makes lists
        missing = {CANONICAL, self.teacher} - set(self.renders)
        if missing:
            problem = f"renders {self.renders} lack {sorted(missing)}"
            raise Speech2FaceError(problem, f"name {CANONICAL!r} and the teacher among them")
        _refuse_unfit_decoder(self.decoder)


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
    chosen = {split: _complete(samples, split, config) for split in SPLITS}
    _refuse_too_few(chosen, config)
    Run(run_dir).begin(_kept_settings(config, chosen))
    trunk = _trunk(config, speaker_encoder)
    instruments = _instruments(trunk)
    train, val = (
        _measure_split(chosen[split], split, config, instruments, run_dir) for split in SPLITS
    )
    frame = torch.cat(list(train.landmarks.values())).mean(dim=0)  # [68, 2]
    faces, val_faces = _faces(train, frame), _faces(val, frame)
    space = fit_canonical_space(
        faces.landmarks,
        faces.textures,
        size=config.decoder.feature_size,
        landmark_share=config.landmark_share,
        outside=config.outside,
    )
    morphs, val_morphs = _coded(faces, space), _coded(val_faces, space)
    decoder = _train_decoder(space, morphs, val_morphs, config, run_dir)
    voice_encoder, spread = _fit_voice(trunk, train, morphs, config)
    mean_code = _of_render(morphs.codes, CANONICAL, config).mean(dim=0)  # [D]
    model = Speech2Face(voice_encoder, decoder, mean_code, spread).eval()
    embedded = Embedded(model, _fit_photo(train, morphs, config))
    save_checkpoint(_as_checkpoint(embedded, config), run_dir / MODEL)
    return embedded


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
        CompactVoiceEncoder(_sizes(config)), FaceDecoder(config.decoder), mean_code, spread
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


def _complete(samples: Sequence[Sample], split: Split, config: EmbeddedConfig) -> list[Sample]:
    """As `usable`; how many are left out is logged."""
    chosen = usable(samples, split, config)
    n_left_out = sum(sample.split == split for sample in samples) - len(chosen)
    if n_left_out:
        LOG.info("leaves out %d %s clips that lack a picture", n_left_out, split)
    return chosen


def _refuse_too_few(chosen: Mapping[Split, Sequence[Sample]], config: EmbeddedConfig) -> None:
    """Raise unless folds, code and validation have enough people and faces."""
    n_people = len({sample.person for sample in chosen["train"]})
    n_faces = len(chosen["train"]) * len(config.renders)
    if n_people < config.voice.n_folds:
        problem = f"{n_people} people in the train split"
        raise Speech2FaceError(problem, f"give a corpus of at least {config.voice.n_folds}")
    if n_faces <= config.decoder.feature_size:
        problem = f"{n_faces} faces for a code of {config.decoder.feature_size} coordinates"
        raise Speech2FaceError(problem, "give more clips, or a smaller decoder.feature_size")
    if not chosen["val"]:
        raise Speech2FaceError("no clip in the val split", "give a corpus that has one")


def _refuse_unfit_decoder(decoder: FaceDecoderConfig) -> None:
    """Raise unless `start_decoder` can begin with that network."""
    fits = (
        decoder.hidden_size == 2 * decoder.feature_size
        and not decoder.landmark_widths
        and decoder.texture_branch == "transposed"
        and decoder.texture_bias
        and decoder.image_size == decoder.base_size << HALVINGS == IMAGE_SIZE
    )
    if not fits:
        problem = "the recipe cannot start this face decoder as a linear map"
        raise Speech2FaceError(
            problem,
            "give hidden_size = 2 * feature_size, no landmark_widths, a transposed texture with "
            f"bias, and {HALVINGS} doublings to {IMAGE_SIZE} pixels",
        )


def _kept_settings(
    config: EmbeddedConfig, chosen: Mapping[Split, Sequence[Sample]]
) -> dict[str, Any]:
    """What the files of a run depend on: a change of it needs a new run directory."""
    names = (
        "renders", "landmark_share", "outside", "decoder", "drawing", "decoding", "morph_share",
        "code_noise",
    )  # fmt: skip
    settings = to_json(config)
    clips = {
        split: hashlib.sha256("\n".join(sample.id for sample in samples).encode()).hexdigest()
        for split, samples in chosen.items()
    }
    return {name: settings[name] for name in names} | {"clips": clips}


def _trunk(config: EmbeddedConfig, speaker_encoder: dict[str, Tensor]) -> CompactVoiceEncoder:
    """The voice encoder with its pretrained trunk; its head is still to be fitted."""
    trunk = CompactVoiceEncoder(_sizes(config)).eval()
    load_speaker_encoder(speaker_encoder, trunk)
    return trunk


def _sizes(config: EmbeddedConfig) -> CompactVoiceEncoderConfig:
    return CompactVoiceEncoderConfig(
        feature_size=config.decoder.feature_size,
        n_components=config.voice.n_components,
        n_fourier=config.voice.n_fourier,
    )


def _instruments(trunk: CompactVoiceEncoder) -> Instruments:
    detector = DlibDetector()
    return Instruments(trunk, detector, DlibFaceEncoder(detector))


def _measure_split(
    chosen: Sequence[Sample],
    split: Split,
    config: EmbeddedConfig,
    instruments: Instruments,
    run_dir: Path,
) -> Measurements:
    LOG.info("measures %d %s clips", len(chosen), split)
    with Progress(0, len(chosen)) as bar:
        folder = run_dir / "measurements" / split
        return measure(
            chosen,
            config.renders,
            instruments,
            folder,
            progress=lambda n_done: bar.show(n_done, {}),
        )


@dataclass(frozen=True)
class _Faces:
    """Every render of every clip, render after render."""

    landmarks: Tensor  # [renders * M, 68, 2]
    textures: Tensor  # uint8 [renders * M, 3, 224, 224]


def _faces(measured: Measurements, frame: Tensor) -> _Faces:
    """All renders one after the other, their textures in the frame of the mean landmarks."""
    textures = [
        to_frame(pictures, measured.landmarks[render], frame)
        for render, pictures in measured.pictures.items()
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
    """The face decoder, its texture branch trained twice: as half an autoencoder, then by codes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.drawing.plan.seed)  # of the first weights
        decoder = FaceDecoder(config.decoder, space.mean_landmarks(config.decoder.n_landmarks))
        branch = transposed_branch(decoder)
        start_drawing(branch)
        mean_texture = morphs.textures.float().mean(dim=0) / 255.0  # [3, 224, 224]
        autoencoder = TextureAutoencoder(branch, mean_texture)
    LOG.info("learns to draw")
    _train(autoencoder, autoencoder_losses, config.drawing, morphs, val, run_dir / "drawing")
    start_decoder(decoder, space, autoencoder, morphs)
    LOG.info("learns to decode")
    # The weight of an absolute error that treats a deviation like the code's squared error.
    focus = inner_face(
        decoder.mean_landmarks, config.decoder.image_size, outside=config.outside**0.5
    )
    losses_of = partial(decoder_losses, focus=focus)
    morphs = morphs.varied(share=config.morph_share, noise=config.code_noise)
    _train(decoder, losses_of, config.decoding, morphs, val, run_dir / "decoding")
    return decoder


def _train(
    model: M,
    losses_of: Callable[[M, TextureBatch], dict[str, Tensor]],
    training: TextureTraining,
    morphs: Morphs,
    val: Morphs,
    folder: Path,
) -> None:
    """One of the two trainings, in a run directory of its own."""
    run = Run(folder)
    run.begin(to_json(training))
    lambdas = to_json(training.lambdas)
    plan = training.plan

    def step(state: TrainState, batch: TextureBatch) -> dict[str, Tensor]:
        return update(state, losses_of(model, batch), lambdas, len(batch.code))

    def validate(_: TrainState) -> dict[str, float]:
        return _validation_losses(model, losses_of, val)

    def batches_from(samples_seen: int) -> Iterator[TextureBatch]:
        return _batches(morphs, samples_seen, plan)

    fit(start_state(model, training.adam, plan), step, batches_from, run, validate=validate)


def _batches(morphs: Morphs, samples_seen: int, plan: Plan) -> Iterator[TextureBatch]:
    """Batches without end, each a function of the seed and of the samples seen before it."""
    stream = positions_from(
        samples_seen, n_samples=len(morphs), batch_size=plan.batch_size, seed=plan.seed
    )
    for number, positions in enumerate(stream):
        yield morphs.batch(positions, samples_seen + number * plan.batch_size)


def _validation_losses(
    model: M, losses_of: Callable[[M, TextureBatch], dict[str, Tensor]], val: Morphs
) -> dict[str, float]:
    """Losses of the held-out faces as they are, without morphs."""
    starts = range(0, len(val), VALIDATION_BATCH)
    with torch.no_grad():
        parts = [
            losses_of(model, val.plain(range(start, min(start + VALIDATION_BATCH, len(val)))))
            for start in starts
        ]
    return {name: sum(part[name].item() for part in parts) / len(parts) for name in parts[0]}


def _fit_voice(
    encoder: CompactVoiceEncoder, train: Measurements, morphs: Morphs, config: EmbeddedConfig
) -> tuple[CompactVoiceEncoder, Tensor]:
    """The voice encoder with its head, and the spread around its predictions `[D, D]`."""
    size = encoder.config.n_components
    frequencies, phases = draw_frequencies(
        size,
        config.voice.n_fourier,
        # gamma is of all statistics: leaving small components out leaves the kernel as it is
        gamma=config.voice.gamma * size / encoder.config.n_statistics,
        generator=torch.Generator().manual_seed(config.voice.seed),
    )
    mean, projection = principal_components(train.embeddings, size)
    encoder.statistics_mean.copy_(mean)
    encoder.projection.copy_(projection)
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


def _as_checkpoint(embedded: Embedded, config: EmbeddedConfig) -> Checkpoint:
    weights = embedded.model.state_dict() | {
        "photo.weight": embedded.photo.weight,
        "photo.bias": embedded.photo.bias,
    }
    return Checkpoint(weights=weights, config=config)
