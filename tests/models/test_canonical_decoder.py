"""The embedded model's decoder: linear parts, a surround that is decided, the exported graph."""

import pytest
import torch
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.canonical_decoder import (
    CanonicalFaceDecoder,
    CanonicalFaceDecoderConfig,
    block_means,
    face_places,
)
from speech2face.models.decided_surround import INNER_REACH, SurroundConfig
from speech2face.models.face_region import face_region
from speech2face.models.rounding import rounded_weights

TINY = CanonicalFaceDecoderConfig(
    n_face=5, n_surround=3, surround=SurroundConfig(n_components=4, n_prototypes=6)
)


@pytest.fixture(scope="module")
def decoder(face_landmarks: Tensor) -> CanonicalFaceDecoder:
    """An untrained decoder of the usual size with a shorter code; its prototypes are discs."""
    torch.manual_seed(0)
    made = CanonicalFaceDecoder(TINY, face_landmarks.mean(dim=0))
    made.place_of.copy_(face_places(made.mean_landmarks, TINY))
    nn.init.normal_(made.landmarks.weight, std=0.4)  # 1 pixel
    nn.init.normal_(made.face.weight, std=0.02)
    nn.init.normal_(made.around.weight, std=0.02)
    made.mean_texture.data = 0.3 + 0.4 * smooth(torch.rand(3, 224, 224))
    at = (torch.arange(56) - 27.5) * 4
    made.surround.opacity.bias.data = (
        (0.5 + (75 - at.hypot(at[:, None])) / 20).clamp(0, 1).flatten()
    )
    nn.init.normal_(made.surround.opacity.weight, std=0.05)
    made.surround.prototypes.normal_()
    return made.requires_grad_(False).eval()


def smooth(picture: Tensor) -> Tensor:
    """A face texture is no white noise: average over 9 x 9 pixels."""
    return nn.functional.avg_pool2d(picture, 9, stride=1, padding=4, count_include_pad=False)


def codes(n_faces: int = 3) -> Tensor:
    return torch.randn(n_faces, 8, generator=torch.Generator().manual_seed(1))


def parts_by_hand(decoder: CanonicalFaceDecoder, code: Tensor) -> tuple[Tensor, Tensor]:
    """What is added for the face, its pixels put in place one after another, and around it."""
    drawn = (code[:, :5] @ decoder.face.weight.T).reshape(-1, 3, TINY.n_pixels)
    face = torch.zeros(len(code), 3, 112 * 112)
    inside = (decoder.place_of < TINY.n_pixels).nonzero()[:, 0].tolist()
    for place, pixel in enumerate(inside):
        face[:, :, pixel] = drawn[:, :, place]
    around = (code[:, 5:] @ decoder.around.weight.T).reshape(-1, 3, 56, 56)
    return face.reshape(-1, 3, 112, 112), around


def linear_by_hand(decoder: CanonicalFaceDecoder, code: Tensor) -> Tensor:
    """The linear texture, enlarged by torch."""
    texture = decoder.mean_texture.detach().expand(len(code), -1, -1, -1)
    for part in parts_by_hand(decoder, code):
        texture = texture + nn.functional.interpolate(part, (224, 224), mode="bicubic")
    return texture


def test_landmarks_are_linear_in_the_coordinates_of_the_face(decoder: CanonicalFaceDecoder) -> None:
    code = codes()
    landmarks, _ = decoder.decode_parts(code)
    moved = (code[:, :5] @ decoder.landmarks.weight.T).reshape(3, 68, 2)
    torch.testing.assert_close(landmarks, decoder.mean_landmarks + moved)


def test_before_it_is_decided_the_texture_is_the_linear_one(decoder: CanonicalFaceDecoder) -> None:
    code = codes()
    texture, small = decoder.linear_texture(code[:, :5], code[:, 5:])
    torch.testing.assert_close(texture, linear_by_hand(decoder, code), atol=1e-5, rtol=0)
    face, around = parts_by_hand(decoder, code)
    pool = nn.functional.avg_pool2d
    expected = pool(decoder.mean_texture.detach(), 4) + pool(face, 2) + around
    torch.testing.assert_close(small, expected, atol=1e-5, rtol=0)


def test_inside_the_face_nothing_but_the_linear_texture_is_drawn(
    decoder: CanonicalFaceDecoder,
) -> None:
    """So recognisers, and faces from photos, find the face that they found before."""
    code = codes()
    _, texture = decoder.decode_parts(code)
    inside = face_region(decoder.mean_landmarks, 224, reach=INNER_REACH) > 0.999
    assert inside.sum() > 1000
    linear = linear_by_hand(decoder, code)
    torch.testing.assert_close(texture[:, :, inside], linear[:, :, inside], atol=2e-3, rtol=0)
    assert (texture - linear).abs().max() > 0.2  # and outside it something is decided


def test_the_surround_ends_in_white_ground(decoder: CanonicalFaceDecoder) -> None:
    _, texture = decoder.decode_parts(codes())
    assert (texture[:, :, :8, :8] == 1).all()


def test_every_face_of_a_batch_is_decoded_by_itself(decoder: CanonicalFaceDecoder) -> None:
    code = codes()
    together = decoder(code)
    for row in range(3):
        for alone, batched in zip(decoder(code[row : row + 1]), together, strict=True):
            torch.testing.assert_close(alone[0], batched[row], atol=1e-4, rtol=0)


def test_the_pixels_of_the_face_are_those_that_belong_to_it_most(face_landmarks: Tensor) -> None:
    frame = face_landmarks.mean(dim=0).float()
    places = face_places(frame, TINY)
    inside = places < TINY.n_pixels
    assert int(inside.sum()) == TINY.n_pixels
    assert places[inside].tolist() == list(range(TINY.n_pixels))
    region = face_region(frame / 2, 112, reach=1.0).flatten()
    assert region[inside].min() >= region[~inside].max()


def test_block_means_are_average_pooling() -> None:
    picture = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block_means(picture, 4), nn.functional.avg_pool2d(picture, 3))


def test_all_of_it_travels_with_the_weights(decoder: CanonicalFaceDecoder) -> None:
    restored = CanonicalFaceDecoder(TINY)
    restored.load_state_dict(decoder.state_dict())
    for ours, theirs in zip(restored(codes()), decoder(codes()), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)
@pytest.mark.parametrize("factor", [0.0, 1.0, 3.0])  # exaggerations -1, 0 and 2
def test_exported_decoder_equals_torch(
    factor: float, decoder: CanonicalFaceDecoder, run_in_onnxruntime
) -> None:
    stored, code = rounded_weights(decoder), factor * codes()
    exported = run_in_onnxruntime(stored, (code,))
    for output, reference in zip(exported, stored(code), strict=True):
        torch.testing.assert_close(output, reference, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "change", [{"texture_size": -8}, {"grid_size": 50}, {"n_pixels": 112**2 + 1}, {"n_face": 0}]
)
def test_sizes_out_of_range_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(Speech2FaceError, match="expected"):
        CanonicalFaceDecoderConfig(**change)


def test_a_code_of_another_size_is_refused(decoder: CanonicalFaceDecoder) -> None:
    with pytest.raises(Speech2FaceError, match=r"\(2, 5\).*\[B, 8\]"):
        decoder(torch.zeros(2, 5))
