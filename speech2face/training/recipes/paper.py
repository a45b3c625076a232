"""The recipes of the paper's two networks: their features, frozen layers, loss terms and loop."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from speech2face.audio.io import SAMPLE_RATE
from speech2face.audio.spectrogram import n_frames
from speech2face.configuration import restored, to_json, to_toml
from speech2face.data.datasets import FaceBatch, FeatureShards, VoiceBatch, in_order, shuffled
from speech2face.errors import Speech2FaceError
from speech2face.face.vgg_face import VGGFace, load_vgg_face
from speech2face.files import write_whole
from speech2face.models.checkpoint import Checkpoint, Family, load_checkpoint, restored_module
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig
from speech2face.training.balance import balanced, measure
from speech2face.training.config import (
    FaceDecoderTraining,
    Lambdas,
    VoiceEncoderTraining,
)
from speech2face.training.loop import fit
from speech2face.training.state import TrainState, start_state
from speech2face.training.step import (
    FACE_DECODER,
    VOICE_ENCODER,
    FaceTerms,
    VoiceTerms,
    face_decoder_step,
    validate_face_decoder,
    validate_voice_encoder,
    voice_encoder_step,
)
from speech2face.training.tracking import Run

ENCODER_FAMILY: Family = "paper voice encoder"
DECODER_FAMILY: Family = "paper face decoder"
PILOT = "pilot"  # folder inside the run directory
LAMBDAS = "lambdas.toml"
BALANCE_BATCHES = 32  # gradients are averaged over so many batches


def train_voice_encoder(
    config: VoiceEncoderTraining, data: Path, folder: Path, *, device: str = "cpu"
) -> TrainState:
    """Train a voice encoder on the features in `data`; a run in `folder` is continued.

    Raises:
        Speech2FaceError: the features, the frozen layers and the settings do not fit together, or
            the training diverges.
    """
    train, val = _splits(data, config.model.feature_size)
    terms = _voice_terms(config, train.description["face_feature"], device)
    run = Run(folder)
    run.begin(_settings(config, train))
    with _seeded(config.plan.seed):
        model = VoiceEncoder(config.model).to(device)
    modules = {VOICE_ENCODER: model}
    state = start_state(ENCODER_FAMILY, config.model, modules, config.adam, config.plan)
    read = _voice_reader(config, val, device)
    held_out = partial(in_order, read, n_samples=len(val), batch_size=config.plan.batch_size)
    return fit(
        state,
        partial(voice_encoder_step, terms=terms),
        _voice_batches(config, train, device),
        run,
        validate=lambda state: validate_voice_encoder(state, held_out(), terms),
    )


def train_face_decoder(
    config: FaceDecoderTraining, data: Path, folder: Path, *, device: str = "cpu"
) -> TrainState:
    """Train a face decoder on the features in `data`; a run in `folder` is continued.

    Raises:
        Speech2FaceError: for the same reasons as in `train_voice_encoder`.
    """
    train, val = _splits(data, config.model.feature_size)
    terms = _face_terms(config, train.description["face_feature"], device)
    run = Run(folder)
    run.begin(_settings(config, train))
    mean_landmarks = train.read("landmarks", range(len(train))).mean(dim=0)  # [68, 2]
    with _seeded(config.plan.seed):
        model = FaceDecoder(config.model, mean_landmarks).to(device)
    modules = {FACE_DECODER: model}
    state = start_state(DECODER_FAMILY, config.model, modules, config.adam, config.plan)
    plan = config.plan
    return fit(
        state,
        partial(face_decoder_step, terms=terms),
        shuffled(
            _face_reader(train, device),
            n_samples=len(train),
            batch_size=plan.batch_size,
            seed=plan.seed,
        ),
        run,
        validate=lambda state: validate_face_decoder(
            state,
            in_order(_face_reader(val, device), n_samples=len(val), batch_size=plan.batch_size),
            terms,
        ),
    )


def balance_voice_encoder(
    config: VoiceEncoderTraining,
    data: Path,
    folder: Path,
    *,
    at_iteration: int,
    device: str = "cpu",
) -> tuple[Lambdas, Mapping[str, float]]:
    """Train a pilot run to `at_iteration`, then find the weights of Eq. (1) by the paper's rule.

    The pilot run is in `folder/pilot` and can be continued. The weights are written to
    `folder/lambdas.toml`, which can be given to the training itself as `--config`.

    Returns:
        The weights, and the gradient magnitudes of the unweighted terms.
    """
    plan = replace(config.plan, total_samples=at_iteration * config.plan.batch_size)
    pilot = replace(config, plan=plan)
    state = train_voice_encoder(pilot, data, folder / PILOT, device=device)
    train, _ = _splits(data, config.model.feature_size)
    batches = _voice_batches(pilot, train, device)(state.samples_seen)
    terms = _voice_terms(config, train.description["face_feature"], device)
    magnitudes = measure(state, islice(batches, BALANCE_BATCHES), terms)
    lambdas = balanced(config.lambdas, magnitudes)
    measured = ", ".join(f"{name} {value:.4g}" for name, value in magnitudes.items())
    text = (
        f"# Weights of Eq. (1) by the paper's rule, measured at iteration {at_iteration}.\n"
        f"# Mean gradient magnitudes of the unweighted terms with respect to v_s: {measured}.\n"
        f"[lambdas]\n{to_toml(lambdas)}\n"
    )
    write_whole(folder / LAMBDAS, text.encode())
    return lambdas, magnitudes


def load_voice_encoder(folder: Path) -> VoiceEncoder:
    """Frozen voice encoder of a run directory.

    Raises:
        Speech2FaceError: the folder has no checkpoint, or one of another network.
    """
    return voice_encoder_of(load_checkpoint(folder, ENCODER_FAMILY), str(folder))


def load_face_decoder(folder: Path) -> FaceDecoder:
    """Frozen face decoder of a run directory; it raises the errors of `load_voice_encoder`."""
    return face_decoder_of(load_checkpoint(folder, DECODER_FAMILY), str(folder))


def voice_encoder_of(checkpoint: Checkpoint, path: str) -> VoiceEncoder:
    """Frozen voice encoder of a checkpoint that came from `path`."""
    config = restored(VoiceEncoderConfig, checkpoint.config, path)
    network = restored_module(lambda: VoiceEncoder(config), checkpoint, VOICE_ENCODER, path)
    return network.requires_grad_(False).eval()


def face_decoder_of(checkpoint: Checkpoint, path: str) -> FaceDecoder:
    """Frozen face decoder of a checkpoint that came from `path`."""
    config = restored(FaceDecoderConfig, checkpoint.config, path)
    network = restored_module(lambda: FaceDecoder(config), checkpoint, FACE_DECODER, path)
    return network.requires_grad_(False).eval()


def _voice_terms(config: VoiceEncoderTraining, face_feature: str, device: str) -> VoiceTerms:
    decoder_layer = classifier = None
    if config.face_decoder and config.lambdas.decoder:
        decoder = load_face_decoder(Path(config.face_decoder)).to(device)
        _check_size(decoder.config.feature_size, config.model.feature_size, config.face_decoder)
        decoder_layer = decoder.first_layer
    if config.vgg_face and config.lambdas.distillation:
        classifier = _vgg_face(config.vgg_face, face_feature, config.model.feature_size, device)
    return VoiceTerms(
        config.lambdas, decoder_layer, classifier and classifier.logits, config.temperature
    )


def _face_terms(config: FaceDecoderTraining, face_feature: str, device: str) -> FaceTerms:
    if not (config.vgg_face and config.lambdas.embedding):
        return FaceTerms(config.lambdas)
    network = _vgg_face(config.vgg_face, face_feature, config.model.feature_size, device)
    # The rendered face fills its 224 pixels as a crop does. No detector is used, since it would
    # have no gradient.
    return FaceTerms(config.lambdas, lambda image: network.face_feature(image * 255))


def _vgg_face(file: str, face_feature: str, feature_size: int, device: str) -> VGGFace:
    """Frozen VGG-Face with the kind of feature that was prepared, before or after the ReLU."""
    is_rectified = face_feature.endswith("after_relu")
    network = load_vgg_face(file, feature="after_relu" if is_rectified else "before_relu")
    _check_size(network.config.hidden, feature_size, file)
    return network.to(device)


def _check_size(found: int, feature_size: int, path: str) -> None:
    if found != feature_size:
        raise Speech2FaceError(
            f"this network takes face features of size {found}, but the settings say "
            f"{feature_size}",
            f"give one for size {feature_size}, or set model.feature_size",
            path,
        )


def _splits(data: Path, feature_size: int) -> tuple[FeatureShards, FeatureShards]:
    """Training and validation features; raises if they do not have the size of the settings."""
    train, val = FeatureShards(data, "train"), FeatureShards(data, "val")
    found = train.description["feature_size"]
    if found != feature_size:
        raise Speech2FaceError(
            f"the features ({train.description['face_feature']}) have size {found}, but "
            f"the settings say {feature_size}",
            f"add --set model.feature_size={found}",
            str(data),
        )
    return train, val


def _voice_reader(
    config: VoiceEncoderTraining, shards: FeatureShards, device: str
) -> Callable[[Sequence[int]], VoiceBatch]:
    prepared = shards.description["clip_seconds"]
    if config.clip_seconds > prepared:
        raise Speech2FaceError(
            f"the spectrograms are of {prepared} s, but the settings say {config.clip_seconds} s",
            f"prepare longer clips, or add --set clip_seconds={prepared}",
            str(shards.folder),
        )
    length = n_frames(round(config.clip_seconds * SAMPLE_RATE))
    return lambda positions: shards.voice_batch(positions, length).to(torch.device(device))


def _voice_batches(
    config: VoiceEncoderTraining, shards: FeatureShards, device: str
) -> Callable[[int], Iterator[VoiceBatch]]:
    return shuffled(
        _voice_reader(config, shards, device),
        n_samples=len(shards),
        batch_size=config.plan.batch_size,
        seed=config.plan.seed,
    )


def _face_reader(shards: FeatureShards, device: str) -> Callable[[Sequence[int]], FaceBatch]:
    return lambda positions: shards.face_batch(positions).to(torch.device(device))


def _settings(config: Any, shards: FeatureShards) -> dict[str, Any]:
    """What identifies a run: its settings, and the features from which it learns."""
    return {"settings": to_json(config), "features": shards.description}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, torch's random numbers follow from `seed`; outside, they are not affected."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
