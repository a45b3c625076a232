"""One update of a network: losses by name, their weighted sum, and one optimiser step.

An update consists of one or more micro-batches. Each gives losses and gradients by itself, and the
update uses their mean. This process computes some of them, other processes the others; the result
does not depend on who computed which (`training.ranks`, `training.batch_norm`).

Nothing here reads or writes files. Frozen networks that a loss needs are part of its `terms`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    pixel_loss,
    texture_loss,
    weighted_sum,
)
from speech2face.models.face_decoder import FaceDecoder
from speech2face.models.warp import warp_image
from speech2face.training.batch_norm import BatchNorms
from speech2face.training.config import FaceLambdas, Lambdas
from speech2face.training.machine import SINGLE, Machine
from speech2face.training.ranks import TreeSum
from speech2face.training.state import TrainState

VOICE_ENCODER, FACE_DECODER = "voice_encoder", "face_decoder"  # names in `TrainState.modules`
Layer = Callable[[Tensor], Tensor]
Losses = dict[str, Tensor]
B = TypeVar("B", VoiceBatch, FaceBatch)


@dataclass(frozen=True)
class VoiceTerms:
    """The weights of the terms of Eq. (1) and of the pixel loss, and the frozen layers they use.

    Attributes:
        lambdas: weight of each term; a term of weight 0 is not computed.
        decoder_layer: f_dec, from `[B, D]` to `[B, 1000]`.
        classifier: f_VGG, from `[B, D]` to logits `[B, 2622]`.
        face: the face decoder, from `[B, D]` to an image `[B, 3, H, W]`.
        temperature: tau of the distillation.
    """

    lambdas: Lambdas
    decoder_layer: Layer | None = None
    classifier: Layer | None = None
    face: Layer | None = None
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if self.lambdas.decoder and self.decoder_layer is None:
            raise Speech2FaceError(
                "the decoder term of Eq. (1) needs a trained face decoder",
                "set face_decoder to its run directory, or lambdas.decoder to 0",
            )
        if self.lambdas.pixel and self.face is None:
            raise Speech2FaceError(
                "the pixel loss needs a trained face decoder",
                "set face_decoder to its run directory, or lambdas.pixel to 0",
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
    """The unweighted terms as scalars by name, from v_s and v_f, `[B, D]` each."""
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
    if terms.lambdas.pixel and terms.face:
        losses["pixel"] = pixel_loss(terms.face(predicted), terms.face(target))
    return losses


def face_decoder_losses(
    decoder: FaceDecoder, batch: FaceBatch, terms: FaceTerms, machine: Machine = SINGLE
) -> Losses:
    """The unweighted terms of the face decoder as scalars by name.

    The target texture is the canonical face, warped from its own landmarks to the mean landmarks.
    """
    with machine.autocast():
        parts = decoder.decode_parts(batch.face_feature)
    landmarks, texture = (machine.as_float32(part) for part in parts)  # [B, N, 2], [B, 3, H, W]
    losses: Losses = {}
    if terms.lambdas.landmark:
        losses["landmark"] = landmark_loss(landmarks, batch.landmarks)
    if terms.lambdas.texture:
        target = warp_image(
            batch.canonical_face,
            batch.landmarks,
            decoder.mean_landmarks.expand_as(batch.landmarks),
            config=decoder.config.warp,
        )  # [B, 3, H, W]
        losses["texture"] = texture_loss(texture, target)
    if terms.lambdas.embedding and terms.recogniser:
        image = decoder.join(landmarks, texture)  # [B, 3, H, W]
        losses["embedding"] = embedding_loss(terms.recogniser(image), batch.face_feature)
    return losses


def voice_encoder_step(
    state: TrainState,
    batches: Sequence[VoiceBatch],
    terms: VoiceTerms,
    machine: Machine = SINGLE,
) -> Losses:
    """Make one update of the voice encoder.

    Args:
        state: it is changed.
        batches: the micro-batches of this update that this process computes.
        terms: the losses.
        machine: this process and the others.

    Returns:
        The losses by name, with their `total`: means over all micro-batches of the update.
    """

    def losses(batch: VoiceBatch) -> Losses:
        return _voice_losses(state, batch, terms, machine)

    return _update(state, VOICE_ENCODER, batches, losses, terms.weights, machine)


def face_decoder_step(
    state: TrainState, batches: Sequence[FaceBatch], terms: FaceTerms, machine: Machine = SINGLE
) -> Losses:
    """Make one update of the face decoder; arguments and result as of `voice_encoder_step`."""

    def losses(batch: FaceBatch) -> Losses:
        return face_decoder_losses(_decoder(state), batch, terms, machine)

    return _update(state, FACE_DECODER, batches, losses, terms.weights, machine)


def _voice_losses(
    state: TrainState, batch: VoiceBatch, terms: VoiceTerms, machine: Machine
) -> Losses:
    with machine.autocast():
        predicted = state.modules[VOICE_ENCODER](batch.spectrogram)  # [B, D], v_s
    return voice_encoder_losses(machine.as_float32(predicted), batch.face_feature, terms)


def _decoder(state: TrainState) -> FaceDecoder:
    decoder = state.modules[FACE_DECODER]
    assert isinstance(decoder, FaceDecoder)
    return decoder


def _update(
    state: TrainState,
    name: str,
    batches: Sequence[B],
    losses_of: Callable[[B], Losses],
    weights: Mapping[str, float],
    machine: Machine,
) -> Losses:
    """One update of the network `name` by the mean of the gradients of all micro-batches."""
    module, ranks = state.modules[name], machine.ranks
    parameters = [one for one in module.parameters() if one.requires_grad]
    gradients, norms = TreeSum(), BatchNorms(module)
    rows: list[Tensor] = []
    statistics: list[Tensor] = []
    for batch in batches:
        with norms.collecting(statistics):
            losses = losses_of(batch)
            losses = losses | {"total": weighted_sum(losses, weights)}
            gradients.add(_gradients(losses["total"], parameters))
        rows.append(torch.stack([loss.detach() for loss in losses.values()]))
    n_batches = len(batches) * ranks.size  # a power of two, so that the division is exact
    sums = ranks.sum_of(gradients.total())
    _descend(state, name, parameters, [total / n_batches for total in sums])
    if norms:
        norms.follow(ranks.joined(torch.stack(statistics)))
    means = ranks.joined(torch.stack(rows)).mean(dim=0)  # [names]
    state.samples_seen += state.plan.update_size
    return dict(zip(losses, means, strict=True))


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of a loss; zeros for a parameter that it does not use."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]


def _descend(
    state: TrainState, name: str, parameters: Sequence[Tensor], gradients: Sequence[Tensor]
) -> None:
    """One optimiser step of the network `name`; `samples_seen` is not changed."""
    optimizer = state.optimizers[name]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    for group in optimizer.param_groups:
        group["lr"] = state.adam.learning_rate_at(state.iteration)
        group["eps"] = state.adam.torch_epsilon_at(state.iteration)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _above_zero(lambdas: Lambdas | FaceLambdas) -> Mapping[str, float]:
    return {name: weight for name, weight in asdict(lambdas).items() if weight}


def validate_voice_encoder(
    state: TrainState,
    batches: Iterable[VoiceBatch],
    terms: VoiceTerms,
    machine: Machine = SINGLE,
) -> dict[str, float]:
    """Mean losses over held-out samples, by the names of the training; the state is unchanged.

    Each process gives other batches, and all get the means over all of them.
    """

    def losses(batch: VoiceBatch) -> Losses:
        return _voice_losses(state, batch, terms, machine)

    return _mean_losses(state, batches, losses, terms.weights, machine)


def validate_face_decoder(
    state: TrainState, batches: Iterable[FaceBatch], terms: FaceTerms, machine: Machine = SINGLE
) -> dict[str, float]:
    """The same for the face decoder."""

    def losses(batch: FaceBatch) -> Losses:
        return face_decoder_losses(_decoder(state), batch, terms, machine)

    return _mean_losses(state, batches, losses, terms.weights, machine)


@torch.no_grad()
def _mean_losses(
    state: TrainState,
    batches: Iterable[B],
    losses_of: Callable[[B], Losses],
    weights: Mapping[str, float],
    machine: Machine,
) -> dict[str, float]:
    """Losses of all batches, every sample with the same weight."""
    rows: list[dict[str, float]] = []
    for module in state.modules.values():
        module.eval()
    for batch in batches:
        losses = losses_of(batch)
        losses = losses | {"total": weighted_sum(losses, weights)}
        size = len(batch.face_feature)
        rows.append({name: loss.item() * size for name, loss in losses.items()} | {"": size})
    for module in state.modules.values():
        module.train()
    every = [row for part in machine.ranks.everything(rows) for row in part]
    # `fsum` is exact, so the order of the batches does not matter.
    sums = {name: math.fsum(row[name] for row in every) for name in every[0]}
    n_samples = sums.pop("")
    return {name: value / n_samples for name, value in sums.items()}
