"""The recipe of the embedded model: from paired clips to a `Speech2Face`, all in closed form.

1. Measure the voice, the photo and every render of each clip with pretrained networks.
2. Fit the code of a canonical face: principal components of the face and of its surround.
3. Make the face decoder, the inverse of that code, with the decided surround.
4. Fit the head of the voice encoder: a softmax regression on the trunk's output that hears
   languages as Whisper does, then ridge regressions on both.
5. Fit a linear map from the recogniser's feature to the code, for faces from photos (F2F).

Only measuring takes minutes. Its results are kept in the run directory group by group, so a run
that was stopped can be continued; every call computes the rest again. The model learns from `train`
clips only, and `test` clips are never opened.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech2face.configuration import require, require_sizes, restored
from speech2face.data.sample import Sample, Split
from speech2face.errors import Speech2FaceError
from speech2face.face.detect import DlibDetector
from speech2face.face.encoder import DlibFaceEncoder
from speech2face.models.canonical_decoder import CanonicalFaceDecoder, CanonicalFaceDecoderConfig
from speech2face.models.checkpoint import (
    Checkpoint,
    Family,
    load_checkpoint,
    module_weights,
    restored_module,
    save_checkpoint,
)
from speech2face.models.compact_voice_encoder import (
    CompactVoiceEncoder,
    CompactVoiceEncoderConfig,
)
from speech2face.models.decided_surround import SurroundConfig
from speech2face.models.rounding import rounded_weights
from speech2face.models.speech2face import FaceDrawing, Speech2Face, load_speaker_encoder
from speech2face.models.whisper import N_LANGUAGES
from speech2face.progress import Progress
from speech2face.training.canonical_space import (
    CODED_SIZE,
    CanonicalSpace,
    decoder_of_space,
    fit_canonical_space,
)
from speech2face.training.language_head import grouped_languages
from speech2face.training.languages import spoken_languages
from speech2face.training.measurements import (
    CANONICAL,
    Instruments,
    Measurements,
    measure,
    missing_file,
    to_frame,
)
from speech2face.training.photo_map import PhotoMap, fit_photo_map
from speech2face.training.surround import fit_surround, opacities
from speech2face.training.tracking import Run
from speech2face.training.voice_head import (
    VoiceHead,
    VoiceHeadConfig,
    VoicesAndFaces,
    fit_voice_head,
)

LOG = logging.getLogger(__name__)
FAMILY: Family = "embedded"
MODEL = "model"  # folder of the finished model in a run directory
NETWORK, PHOTO_MAP = "speech2face", "photo_map"  # names in the checkpoint
SPLIT: Split = "train"  # the only split that is opened


@dataclass(frozen=True)
class EmbeddedConfig:
    """All settings, chosen on train and val; docs/experiments.md has the alternatives."""

    teacher: str = "s2f_exg1.4"  # the render that the authors' model made of the voice
    renders: tuple[str, ...] = (CANONICAL, "s2f_exg0", "s2f_exg0.7", "s2f_exg1.4")
    n_face: int = 320  # coordinates of landmarks and face
    n_surround: int = 64  # coordinates of hair, shoulders and background
    landmark_share: float = 0.25  # variance of the landmarks in the code, where the texture has 1
    face_reach: float = 1.25  # of the coded face, see `face_region`
    n_languages: int = 40  # groups of languages that the voice encoder tells apart; 0 for none
    photo_ridge: float = 3e-4
    photo_render_weight: float = 0.3  # of renders beside photos in the photo map
    default_exaggeration: float = 0.15
    voice: VoiceHeadConfig = field(default_factory=VoiceHeadConfig)
    surround: SurroundConfig = field(default_factory=SurroundConfig)

    def __post_init__(self) -> None:
        missing = {CANONICAL, self.teacher} - set(self.renders)
        if missing:
            problem = f"renders {self.renders} lack {sorted(missing)}"
            raise Speech2FaceError(problem, f"name {CANONICAL!r} and the teacher among them")
        is_unique = len(set(self.renders)) == len(self.renders)
        require(is_unique, "renders", self.renders, "each name once")
        require_sizes(self, "n_face", "n_surround", most=2**15)
        is_count = 0 <= self.n_languages <= N_LANGUAGES
        require(is_count, "n_languages", self.n_languages, f"0..{N_LANGUAGES}")
        require(self.landmark_share > 0, "landmark_share", self.landmark_share, "above 0")
        require(self.face_reach > 0, "face_reach", self.face_reach, "a positive number")
        require(self.photo_ridge > 0, "photo_ridge", self.photo_ridge, "a positive number")
        is_weight = self.photo_render_weight >= 0
        require(is_weight, "photo_render_weight", self.photo_render_weight, "0 or more")

    @property
    def code_size(self) -> int:
        """D: coordinates of a code."""
        return self.n_face + self.n_surround

    @property
    def decoder(self) -> CanonicalFaceDecoderConfig:
        """Sizes of the face decoder."""
        return CanonicalFaceDecoderConfig(
            n_face=self.n_face,
            n_surround=self.n_surround,
            texture_size=CODED_SIZE,
            surround=self.surround,
        )

    @property
    def encoder(self) -> CompactVoiceEncoderConfig:
        """Sizes of the voice encoder."""
        return CompactVoiceEncoderConfig(feature_size=self.code_size, n_languages=self.n_languages)


@dataclass(frozen=True)
class Embedded:
    """The result of the recipe: a model for voices, and the map that is needed for photos."""

    model: Speech2Face
    photo: PhotoMap
    space: CanonicalSpace | None = None  # codes of faces; None for a model that was loaded
    samples: tuple[Sample, ...] = ()  # to which it was fitted; empty for a model that was loaded


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
            that lacks a file, or has one that cannot be read, is left out, and the log says why.
        run_dir: where the stages leave their files.
        speaker_encoder: weights of the pretrained trunk, as `read_speaker_encoder` returns them.
        config: every choice. A run whose kept measurements depend on a changed one is refused.

    Raises:
        Speech2FaceError: too few clips are left, or the run has other settings.
    """
    config = config or EmbeddedConfig()
    chosen = usable(samples, SPLIT, config)
    _refuse_too_few(chosen, config)
    Run(run_dir).begin(_kept_settings(config, chosen))
    encoder = pretrained_encoder(config, speaker_encoder)
    measured = measure_clips(chosen, config, encoder, run_dir / "measurements" / SPLIT)
    _refuse_too_few(measured.samples, config)
    embedded = fit_embedded(encoder, measured, config)
    save_checkpoint(_as_checkpoint(embedded, config), run_dir / MODEL)
    return embedded


