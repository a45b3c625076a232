"""The decoder of a space gives the landmarks and textures from which codes were made."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from speech2face.errors import Speech2FaceError
from speech2face.models.canonical_decoder import CanonicalFaceDecoder
from speech2face.models.decided_surround import DecidedSurround
from speech2face.training.canonical_space import CanonicalSpace, decoder_of_space
from speech2face.training.recipes.embedded import EmbeddedConfig

SIZE, N_VALUES = 5, 68 * 2 + 3 * 112 * 112
CONFIG = EmbeddedConfig(n_face=3, n_surround=2).decoder


def random_space() -> CanonicalSpace:
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(N_VALUES, generator=generator)
    mean[:136] *= 224
    synthesis = 0.1 * torch.randn(SIZE, N_VALUES, generator=generator)
    return CanonicalSpace(mean, synthesis, torch.zeros(SIZE, N_VALUES), n_face=3)


def surround() -> DecidedSurround:
    torch.manual_seed(0)
    return DecidedSurround(CONFIG.surround, 2, CONFIG.grid_size, CONFIG.image_size)


def made(mean_texture: torch.Tensor) -> CanonicalFaceDecoder:
    return decoder_of_space(random_space(), mean_texture, surround(), CONFIG)


def test_landmarks_and_texture_are_those_of_the_space() -> None:
    """Inside the face all pixels are kept; of the surround, the means over cells."""
    space, mean_texture = random_space(), torch.rand(3, 224, 224)
    decoder = made(mean_texture)
    codes = torch.randn(4, SIZE, generator=torch.Generator().manual_seed(1))
    landmarks, _ = decoder.decode_parts(codes)
    moved = (codes[:, :3] @ space.synthesis[:3, :136]).reshape(4, 68, 2)
    torch.testing.assert_close(landmarks, space.mean[:136].reshape(68, 2) + moved)
    texture, _ = decoder.linear_texture(codes[:, :3], codes[:, 3:])
    face = (codes[:, :3] @ space.synthesis[:3, 136:]).reshape(4, 3, 112, 112)
    face = face * (decoder.place_of < CONFIG.n_pixels).reshape(112, 112)
    around = (codes[:, 3:] @ space.synthesis[3:, 136:]).reshape(4, 3, 112, 112)
    around = F.avg_pool2d(around, 2)
    expected = mean_texture + sum(
        F.interpolate(part, (224, 224), mode="bicubic") for part in (face, around)
    )
    torch.testing.assert_close(texture, expected, atol=1e-5, rtol=1e-5)


def test_code_zero_is_the_mean_face_at_full_detail() -> None:
    mean_texture = torch.rand(3, 224, 224)
    texture, _ = made(mean_texture).linear_texture(torch.zeros(1, 3), torch.zeros(1, 2))
    torch.testing.assert_close(texture[0], mean_texture)


def test_the_surround_is_the_one_that_was_fitted() -> None:
    decoder = made(torch.zeros(3, 224, 224))
    for name, value in surround().state_dict().items():
        assert torch.equal(decoder.surround.state_dict()[name], value)


@pytest.mark.parametrize(
    "change", [{"n_face": 4}, {"n_surround": 3}, {"texture_size": 56, "n_pixels": 9}]
)
def test_a_decoder_of_other_sizes_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(Speech2FaceError, match="cannot undo a code of 3 and 2 coordinates"):
        decoder_of_space(
            random_space(), torch.zeros(3, 224, 224), surround(), replace(CONFIG, **change)
        )
