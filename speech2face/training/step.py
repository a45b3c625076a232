"""One update of a network: losses by name, their weighted sum, and one optimiser step.

Nothing here reads or writes files. Frozen networks that a loss needs are part of its `terms`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch
from torch import Tensor

from speech2face.data.datasets import FaceBatch, VoiceBatch
from speech2face.errors import Speech2FaceError
from speech2face.losses import (
    decoder_loss,
    distillation_loss,
    embedding_loss,
    feature_loss,
    landmark_loss,
    texture_loss,
    weighted_sum,
)
from speech2face.models.face_decoder import FaceDecoder
from speech2face.models.warp import warp_image
from speech2face.training.config import FaceLambdas, Lambdas
from speech2face.training.state import TrainState

VOICE_ENCODER, FACE_DECODER = "voice_encoder", "face_decoder"  # names in `TrainState.modules`
Layer = Callable[[Tensor], Tensor]
Losses = dict[str, Tensor]
B = TypeVar("B", VoiceBatch, FaceBatch)


@dataclass(frozen=True)
class VoiceTerms:
    """The weights of the terms of Eq. (1), and the frozen layers that the terms use.

    Attributes:
        lambdas: weight of each term; a term of weight 0 is not computed.
        decoder_layer: f_dec, from `[B, D]` to `[B, 1000]`.
        classifier: f_VGG, from `[B, D]` to logits `[B, 2622]`.
        temperature: tau of the distillation.
    """

    lambdas: Lambdas
    decoder_layer: Layer | None = None
    classifier: Layer | None = None
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if self.lambdas.decoder and self.decoder_layer is None:
            raise Speech2FaceError(
                "the decoder term of Eq. (1) needs a trained face decoder",
                "set face_decoder to its run directory, or lambdas.decoder to 0",
            )
        if self.lambdas.distillation and self.classifier is None:
            raise Speech2FaceError(
                "the distillation term of Eq. (1) needs the last layer of VGG-Face",
                "set vgg_face to its file, or lambdas.distillation to 0",
            )

    @property
    def weights(self) -> Mapping[str, float]:
        """Weights of the terms that are computed."""
        return _above_zero(self.lambdas)


@dataclass(frozen=True)
class FaceTerms:
    """The weights of the face decoder's terms, and the recogniser that one of them uses.

    Attributes:
        lambdas: weight of each term; a term of weight 0 is not computed.
        recogniser: a differentiable and frozen network, from an image `[B, 3, H, W]` in 0..1 to a
            feature `[B, D]`.
    """

    lambdas: FaceLambdas
    recogniser: Layer | None = None

    def __post_init__(self) -> None:
        if self.lambdas.embedding and self.recogniser is None:
            raise Speech2FaceError(
                "the embedding term needs a recogniser that can be differentiated",
                "set vgg_face to its file, or lambdas.embedding to 0",
            )

    @property
    def weights(self) -> Mapping[str, float]:
        """Weights of the terms that are computed."""
        return _above_zero(self.lambdas)


def voice_encoder_losses(predicted: Tensor, target: Tensor, terms: VoiceTerms) -> Losses:
    """The unweighted terms of Eq. (1) as scalars by name, from v_s and v_f, `[B, D]` each."""
    losses: Losses = {}
    if terms.lambdas.decoder and terms.decoder_layer:
        losses["decoder"] = decoder_loss(
            terms.decoder_layer(predicted), terms.decoder_layer(target)
        )
    if terms.lambdas.feature:
        losses["feature"] = feature_loss(predicted, target)
    if terms.lambdas.distillation and terms.classifier:
        losses["distillation"] = distillation_loss(
            terms.classifier(predicted), terms.classifier(target), temperature=terms.temperature
        )
    return losses


def face_decoder_losses(decoder: FaceDecoder, batch: FaceBatch, terms: FaceTerms) -> Losses:
    """The unweighted terms of the face decoder as scalars by name.

    The target texture is the canonical face, warped from its own landmarks to the mean landmarks.
    """
    decoded = decoder(batch.face_feature)
    losses: Losses = {}
    if terms.lambdas.landmark:
        losses["landmark"] = landmark_loss(decoded.landmarks, batch.landmarks)
    if terms.lambdas.texture:
        texture = warp_image(
            batch.canonical_face,
            batch.landmarks,
            decoder.mean_landmarks.expand_as(batch.landmarks),
            config=decoder.config.warp,
        )  # [B, 3, H, W]
        losses["texture"] = texture_loss(decoded.texture, texture)
    if terms.lambdas.embedding and terms.recogniser:
        losses["embedding"] = embedding_loss(terms.recogniser(decoded.image), batch.face_feature)
    return losses


def voice_encoder_step(state: TrainState, batch: VoiceBatch, terms: VoiceTerms) -> Losses:
    """Make one update of the voice encoder; returns the losses by name, with their `total`."""
    predicted = state.modules[VOICE_ENCODER](batch.spectrogram)  # [B, D], v_s
    losses = voice_encoder_losses(predicted, batch.face_feature, terms)
    return _update(state, VOICE_ENCODER, losses, terms.weights, len(batch.face_feature))


def face_decoder_step(state: TrainState, batch: FaceBatch, terms: FaceTerms) -> Losses:
    """Make one update of the face decoder; returns the losses by name, with their `total`."""
    losses = face_decoder_losses(_decoder(state), batch, terms)
    return _update(state, FACE_DECODER, losses, terms.weights, len(batch.face_feature))


def _decoder(state: TrainState) -> FaceDecoder:
    decoder = state.modules[FACE_DECODER]
    assert isinstance(decoder, FaceDecoder)
    return decoder


def _update(
    state: TrainState, name: str, losses: Losses, weights: Mapping[str, float], n_samples: int
) -> Losses:
    total = weighted_sum(losses, weights)
    descend(state, name, total)
    state.samples_seen += n_samples
    return {name: loss.detach() for name, loss in (losses | {"total": total}).items()}


def descend(state: TrainState, name: str, loss: Tensor) -> None:
    """One optimiser step of the network `name` on `loss`; `samples_seen` is not changed."""
    optimizer = state.optimizers[name]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = state.adam.learning_rate_at(state.iteration)
        group["eps"] = state.adam.torch_epsilon_at(state.iteration)
    optimizer.step()


def _above_zero(lambdas: Lambdas | FaceLambdas) -> Mapping[str, float]:
    return {name: weight for name, weight in asdict(lambdas).items() if weight}


def validate_voice_encoder(
    state: TrainState, batches: Iterable[VoiceBatch], terms: VoiceTerms
) -> dict[str, float]:
    """Mean losses over held-out samples, by the names of the training; the state is unchanged."""

    def losses(batch: VoiceBatch) -> Losses:
        predicted = state.modules[VOICE_ENCODER](batch.spectrogram)
        return voice_encoder_losses(predicted, batch.face_feature, terms)

    return _mean_losses(state, batches, losses, terms.weights)


def validate_face_decoder(
    state: TrainState, batches: Iterable[FaceBatch], terms: FaceTerms
) -> dict[str, float]:
    """Mean losses over held-out samples, by the names of the training; the state is unchanged."""
    decoder = _decoder(state)
    return _mean_losses(
        state, batches, lambda batch: face_decoder_losses(decoder, batch, terms), terms.weights
    )


@torch.no_grad()
def _mean_losses(
    state: TrainState,
    batches: Iterable[B],
    losses_of: Callable[[B], Losses],
    weights: Mapping[str, float],
) -> dict[str, float]:
    """Losses of all batches, every sample with the same weight."""
    sums: dict[str, float] = defaultdict(float)
    n_samples = 0
    for module in state.modules.values():
        module.eval()
    for batch in batches:
        losses = losses_of(batch)
        losses = losses | {"total": weighted_sum(losses, weights)}
        size = len(batch.face_feature)
        for name, loss in losses.items():
            sums[name] += loss.item() * size
        n_samples += size
    for module in state.modules.values():
        module.train()
    return {name: value / n_samples for name, value in sums.items()}