@dataclass(frozen=True)
class CodedFaces:
    """What is learned from faces alone: their code, and the decoder that undoes it."""

    space: CanonicalSpace
    codes: dict[str, Tensor]  # by render: [M, D]
    decoder: CanonicalFaceDecoder


def fit_embedded(
    encoder: CompactVoiceEncoder, measured: Measurements, config: EmbeddedConfig
) -> Embedded:
    """All stages after measuring: a function of the measurements and of the settings.

    Args:
        encoder: with its pretrained trunk; its head is fitted here.
        measured: of the clips to learn from.
    """
    return fit_voices(encoder, measured, fit_faces(measured, config), config)


def fit_faces(measured: Measurements, config: EmbeddedConfig) -> CodedFaces:
    """The stages that read no voice."""
    LOG.info("fitting the code of canonical faces")
    landmarks = torch.cat([measured.landmarks[render] for render in config.renders])
    frame = landmarks.mean(dim=0)  # [68, 2]
    textures = {
        render: to_frame(measured.pictures[render], measured.landmarks[render], frame)
        for render in config.renders
    }
    all_textures = torch.cat(list(textures.values()))  # uint8 [renders * M, 3, 224, 224]
    space = fit_canonical_space(
        landmarks,
        all_textures,
        n_face=config.n_face,
        n_surround=config.n_surround,
        landmark_share=config.landmark_share,
        reach=config.face_reach,
    )
    mean_texture = all_textures.float().mean(dim=0) / 255.0  # [3, 224, 224]
    codes = {
        render: space.encode(measured.landmarks[render], textures[render])
        for render in config.renders
    }  # [M, D] each
    LOG.info("fitting the surround")
    surround = fit_surround(
        torch.cat([codes[render][:, config.n_face :] for render in config.renders]),
        opacities(all_textures, config.decoder.grid_size),
        config.decoder,
    )
    decoder = decoder_of_space(space, mean_texture, surround, config.decoder)
    return CodedFaces(space, codes, decoder)


