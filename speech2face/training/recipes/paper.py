"""The recipes of the paper's two networks: their features, frozen layers, loss terms and loop."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from speech2face.audio.spectrogram import n_frames
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.configuration import restored, to_json, to_toml
from speech2face.data.datasets import FeatureShards, VoiceBatch
from speech2face.data.talking_shards import SoundBatch, TalkingShards, open_voices
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
from speech2face.training.machine import SINGLE, Machine
from speech2face.training.micro_batches import held_out, updates
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
from speech2face.training.tracking import Curves, Run

Features = FeatureShards | TalkingShards

ENCODER_FAMILY: Family = "paper voice encoder"
DECODER_FAMILY: Family = "paper face decoder"
PILOT = "pilot"  # folder inside the run directory
LAMBDAS = "lambdas.toml"
BALANCE_BATCHES = 32  # gradients are averaged over so many batches


def train_voice_encoder(
    config: VoiceEncoderTraining,
    data: Path,
    folder: Path,
    machine: Machine = SINGLE,
    curves: Curves | None = None,
) -> TrainState:
    """Train a voice encoder on the features in `data`; a run in `folder` is continued.

    Args:
        config: all settings.
        data: a folder of prepared pairs, or of shards of prepared videos with a face feature.
        folder: run directory, which the first process writes.
        machine: where to compute, and the processes that train together.
        curves: a second place for the losses.

    Raises:
        Speech2FaceError: the features, the frozen layers and the settings do not fit together, or
            the training diverges.
    """
    machine = machine.at(config.precision)
    train, val = _splits(data, config)
    read, read_val = (_voice_reader(config, shards) for shards in (train, val))
    terms = _voice_terms(config, train.description["face_feature"], machine.device)
    run = _begun_run(config, train, folder, machine, curves)
    with _seeded(config.plan.seed):
        model = VoiceEncoder(config.model).to(machine.device)
    plan = config.plan.for_corpus(len(train))
    modules = {VOICE_ENCODER: model}
    state = start_state(ENCODER_FAMILY, config.model, modules, config.adam, plan)
    machine.ranks.refuse_different(modules)
    return fit(
        state,
        partial(voice_encoder_step, terms=terms, machine=machine),
        updates(read, train.shards, plan, machine),
        run,
        validate=lambda state: validate_voice_encoder(
            state, held_out(read_val, len(val), plan, machine), terms, machine
        ),
    )


def train_face_decoder(
    config: FaceDecoderTraining,
    data: Path,
    folder: Path,
    machine: Machine = SINGLE,
    curves: Curves | None = None,
) -> TrainState:
    """Train a face decoder on the features of pairs in `data`; a run in `folder` is continued.

    Arguments and errors are those of `train_voice_encoder`.
    """
    machine = machine.at(config.precision)
    train, val = _splits(data, config)
    if not (isinstance(train, FeatureShards) and isinstance(val, FeatureShards)):
        problem = "clips of videos have no canonical faces, from which a face decoder learns"
        raise Speech2FaceError(problem, "prepare pairs with canonical faces", str(data))
    terms = _face_terms(config, train.description["face_feature"], machine.device)
    run = _begun_run(config, train, folder, machine, curves)
    mean_landmarks = train.read("landmarks", range(len(train))).mean(dim=0)  # [68, 2]
    with _seeded(config.plan.seed):
        model = FaceDecoder(config.model, mean_landmarks).to(machine.device)
    plan = config.plan.for_corpus(len(train))
    modules = {FACE_DECODER: model}
    state = start_state(DECODER_FAMILY, config.model, modules, config.adam, plan)
    machine.ranks.refuse_different(modules)
    return fit(
        state,
        partial(face_decoder_step, terms=terms, machine=machine),
        updates(train.face_batch, train.shards, plan, machine),
        run,
        validate=lambda state: validate_face_decoder(
            state, held_out(val.face_batch, len(val), plan, machine), terms, machine
        ),
    )


def balance_voice_encoder(
    config: VoiceEncoderTraining,
    data: Path,
    folder: Path,
    *,
    at_iteration: int,
    machine: Machine = SINGLE,
) -> tuple[Lambdas, Mapping[str, float]]:
    """Train a pilot run to `at_iteration`, then find the weights of Eq. (1) by the paper's rule.

    The pilot run is in `folder/pilot` and can be continued. The weights are written to
    `folder/lambdas.toml`, which can be given to the training itself as `--config`.

    Returns:
        The weights, and the gradient magnitudes of the unweighted terms.

    Raises:
        Speech2FaceError: those of `train_voice_encoder`; or several processes were started.
    """
    if machine.ranks.size > 1:
        problem = "the pilot run that finds the weights of the terms is a run of one process"
        raise Speech2FaceError(problem, "start it without torchrun")
    plan = replace(config.plan, epochs=0.0, total_samples=at_iteration * config.plan.update_size)
    pilot = replace(config, plan=plan)
    state = train_voice_encoder(pilot, data, folder / PILOT, machine)
    train, _ = _splits(data, config)
    following = updates(_voice_reader(config, train), train.shards, plan, machine)
    batches = chain.from_iterable(following(state.samples_seen))
    terms = _voice_terms(config, train.description["face_feature"], machine.device)
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


def _voice_terms(
    config: VoiceEncoderTraining, face_feature: str, device: torch.device
) -> VoiceTerms:
    decoder_layer = face = classifier = None
    if config.face_decoder and (config.lambdas.decoder or config.lambdas.pixel):
        decoder = load_face_decoder(Path(config.face_decoder)).to(device)
        _check_size(decoder.config.feature_size, config.model.feature_size, config.face_decoder)
        decoder_layer, face = decoder.first_layer, lambda feature: decoder(feature).image
    if config.vgg_face and config.lambdas.distillation:
        classifier = _vgg_face(config.vgg_face, face_feature, config.model.feature_size, device)
    return VoiceTerms(
        config.lambdas, decoder_layer, classifier and classifier.logits, face, config.temperature
    )


def _face_terms(config: FaceDecoderTraining, face_feature: str, device: torch.device) -> FaceTerms:
    if not (config.vgg_face and config.lambdas.embedding):
        return FaceTerms(config.lambdas)
    network = _vgg_face(config.vgg_face, face_feature, config.model.feature_size, device)
    # The rendered face fills its 224 pixels as a crop does. No detector is used, since it would
    # have no gradient.
    return FaceTerms(config.lambdas, lambda image: network.face_feature(image * 255))


def _vgg_face(file: str, face_feature: str, feature_size: int, device: torch.device) -> VGGFace:
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


def _splits(
    data: Path, config: VoiceEncoderTraining | FaceDecoderTraining
) -> tuple[Features, Features]:
    """Training and validation features; raises if they do not have the size of the settings."""
    name = config.face_feature if isinstance(config, VoiceEncoderTraining) else ""
    train, val = open_voices(data, "train", name), open_voices(data, "val", name)
    found = train.description["feature_size"]
    if found != config.model.feature_size:
        raise Speech2FaceError(
            f"the features ({train.description['face_feature']}) have size {found}, but "
            f"the settings say {config.model.feature_size}",
            f"add --set model.feature_size={found}",
            str(data),
        )
    return train, val


def _voice_reader(
    config: VoiceEncoderTraining, shards: Features
) -> Callable[[Sequence[int]], VoiceBatch | SoundBatch]:
    prepared = shards.description.get("clip_seconds", math.inf)  # sound has its own length
    if config.clip_seconds > prepared:
        raise Speech2FaceError(
            f"the spectrograms are of {prepared} s, but the settings say {config.clip_seconds} s",
            f"prepare longer clips, or add --set clip_seconds={prepared}",
            str(shards.folder),
        )
    length = n_frames(round(config.clip_seconds * SAMPLE_RATE))
    return lambda positions: shards.voice_batch(positions, length)


def _begun_run(
    config: Any, train: Features, folder: Path, machine: Machine, curves: Curves | None
) -> Run:
    """The run directory, with what identifies a run: its settings and its features."""
    run = Run(folder, machine.ranks.is_first, curves)
    run.begin({"settings": to_json(config), "features": train.description})
    return run


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, torch's random numbers follow from `seed`; outside, they are not affected."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
