"""The face decoders: the paper's sizes, what each part decides, and the exported graph."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.face_decoder import (
    FaceDecoder,
    FaceDecoderConfig,
    LinearFaceDecoder,
    LinearFaceDecoderConfig,
    WarpingFaceDecoder,
    whiten_background,
)
from speech2face.models.warp import WarpConfig, warp_image

TINY = FaceDecoderConfig(
    feature_size=6,
    hidden_size=10,
    n_landmarks=7,
    landmark_widths=(8,),
    base_size=4,
    channels=(8, 6, 4),  # 4 to 16 pixels
)
LINEAR = LinearFaceDecoderConfig(feature_size=6, n_landmarks=7, texture_size=8, image_size=16)
KINDS = pytest.mark.parametrize("kind", ["paper", "linear"])


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny_decoder(**changes: object) -> FaceDecoder:
    torch.manual_seed(0)
    return FaceDecoder(FaceDecoderConfig(**(vars(TINY) | changes))).eval()


def linear_decoder(mean_landmarks: Tensor | None = None, **changes: object) -> LinearFaceDecoder:
    torch.manual_seed(0)
    config = LinearFaceDecoderConfig(**(vars(LINEAR) | changes))
    return LinearFaceDecoder(config, mean_landmarks).eval()


def of_kind(kind: str, **changes: object) -> WarpingFaceDecoder:
    return tiny_decoder(**changes) if kind == "paper" else linear_decoder(**changes)


def random_feature(n_faces: int = 3, size: int = 6) -> Tensor:
    return torch.randn(n_faces, size, generator=torch.Generator().manual_seed(1))


def test_paper_configuration_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        decoder = FaceDecoder()
    assert n_parameters(decoder.first) == 4_097_000
    assert n_parameters(decoder.texture.project) == 50_226_176
    assert n_parameters(decoder.texture.doublings) == 1_101_056
    assert n_parameters(decoder.texture.colour) == 99
    assert decoder.config.image_size == 224


def test_paper_texture_doubles_from_14_to_224_pixels() -> None:
    with torch.device("meta"):
        texture = FaceDecoder().texture
        maps = []
        for layer in [*texture.doublings, texture.colour]:
            layer.register_forward_hook(lambda *call: maps.append(tuple(call[2].shape[1:])))
        texture(torch.empty(1, 1000))
    assert maps == [(128, 28, 28), (64, 56, 56), (32, 112, 112), (32, 224, 224), (3, 224, 224)]


def test_first_layer_is_the_rectified_linear_map_of_eq_1() -> None:
    decoder, feature = tiny_decoder(), random_feature()
    by_hand = (feature @ decoder.first.weight.T + decoder.first.bias).clamp(min=0)
    torch.testing.assert_close(decoder.first_layer(feature), by_hand)
    assert (by_hand == 0).any()


@KINDS
def test_parts_are_what_the_whole_face_is_made_of(kind: str) -> None:
    decoder, feature = of_kind(kind), random_feature()
    landmarks, texture = decoder.decode_parts(feature)
    face = decoder(feature)
    assert torch.equal(landmarks, face.landmarks) and torch.equal(texture, face.texture)
    warped = warp_image(texture, decoder.mean_landmarks, landmarks, config=decoder.warp)
    torch.testing.assert_close(face.image, warped.clamp(0, 1))


def test_a_texture_is_rendered_from_the_rectified_first_map() -> None:
    branch = tiny_decoder().texture
    activation = random_feature(size=10)
    first_map = (activation @ branch.project.weight.T + branch.project.bias).clamp(min=0)
    rendered = branch.render(first_map.reshape(3, 8, 4, 4))
    torch.testing.assert_close(rendered, branch(activation))
    assert rendered.shape == (3, 3, 16, 16)


@KINDS
def test_every_face_of_a_batch_is_decoded_by_itself(kind: str) -> None:
    decoder, feature = of_kind(kind), random_feature()
    together = decoder(feature)
    for index in range(3):
        for alone, batched in zip(decoder(feature[index : index + 1]), together, strict=True):
            torch.testing.assert_close(alone[0], batched[index])


def test_untrained_decoder_returns_landmarks_near_the_mean() -> None:
    mean = 16 * torch.rand(7, 2, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    decoder = FaceDecoder(TINY, mean_landmarks=mean)
    assert (decoder(random_feature()).landmarks - mean).abs().max() < 1.0  # pixel


def test_landmarks_at_the_mean_leave_the_texture_in_place() -> None:
    decoder = tiny_decoder()
    zero_displacement(decoder)
    face = decoder(random_feature())
    torch.testing.assert_close(face.landmarks, decoder.mean_landmarks.expand(3, -1, -1))
    torch.testing.assert_close(face.image, face.texture.clamp(0, 1), rtol=0, atol=1e-5)


def zero_displacement(decoder: FaceDecoder) -> None:
    nn.init.zeros_(decoder.landmarks.displacement.weight)
    nn.init.zeros_(decoder.landmarks.displacement.bias)


def test_moving_landmarks_moves_the_face_and_leaves_the_texture() -> None:
    decoder, feature = linear_decoder(), torch.ones(3, 6)
    nn.init.uniform_(decoder.mean_texture)
    nn.init.zeros_(decoder.landmarks.weight)
    before = decoder(feature)
    nn.init.constant_(decoder.landmarks.weight, 0.25)  # 6 times 0.25: 1.5 pixels
    after = decoder(feature)
    assert torch.equal(after.texture, before.texture)
    torch.testing.assert_close(after.landmarks, before.landmarks + 1.5)
    assert (after.image - before.image).abs().mean() > 0.02


def test_changing_the_texture_changes_the_face_and_leaves_the_landmarks() -> None:
    decoder, feature = tiny_decoder(), random_feature()
    nn.init.constant_(decoder.texture.colour.bias, 0.2)
    before = decoder(feature)
    nn.init.constant_(decoder.texture.colour.bias, 0.5)
    after = decoder(feature)
    assert torch.equal(after.landmarks, before.landmarks)
    torch.testing.assert_close(after.texture, before.texture + 0.3)
    assert (after.image - before.image).mean() > 0.2


def test_convention_image_is_within_0_and_1_and_texture_may_leave_it() -> None:
    decoder = linear_decoder()
    nn.init.uniform_(decoder.mean_texture, -1.0, 2.0)
    face = decoder(random_feature())
    assert face.texture.min() < 0 and face.texture.max() > 1
    assert face.image.min() >= 0 and face.image.max() <= 1


@KINDS
def test_gradients_of_the_image_reach_every_parameter(kind: str) -> None:
    decoder = of_kind(kind).train()
    for name, parameter in decoder.named_parameters():
        if name in ("texture.colour.bias", "mean_texture"):
            nn.init.constant_(parameter, 0.5)
    decoder(random_feature(16)).image.square().sum().backward()
    silent = [name for name, p in decoder.named_parameters() if not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("kind", ["paper", "linear"])
def test_decoder_overfits_four_faces(kind: str) -> None:
    wider = {"hidden_size": 32, "channels": (16, 16, 16)} if kind == "paper" else {}
    decoder, feature = of_kind(kind, **wider), random_feature(4)
    generator = torch.Generator().manual_seed(3)
    texture = torch.rand(4, 3, 1, 1, generator=generator).expand(-1, -1, 16, 16)  # four colours
    landmarks = decoder.mean_landmarks + torch.randn(4, 7, 2, generator=generator)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
    for _ in range(300):
        face = decoder(feature)
        loss = (face.texture - texture).abs().mean() + (face.landmarks - landmarks).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (decoder(feature).landmarks - landmarks).square().mean() < 0.01
    assert (decoder(feature).texture - texture).abs().mean() < 0.05  # one mean face for all: 0.25


def test_landmarks_and_texture_of_the_linear_decoder_are_linear_in_the_feature() -> None:
    decoder = linear_decoder()
    nn.init.uniform_(decoder.mean_texture)
    first, second = random_feature(2).split(1)
    for halfway, one, other in zip(
        decoder.decode_parts(0.25 * first + 0.75 * second),
        decoder.decode_parts(first),
        decoder.decode_parts(second),
        strict=True,
    ):
        torch.testing.assert_close(halfway, 0.25 * one + 0.75 * other)


def test_feature_zero_is_the_mean_face_of_the_linear_decoder() -> None:
    decoder = linear_decoder()
    nn.init.uniform_(decoder.mean_texture)
    landmarks, texture = decoder.decode_parts(torch.zeros(1, 6))
    assert torch.equal(landmarks[0], decoder.mean_landmarks)
    assert torch.equal(texture[0], decoder.mean_texture)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_a_small_linear_texture_is_enlarged_to_the_image(size: int) -> None:
    decoder = linear_decoder(texture_size=size)
    assert n_parameters(decoder.texture) == 6 * 3 * size * size
    grey = torch.tensor([0.2, 0.5, 0.9])
    with torch.no_grad():
        decoder.texture.weight.copy_(grey.repeat_interleave(size * size)[:, None] / 6)
    texture = decoder(torch.ones(2, 6)).texture
    torch.testing.assert_close(texture, grey[:, None, None].expand(2, 3, 16, 16))


def test_enlarging_keeps_left_left_and_the_drawn_values_in_the_mean() -> None:
    decoder = linear_decoder()
    ramp = torch.linspace(0.1, 0.9, 8).expand(3, 8, 8)
    with torch.no_grad():
        decoder.texture.weight.copy_(ramp.flatten()[:, None] / 6)
    texture = decoder(torch.ones(1, 6)).texture[0]
    halved = nn.functional.avg_pool2d(texture, 2)
    torch.testing.assert_close(halved[..., 2:-2], ramp[..., 2:-2], atol=0.01, rtol=0)


def test_background_is_whitened_by_hand_worked_values() -> None:
    """Darkness 0.1 of a threshold of 0.4: smoothstep(1/4) = 3/16 - 2/64 = 0.15625 of it stays."""
    texture = torch.ones(1, 3, 1, 4)
    texture[0, 1] = torch.tensor([[1.0, 0.9, 0.6, 0.2]])  # the darkest channel decides
    texture[0, 0] = torch.tensor([[1.0, 0.96, 0.8, 0.2]])
    outside = whiten_background(texture, torch.zeros(1, 4), 0.4)
    expected = torch.tensor([1.0, 1 - 0.1 * 0.15625, 0.6, 0.2])
    torch.testing.assert_close(outside[0, 1, 0], expected)
    expected = torch.tensor([1.0, 1 - 0.04 * 0.15625, 0.8, 0.2])
    torch.testing.assert_close(outside[0, 0, 0], expected)
    torch.testing.assert_close(whiten_background(texture, torch.ones(1, 4), 0.4), texture)
    half = whiten_background(texture, torch.full((1, 4), 0.5), 0.4)
    torch.testing.assert_close(half, (texture + outside) / 2)


def test_whitening_never_darkens_and_never_turns_an_order_round() -> None:
    generator = torch.Generator().manual_seed(5)
    texture = torch.rand(2, 3, 16, 16, generator=generator)
    cleared = whiten_background(texture, torch.zeros(16, 16), 0.4)
    assert (cleared >= texture).all()
    grey = torch.linspace(1, 0, 50).expand(1, 3, 1, 50)
    assert (whiten_background(grey, torch.zeros(1, 50), 0.4).diff(dim=-1) <= 0).all()


def test_only_the_background_is_whitened() -> None:
    mean = torch.rand(7, 2, generator=torch.Generator().manual_seed(4)) * 6 + 5
    decoder = linear_decoder(mean, white_below=0.5, face_reach=0.5)
    nn.init.constant_(decoder.mean_texture, 0.9)
    texture = decoder.decode_parts(torch.zeros(1, 6))[1][0].detach()
    centre = (mean.amin(dim=0) + mean.amax(dim=0)).div(2).round().int().tolist()
    assert float(texture[0, centre[1], centre[0]]) == pytest.approx(0.9, abs=1e-3)
    assert texture[:, 0, 0].min() > 0.98


def test_mean_landmarks_travel_with_the_weights() -> None:
    mean = 16 * torch.rand(7, 2, generator=torch.Generator().manual_seed(4))
    trained, restored = FaceDecoder(TINY, mean_landmarks=mean), FaceDecoder(TINY)
    assert not torch.equal(restored.mean_landmarks, mean)
    restored.load_state_dict(trained.state_dict())
    assert torch.equal(restored.mean_landmarks, mean)


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)
@KINDS
@pytest.mark.parametrize("flow_stride", [1, 4])
def test_exported_decoder_equals_torch(
    kind: str, flow_stride: int, face_landmarks: Tensor, run_in_onnxruntime
) -> None:
    torch.manual_seed(0)
    mean, warp = face_landmarks.mean(dim=0), WarpConfig(flow_stride=flow_stride)
    if kind == "paper":
        sizes = {"channels": (16, 8, 8, 4, 4), "landmark_widths": (16,), "hidden_size": 24}
        config = FaceDecoderConfig(feature_size=32, warp=warp, **sizes)
        decoder = FaceDecoder(config, mean)
        nn.init.normal_(decoder.landmarks.displacement.bias, std=1.0)  # pixels
    else:
        config = LinearFaceDecoderConfig(feature_size=32, white_below=0.4, warp=warp)
        decoder = LinearFaceDecoder(config, mean)
        nn.init.normal_(decoder.landmarks.weight, std=0.2)  # 1 pixel
        nn.init.normal_(decoder.texture.weight, std=0.02)
        decoder.mean_texture.data = smooth(torch.rand(3, 224, 224))
    feature = random_feature(1, size=32)
    with torch.no_grad():
        expected = decoder(feature)
    exported = run_in_onnxruntime(decoder, (feature,))
    for output, reference in zip(exported, expected, strict=True):
        torch.testing.assert_close(output, reference, rtol=0, atol=1e-4)


def smooth(picture: Tensor) -> Tensor:
    """A face texture is no white noise: average over 9 x 9 pixels."""
    return nn.functional.avg_pool2d(picture, 9, stride=1, padding=4)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("paper", {"hidden_size": 0}, "positive"),
        ("paper", {"channels": (8, 0)}, "positive"),
        ("paper", {"channels": ()}, "positive"),
        ("linear", {"texture_size": -8}, "positive"),
        ("linear", {"white_below": 1.0}, "darkness"),
        ("linear", {"white_below": -0.1}, "darkness"),
        ("linear", {"face_reach": 0.0}, "positive"),
    ],
)
def test_sizes_out_of_range_are_refused(kind: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(Speech2FaceError, match=message):
        of_kind(kind, **change)


@KINDS
def test_a_feature_of_another_size_is_refused(kind: str) -> None:
    with pytest.raises(Speech2FaceError, match=r"\(2, 5\).*\[B, 6\]"):
        of_kind(kind)(torch.zeros(2, 5))


def test_mean_landmarks_of_another_scheme_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"\[7, 2\]"):
        FaceDecoder(TINY, mean_landmarks=torch.zeros(68, 2))