def fit_voices(
    encoder: CompactVoiceEncoder, measured: Measurements, faces: CodedFaces, config: EmbeddedConfig
) -> Embedded:
    """The stages that lead from voices and photos to the codes of `faces`."""
    LOG.info("fitting the voice head")
    codes = faces.codes
    head = fit_head(encoder, measured, codes, config)
    draws = FaceDrawing(faces.decoder, codes[CANONICAL].mean(dim=0), head.spread)
    model = Speech2Face(encoder, draws).eval()
    photo_map = fit_photo_map(
        measured.photo_features,
        {render: measured.render_features[render] for render in config.renders},
        codes,
        ridge=config.photo_ridge,
        render_weight=config.photo_render_weight,
    )
    return Embedded(model, photo_map, faces.space, measured.samples)


@torch.no_grad()
def fit_head(
    encoder: CompactVoiceEncoder,
    measured: Measurements,
    codes: Mapping[str, Tensor],
    config: EmbeddedConfig,
) -> VoiceHead:
    """The voice head, which is copied into `encoder` and returned.

    Args:
        codes: of canonical faces and of the teacher's, `[M, D]` each, by render.
    """
    described = encoder.descriptors(measured.statistics)  # [M, V]
    voices = VoicesAndFaces(
        descriptors=described,
        distorted=encoder.descriptors(measured.distorted) - described[:, None],
        sizes=encoder.config.descriptor_sizes,
        languages=grouped_languages(measured.languages, config.n_languages),
        teacher=codes[config.teacher],
        true=codes[CANONICAL],
        n_face=config.n_face,
        persons=tuple(measured.persons),
    )
    head = fit_voice_head(voices, config.voice)
    encoder.head.weight.copy_(head.weight)
    encoder.head.bias.copy_(head.bias)
    if encoder.languages is not None:
        encoder.languages.weight.copy_(head.language_weight)
        encoder.languages.bias.copy_(head.language_bias)
    return head


def load_embedded(run_dir: Path) -> tuple[Embedded, EmbeddedConfig]:
    """The model that `train_embedded` saved in `run_dir`, and its settings.

    Raises:
        Speech2FaceError: the recipe has not ended there, or the checkpoint is damaged or of another
            network.
    """
    folder = run_dir / MODEL
    return embedded_of(load_checkpoint(folder, FAMILY), str(folder))


def embedded_of(checkpoint: Checkpoint, path: str) -> tuple[Embedded, EmbeddedConfig]:
    """The model of a checkpoint that came from `path`, and its settings."""
    config = restored(EmbeddedConfig, checkpoint.config, path)
    size = config.code_size
    spread = module_weights(checkpoint, NETWORK, path).get("draws.spread", torch.empty(0, size))

    def build() -> Speech2Face:
        encoder, decoder = CompactVoiceEncoder(config.encoder), CanonicalFaceDecoder(config.decoder)
        draws = FaceDrawing(decoder, torch.empty(size), torch.empty(len(spread), size))
        return Speech2Face(encoder, draws)

    model = restored_module(build, checkpoint, NETWORK, path)
    places: Any = model.draws.face_decoder.place_of
    if places.min() < 0 or places.max() > config.decoder.n_pixels:
        problem = "the face decoder names pixels that it does not have"
        raise Speech2FaceError(problem, "give a whole run of the embedded model", path)
    photo = module_weights(checkpoint, PHOTO_MAP, path)
    shapes = {name: tuple(value.shape) for name, value in photo.items()}
    if shapes != {"weight": (size, DlibFaceEncoder.size), "bias": (size,)}:
        problem = "the photo map has other sizes than the model"
        raise Speech2FaceError(problem, "give a whole run of the embedded model", path)
    return Embedded(model.eval(), PhotoMap(photo["weight"], photo["bias"])), config


