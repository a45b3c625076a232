"""Updates overfit one batch, follow the published optimiser, and do not change frozen layers."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from speech2face.data.datasets import FaceBatch, VoiceBatch
from speech2face.errors import Speech2FaceError
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig
from speech2face.training.config import AdamConfig, FaceLambdas, Lambdas, Plan
from speech2face.training.state import TrainState, start_state
from speech2face.training.step import (
    FaceTerms,
    VoiceTerms,
    face_decoder_losses,
    face_decoder_step,
    validate_face_decoder,
    validate_voice_encoder,
    voice_encoder_losses,
    voice_encoder_step,
)

ALL_TERMS = Lambdas(decoder=1, feature=1, distillation=1)
FEATURE_ONLY = VoiceTerms(Lambdas(decoder=0, feature=1, distillation=0))
FACE_TERMS = FaceTerms(FaceLambdas(landmark=1, texture=100))


def frozen_linear(n_in: int, n_out: int, seed: int) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(n_in, n_out).requires_grad_(False)


@pytest.fixture
def all_terms() -> VoiceTerms:
    return VoiceTerms(ALL_TERMS, frozen_linear(16, 10, 0), frozen_linear(16, 5, 1))


@pytest.fixture
def encoder_state(encoder_config: VoiceEncoderConfig) -> TrainState:
    torch.manual_seed(0)
    modules = {"voice_encoder": VoiceEncoder(encoder_config)}
    adam = AdamConfig(learning_rate=5e-3)
    return start_state("paper voice encoder", encoder_config, modules, adam, Plan(batch_size=4))


@pytest.fixture
def decoder_state(decoder_config: FaceDecoderConfig, mean_landmarks: Tensor) -> TrainState:
    torch.manual_seed(0)
    modules = {"face_decoder": FaceDecoder(decoder_config, mean_landmarks)}
    adam = AdamConfig(learning_rate=5e-3)
    return start_state("paper face decoder", decoder_config, modules, adam, Plan(batch_size=4))


def test_the_voice_encoder_overfits_one_batch(
    encoder_state: TrainState, voice_batch: VoiceBatch, all_terms: VoiceTerms
) -> None:
    floor = voice_encoder_losses(voice_batch.face_feature, voice_batch.face_feature, all_terms)
    first = voice_encoder_step(encoder_state, [voice_batch], all_terms)
    for _ in range(60):
        last = voice_encoder_step(encoder_state, [voice_batch], all_terms)
    assert last["feature"] < 0.1 * first["feature"]
    assert last["decoder"] < 0.3 * first["decoder"]
    # cross-entropy cannot fall below the target's own entropy
    assert last["distillation"] - floor["distillation"] < 0.1 * (
        first["distillation"] - floor["distillation"]
    )


def test_the_face_decoder_overfits_one_batch(
    decoder_state: TrainState, face_batch: FaceBatch
) -> None:
    first = face_decoder_step(decoder_state, [face_batch], FACE_TERMS)
    for _ in range(250):
        last = face_decoder_step(decoder_state, [face_batch], FACE_TERMS)
    assert last["landmark"] < 0.1 * first["landmark"]
    assert last["texture"] < 0.25 * first["texture"]


def test_the_target_texture_is_the_canonical_face_where_the_landmarks_are_the_mean(
    decoder_config: FaceDecoderConfig, mean_landmarks: Tensor, face_batch: FaceBatch
) -> None:
    decoder = FaceDecoder(decoder_config, mean_landmarks)
    batch = face_batch._replace(landmarks=mean_landmarks.expand(4, -1, -1))
    texture = decoder(batch.face_feature).texture
    by_hand = (texture - batch.canonical_face).abs().mean()
    torch.testing.assert_close(face_decoder_losses(decoder, batch, FACE_TERMS)["texture"], by_hand)


def test_the_total_is_the_weighted_sum_of_the_named_losses(
    encoder_state: TrainState, voice_batch: VoiceBatch, all_terms: VoiceTerms
) -> None:
    terms = replace(all_terms, lambdas=Lambdas(decoder=2.0, feature=0.5, distillation=3.0))
    losses = voice_encoder_step(encoder_state, [voice_batch], terms)
    assert list(losses) == ["decoder", "feature", "distillation", "total"]
    by_hand = 2 * losses["decoder"] + 0.5 * losses["feature"] + 3 * losses["distillation"]
    torch.testing.assert_close(losses["total"], by_hand)
    assert not any(loss.requires_grad for loss in losses.values())


def test_a_term_of_weight_zero_is_not_computed(
    encoder_state: TrainState, voice_batch: VoiceBatch
) -> None:
    assert voice_encoder_step(encoder_state, [voice_batch], FEATURE_ONLY).keys() == {
        "feature",
        "total",
    }


@pytest.mark.parametrize(
    ("lambdas", "remedy"),
    [
        (Lambdas(decoder=1, feature=1, distillation=0), "face_decoder"),
        (Lambdas(decoder=0, feature=1, distillation=1), "vgg_face"),
        (Lambdas(decoder=0, feature=1, distillation=0, pixel=1), "pixel loss.*face_decoder"),
    ],
)
def test_a_term_without_its_frozen_layer_is_refused(lambdas: Lambdas, remedy: str) -> None:
    with pytest.raises(Speech2FaceError, match=remedy):
        VoiceTerms(lambdas)


def test_an_embedding_term_without_a_recogniser_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match="recogniser"):
        FaceTerms(FaceLambdas(embedding=1))


def test_the_embedding_term_reaches_landmarks_and_texture(
    decoder_state: TrainState, face_batch: FaceBatch
) -> None:
    layer = frozen_linear(3 * 32 * 32, 16, 3)
    terms = FaceTerms(FaceLambdas(0, 0, 1), lambda image: layer(image.flatten(1)))
    decoder = decoder_state.modules["face_decoder"]
    assert isinstance(decoder, FaceDecoder)
    learning = (decoder.landmarks.displacement.weight, decoder.texture.colour.weight)
    before = [weight.detach().clone() for weight in learning]
    losses = face_decoder_step(decoder_state, [face_batch], terms)
    assert losses.keys() == {"embedding", "total"}
    assert not any(torch.equal(*pair) for pair in zip(before, learning, strict=True))
    assert layer.weight.grad is None


def test_updates_follow_the_adam_of_tensorflow() -> None:
    """By hand: the paper's framework adds epsilon to the root before it is corrected."""
    adam = AdamConfig(learning_rate=0.1, decay=0.5, decay_iterations=2, beta1=0.5, beta2=0.9)
    torch.manual_seed(1)
    model = nn.Linear(3, 3, bias=False).double()
    batch = VoiceBatch(*torch.randn(2, 4, 3, dtype=torch.float64))
    modules = {"voice_encoder": model}
    state = start_state("paper voice encoder", None, modules, adam, Plan(batch_size=4))
    weight = model.weight.detach().clone()
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for iteration in range(5):
        leaf = weight.clone().requires_grad_()
        loss = voice_encoder_losses(batch.spectrogram @ leaf.T, batch.face_feature, FEATURE_ONLY)
        (gradient,) = torch.autograd.grad(loss["feature"], leaf)
        t = iteration + 1
        rate = 0.1 * 0.5 ** (iteration // 2)
        first = 0.5 * first + 0.5 * gradient
        second = 0.9 * second + 0.1 * gradient**2
        corrected_rate = rate * (1 - 0.9**t) ** 0.5 / (1 - 0.5**t)
        weight = weight - corrected_rate * first / (second.sqrt() + 1e-4)

        voice_encoder_step(state, [batch], FEATURE_ONLY)
        torch.testing.assert_close(model.weight.detach(), weight)
    assert state.samples_seen == 20 and state.iteration == 5


def test_validation_gives_every_sample_the_same_weight_and_changes_nothing(
    encoder_state: TrainState, voice_batch: VoiceBatch
) -> None:
    voice_encoder_step(encoder_state, [voice_batch], FEATURE_ONLY)  # statistics of batch norm exist
    before = {
        name: value.clone()
        for name, value in encoder_state.modules["voice_encoder"].state_dict().items()
    }
    whole = validate_voice_encoder(encoder_state, [voice_batch], FEATURE_ONLY)
    parts = [VoiceBatch(*(t[rows] for t in voice_batch)) for rows in (slice(0, 3), slice(3, 4))]
    split = validate_voice_encoder(encoder_state, parts, FEATURE_ONLY)
    assert split == pytest.approx(whole, rel=1e-5) and whole.keys() == {"feature", "total"}
    assert encoder_state.modules["voice_encoder"].training and encoder_state.samples_seen == 4
    for name, value in encoder_state.modules["voice_encoder"].state_dict().items():
        assert torch.equal(value, before[name]), name


def test_validation_of_the_decoder_uses_the_names_of_its_training(
    decoder_state: TrainState, face_batch: FaceBatch
) -> None:
    losses = validate_face_decoder(decoder_state, [face_batch], FACE_TERMS)
    assert losses.keys() == {"landmark", "texture", "total"}
    assert losses["total"] == pytest.approx(losses["landmark"] + 100 * losses["texture"])


@pytest.mark.parametrize("temperature", [0.5, 2.0, 7.0])
def test_the_temperature_of_the_settings_is_that_of_the_distillation(
    all_terms: VoiceTerms, voice_batch: VoiceBatch, temperature: float
) -> None:
    target = voice_batch.face_feature
    predicted = target.flip(0)
    terms = replace(all_terms, temperature=temperature)
    assert terms.classifier is not None
    teacher = (terms.classifier(target) / temperature).softmax(dim=1)
    student = (terms.classifier(predicted) / temperature).log_softmax(dim=1)
    by_hand = -(teacher * student).sum(dim=1).mean()
    losses = voice_encoder_losses(predicted, target, terms)
    torch.testing.assert_close(losses["distillation"], by_hand)
