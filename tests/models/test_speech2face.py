"""The whole model: exaggeration and draws are what Eq. v' = mean + (1 + alpha)(v - mean) says."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.speech2face import Speech2Face

D, R = 6, 3
DECODER = FaceDecoderConfig(
    feature_size=D, hidden_size=12, landmark_widths=(), base_size=7, channels=(4, 4, 4)
)


class Loudness(nn.Module):
    """A stand-in voice encoder: waveforms `[B, L]` to features `[B, D]` that differ by voice."""

    def forward(self, waveform: Tensor) -> Tensor:
        return waveform.reshape(len(waveform), D, -1).mean(dim=2)  # [B, D]


@pytest.fixture
def model() -> Speech2Face:
    torch.manual_seed(0)
    return Speech2Face(Loudness(), FaceDecoder(DECODER), torch.randn(D), torch.randn(R, D)).eval()


@pytest.fixture
def voices() -> Tensor:
    return torch.randn(4, 60, generator=torch.Generator().manual_seed(1))  # [B, L]


NO_DRAW = torch.zeros(1, R)


def alpha(value: float) -> Tensor:
    return torch.tensor([value])


@torch.no_grad()
def test_exaggeration_minus_one_is_the_mean_face_whatever_the_voice(
    model: Speech2Face, voices: Tensor
) -> None:
    faces = model(voices, alpha(-1.0), NO_DRAW)
    mean_face = model.face_decoder(model.mean_feature[None])
    for image, feature, landmarks in zip(*faces, strict=True):
        torch.testing.assert_close(feature, model.mean_feature)
        torch.testing.assert_close(image, mean_face.image[0])
        torch.testing.assert_close(landmarks, mean_face.landmarks[0])


@torch.no_grad()
def test_exaggeration_zero_without_a_draw_is_the_plain_prediction(
    model: Speech2Face, voices: Tensor
) -> None:
    face = model(voices, alpha(0.0), NO_DRAW)
    torch.testing.assert_close(face.feature, model.voice_encoder(voices))
    torch.testing.assert_close(face.image, model.face_decoder(model.voice_encoder(voices)).image)


@torch.no_grad()
@pytest.mark.parametrize("value", [-0.5, 0.7, 1.4, 4.0])
def test_deviation_from_the_mean_grows_linearly_with_the_exaggeration(
    model: Speech2Face, voices: Tensor, value: float
) -> None:
    plain = model(voices, alpha(0.0), NO_DRAW).feature - model.mean_feature
    pushed = model(voices, alpha(value), NO_DRAW).feature - model.mean_feature
    torch.testing.assert_close(pushed, (1 + value) * plain)


@torch.no_grad()
def test_a_draw_moves_the_feature_by_itself_and_is_not_exaggerated(
    model: Speech2Face, voices: Tensor
) -> None:
    draw = torch.tensor([[0.5, -1.0, 2.0]])
    expected = 0.5 * model.spread[0] - model.spread[1] + 2.0 * model.spread[2]
    for value in (-1.0, 0.0, 1.4):
        with_draw = model(voices, alpha(value), draw).feature
        without = model(voices, alpha(value), NO_DRAW).feature
        torch.testing.assert_close(with_draw - without, expected.expand(4, D))


@torch.no_grad()
def test_normal_draws_have_the_covariance_of_the_spread(model: Speech2Face) -> None:
    draws = torch.randn(20_000, R, generator=torch.Generator().manual_seed(2))
    voice = torch.zeros(1, 60).expand(20_000, -1)
    model.face_decoder = nn.Identity()  # type: ignore[assignment]
    model.face_decoder.forward = lambda feature: _NoFace(feature)  # type: ignore[method-assign]
    features = model(voice, alpha(0.0), draws).feature
    expected = model.spread.T @ model.spread
    scale = expected.abs().max().item()
    torch.testing.assert_close(torch.cov(features.T), expected, rtol=0, atol=0.05 * scale)


class _NoFace:
    """What a decoder returns, without decoding."""

    def __init__(self, feature: Tensor) -> None:
        self.image = self.landmarks = feature


@torch.no_grad()
def test_face_is_what_the_decoder_makes_of_the_feature(model: Speech2Face, voices: Tensor) -> None:
    face = model(voices, alpha(1.4), torch.ones(1, R))
    decoded = model.face_decoder(face.feature)
    torch.testing.assert_close(face.image, decoded.image)
    torch.testing.assert_close(face.landmarks, decoded.landmarks)


def test_mean_feature_and_spread_travel_with_the_weights(model: Speech2Face) -> None:
    assert {"mean_feature", "spread"} <= model.state_dict().keys()
    assert not {name for name, _ in model.named_parameters()} & {"mean_feature", "spread"}
