"""The paper's face decoder: its sizes, what each part decides, and the exported graph."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.face_decoder import (
    FaceDecoder,
    FaceDecoderConfig,
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


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny_decoder(**changes: object) -> FaceDecoder:
    torch.manual_seed(0)
    return FaceDecoder(FaceDecoderConfig(**(vars(TINY) | changes))).eval()


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


def test_parts_are_what_the_whole_face_is_made_of() -> None:
    decoder, feature = tiny_decoder(), random_feature()
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


def test_every_face_of_a_batch_is_decoded_by_itself() -> None:
    decoder, feature = tiny_decoder(), random_feature()
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


def test_changing_the_texture_changes_the_face_and_leaves_the_landmarks() -> None:
    decoder, feature = tiny_decoder(), random_feature()
    nn.init.constant_(decoder.texture.colour.bias, 0.2)
    before = decoder(feature)
    nn.init.constant_(decoder.texture.colour.bias, 0.5)
    after = decoder(feature)
    assert torch.equal(after.landmarks, before.landmarks)
    torch.testing.assert_close(after.texture, before.texture + 0.3)
    assert (after.image - before.image).mean() > 0.2


def test_gradients_of_the_image_reach_every_parameter() -> None:
    decoder = tiny_decoder().train()
    for name, parameter in decoder.named_parameters():
        if name == "texture.colour.bias":
            nn.init.constant_(parameter, 0.5)
    decoder(random_feature(16)).image.square().sum().backward()
    silent = [name for name, p in decoder.named_parameters() if not p.grad.abs().sum() > 0]
    assert silent == []


def test_decoder_overfits_four_faces() -> None:
    wider = {"hidden_size": 32, "channels": (16, 16, 16)}
    decoder, feature = tiny_decoder(**wider), random_feature(4)
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


def test_mean_landmarks_travel_with_the_weights() -> None:
    mean = 16 * torch.rand(7, 2, generator=torch.Generator().manual_seed(4))
    trained, restored = FaceDecoder(TINY, mean_landmarks=mean), FaceDecoder(TINY)
    assert not torch.equal(restored.mean_landmarks, mean)
    restored.load_state_dict(trained.state_dict())
    assert torch.equal(restored.mean_landmarks, mean)


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)
@pytest.mark.parametrize("flow_stride", [1, 4])
def test_exported_decoder_equals_torch(
    flow_stride: int, face_landmarks: Tensor, run_in_onnxruntime
) -> None:
    torch.manual_seed(0)
    mean, warp = face_landmarks.mean(dim=0), WarpConfig(flow_stride=flow_stride)
    sizes = {"channels": (16, 8, 8, 4, 4), "landmark_widths": (16,), "hidden_size": 24}
    decoder = FaceDecoder(FaceDecoderConfig(feature_size=32, warp=warp, **sizes), mean)
    nn.init.normal_(decoder.landmarks.displacement.bias, std=1.0)  # pixels
    feature = random_feature(1, size=32)
    with torch.no_grad():
        expected = decoder(feature)
    exported = run_in_onnxruntime(decoder, (feature,))
    for output, reference in zip(exported, expected, strict=True):
        torch.testing.assert_close(output, reference, rtol=0, atol=1e-4)


@pytest.mark.parametrize("change", [{"hidden_size": 0}, {"channels": (8, 0)}, {"channels": ()}])
def test_sizes_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(Speech2FaceError, match="expected"):
        tiny_decoder(**change)


def test_a_feature_of_another_size_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"\(2, 5\).*\[B, 6\]"):
        tiny_decoder()(torch.zeros(2, 5))


def test_mean_landmarks_of_another_scheme_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"\[7, 2\]"):
        FaceDecoder(TINY, mean_landmarks=torch.zeros(68, 2))