def usable(samples: Sequence[Sample], split: Split, config: EmbeddedConfig) -> list[Sample]:
    """Clips of a split whose voice, photo and renders are all there; the log counts the others."""
    chosen: list[Sample] = []
    reasons: Counter[str] = Counter()
    for sample in samples:
        if sample.split != split:
            continue
        if (reason := missing_file(sample, config.renders)) is not None:
            LOG.debug("%s is left out: %s", sample.id, reason)
            reasons[reason] += 1
        else:
            chosen.append(sample)
    for cause, n_clips in sorted(reasons.items()):
        LOG.warning("%d %s clips are left out: %s", n_clips, split, cause)
    return chosen


def pretrained_encoder(
    config: EmbeddedConfig, speaker_encoder: dict[str, Tensor]
) -> CompactVoiceEncoder:
    """The voice encoder with its pretrained trunk; its head is still to be fitted.

    The trunk is rounded as in the exported file, so that the head is fitted on the output that it
    will get there.
    """
    encoder = CompactVoiceEncoder(config.encoder).eval()
    load_speaker_encoder(speaker_encoder, encoder)
    return rounded_weights(encoder)


def measure_clips(
    chosen: Sequence[Sample], config: EmbeddedConfig, encoder: CompactVoiceEncoder, folder: Path
) -> Measurements:
    """The measurements of clips, which are kept in `folder`; use one folder per split."""
    LOG.info("measuring %d %s clips", len(chosen), folder.name)
    detector = DlibDetector()
    instruments = Instruments(encoder, detector, DlibFaceEncoder(detector))
    with Progress(len(chosen)) as progress:
        measured = measure(chosen, config.renders, instruments, folder, progress=progress.show)
    for reason, n_clips in sorted(Counter(measured.left_out.values()).items()):
        LOG.warning("%d %s clips are left out: %s", n_clips, folder.name, reason)
    if config.n_languages == 0:
        return measured
    LOG.info("hearing the languages of %d %s clips", len(measured.samples), folder.name)
    with Progress(len(measured.samples)) as progress:
        languages = spoken_languages(measured.samples, folder / "languages", progress=progress.show)
    return replace(measured, languages=languages)


def _refuse_too_few(chosen: Sequence[Sample], config: EmbeddedConfig) -> None:
    """Raise unless folds within folds, and the code, have enough people and faces."""
    n_people, wanted = len({sample.person for sample in chosen}), 2 * config.voice.n_folds
    n_faces = len(chosen) * len(config.renders)
    if n_people < wanted:
        problem = f"{n_people} people in the {SPLIT} split"
        raise Speech2FaceError(problem, f"give a corpus of at least {wanted}")
    if n_faces <= config.code_size:
        problem = f"{n_faces} faces for a code of {config.code_size} coordinates"
        raise Speech2FaceError(problem, "give more clips, or a smaller n_face and n_surround")


def _kept_settings(config: EmbeddedConfig, chosen: Sequence[Sample]) -> dict[str, Any]:
    """The settings on which the files of a run depend; if one changes, a new run is needed."""
    clips = hashlib.sha256("\n".join(sample.id for sample in chosen).encode()).hexdigest()
    return {"renders": list(config.renders), "clips": clips}


def _as_checkpoint(embedded: Embedded, config: EmbeddedConfig) -> Checkpoint:
    photo_map = {"weight": embedded.photo.weight, "bias": embedded.photo.bias}
    modules = {NETWORK: embedded.model.state_dict(), PHOTO_MAP: photo_map}
    return Checkpoint(FAMILY, config, modules)
