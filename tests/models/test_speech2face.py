"""The whole model: v' = mean + (1 + alpha)(v_s - mean) + z S, then the decoder."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.speech2face import FaceDrawing, Speech2Face

D, R = 6, 3
DECODER = FaceDecoderConfig(
    feature_size=D, hidden_size=12, landmark_widths=(), base_size=7, channels=(4, 4, 4)
)


class Loudness(nn.Module):
    """A stand-in voice encoder: waveforms `[B, L]` to features `[B, D]` that differ by voice."""

    def forward(self, waveform: Tensor) -> Tensor:
        return waveform.reshape(len(waveform), D, -1).mean(dim=2)  # [B, D]


@pytest.fixture
def draws() -> FaceDrawing:
    torch.manual_seed(0)
    return FaceDrawing(FaceDecoder(DECODER), torch.randn(D), torch.randn(R, D)).eval()


@pytest.fixture
def features() -> Tensor:
    return torch.randn(4, D, generator=torch.Generator().manual_seed(1))  # [N, D]


def alpha(value: float, n_faces: int = 4) -> Tensor:
    return torch.full((n_faces,), value)


def no_draw(n_faces: int = 4) -> Tensor:
    return torch.zeros(n_faces, R)


@torch.no_grad()
def test_exaggeration_minus_one_is_the_mean_face_whatever_the_voice(
    draws: FaceDrawing, features: Tensor
) -> None:
    faces = draws(features, alpha(-1.0), no_draw())
    mean_face = draws.face_decoder(draws.mean_feature[None])
    for image, landmarks, feature in zip(*faces, strict=True):
        torch.testing.assert_close(feature, draws.mean_feature)
        torch.testing.assert_close(image, mean_face.image[0])
        torch.testing.assert_close(landmarks, mean_face.landmarks[0])


@torch.no_grad()
def test_exaggeration_zero_without_a_draw_is_the_plain_prediction(
    draws: FaceDrawing, features: Tensor
) -> None:
    faces = draws(features, alpha(0.0), no_draw())
    torch.testing.assert_close(faces.feature, features)
    torch.testing.assert_close(faces.image, draws.face_decoder(features).image)


@torch.no_grad()
@pytest.mark.parametrize("value", [-0.5, 0.7, 1.4, 4.0])
def test_deviation_from_the_mean_grows_linearly_with_the_exaggeration(
    draws: FaceDrawing, features: Tensor, value: float
) -> None:
    pushed = draws(features, alpha(value), no_draw()).feature - draws.mean_feature
    torch.testing.assert_close(pushed, (1 + value) * (features - draws.mean_feature))


@torch.no_grad()
def test_a_draw_moves_the_feature_by_itself_and_is_not_exaggerated(
    draws: FaceDrawing, features: Tensor
) -> None:
    draw = torch.tensor([[0.5, -1.0, 2.0]]).expand(4, R)
    expected = 0.5 * draws.spread[0] - draws.spread[1] + 2.0 * draws.spread[2]
    for value in (-1.0, 0.0, 1.4):
        with_draw = draws(features, alpha(value), draw).feature
        without = draws(features, alpha(value), no_draw()).feature
        torch.testing.assert_close(with_draw - without, expected.expand(4, D))


@torch.no_grad()
@pytest.mark.parametrize("value", [-0.5, 0.0, 1.4])
def test_one_draw_around_two_voices_differs_by_what_is_heard_in_them(
    draws: FaceDrawing, features: Tensor, value: float
) -> None:
    draw = torch.randn(1, R, generator=torch.Generator().manual_seed(3)).expand(4, R)
    drawn = draws(features, alpha(value), draw).feature
    torch.testing.assert_close(drawn[:1] - drawn[1:], (1 + value) * (features[:1] - features[1:]))


@torch.no_grad()
def test_each_row_has_its_own_exaggeration_and_draw(draws: FaceDrawing, features: Tensor) -> None:
    alphas = torch.tensor([-1.0, 0.0, 0.7, 1.4])
    draw = torch.randn(4, R, generator=torch.Generator().manual_seed(4))
    together = draws(features, alphas, draw)
    for row in range(4):
        one = slice(row, row + 1)
        alone = draws(features[one], alphas[one], draw[one])
        for both, single in zip(together, alone, strict=True):
            torch.testing.assert_close(both[one], single)


@torch.no_grad()
def test_normal_draws_have_the_covariance_of_the_spread(draws: FaceDrawing) -> None:
    n_draws = 20_000
    normal = torch.randn(n_draws, R, generator=torch.Generator().manual_seed(2))
    draws.face_decoder = nn.Identity()  # type: ignore[assignment]
    draws.face_decoder.forward = lambda feature: _NoFace(feature)  # type: ignore[method-assign]
    features = draws(torch.zeros(n_draws, D), alpha(0.0, n_draws), normal).feature
    expected = draws.spread.T @ draws.spread
    scale = expected.abs().max().item()
    torch.testing.assert_close(torch.cov(features.T), expected, rtol=0, atol=0.05 * scale)


class _NoFace:
    """What a decoder returns, without decoding."""

    def __init__(self, feature: Tensor) -> None:
        self.image = self.landmarks = feature


@torch.no_grad()
def test_face_is_what_the_decoder_makes_of_the_feature(
    draws: FaceDrawing, features: Tensor
) -> None:
    faces = draws(features, alpha(1.4), torch.ones(4, R))
    decoded = draws.face_decoder(faces.feature)
    torch.testing.assert_close(faces.image, decoded.image)
    torch.testing.assert_close(faces.landmarks, decoded.landmarks)


@torch.no_grad()
def test_the_whole_model_draws_what_it_hears(draws: FaceDrawing) -> None:
    model = Speech2Face(Loudness(), draws)
    voices = torch.randn(4, 60, generator=torch.Generator().manual_seed(5))
    whole = model(voices, alpha(0.7), torch.ones(4, R))
    parts = draws(Loudness()(voices), alpha(0.7), torch.ones(4, R))
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one, other)
    assert (model.feature_size, model.draw_size) == (D, R)


def test_mean_feature_and_spread_travel_with_the_weights(draws: FaceDrawing) -> None:
    assert {"mean_feature", "spread"} <= draws.state_dict().keys()
    assert not {name for name, _ in draws.named_parameters()} & {"mean_feature", "spread"}
