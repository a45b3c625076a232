"""A decoder made of a space: codes come back as the landmarks and textures they were made from."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from speech2face.errors import Speech2FaceError
from speech2face.training.canonical_space import CanonicalSpace, decoder_of_space
from speech2face.training.recipes.embedded import EmbeddedConfig

SIZE, N_VALUES = 5, 68 * 2 + 3 * 112 * 112
CONFIG = replace(EmbeddedConfig(n_face=3, n_surround=2).decoder, white_below=0.0)


def random_space() -> CanonicalSpace:
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(N_VALUES, generator=generator)
    mean[:136] *= 224
    synthesis = 0.1 * torch.randn(SIZE, N_VALUES, generator=generator)
    return CanonicalSpace(mean, synthesis, torch.zeros(SIZE, N_VALUES), n_face=3)


def test_landmarks_and_texture_are_those_of_the_space() -> None:
    space, mean_texture = random_space(), torch.rand(3, 224, 224)
    decoder = decoder_of_space(space, mean_texture, CONFIG)
    codes = torch.randn(4, SIZE, generator=torch.Generator().manual_seed(1))
    landmarks, texture = decoder.decode_parts(codes)
    moved = (codes @ space.synthesis[:, :136]).reshape(4, 68, 2)
    torch.testing.assert_close(landmarks, space.mean[:136].reshape(68, 2) + moved)
    drawn = (codes @ space.synthesis[:, 136:]).reshape(4, 3, 112, 112)
    halved = F.avg_pool2d(texture - mean_texture, 2)
    smooth = F.avg_pool2d(F.interpolate(drawn, (224, 224), mode="bicubic"), 2)
    torch.testing.assert_close(halved, smooth, atol=1e-5, rtol=1e-5)


def test_code_zero_is_the_mean_face_at_full_detail() -> None:
    mean_texture = torch.rand(3, 224, 224)
    decoder = decoder_of_space(random_space(), mean_texture, CONFIG)
    torch.testing.assert_close(decoder.decode_parts(torch.zeros(1, SIZE))[1][0], mean_texture)


@pytest.mark.parametrize("change", [{"feature_size": 6}, {"texture_size": 56}])
def test_a_decoder_of_other_sizes_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(Speech2FaceError, match="cannot undo a code of 5 coordinates"):
        decoder_of_space(random_space(), torch.zeros(3, 224, 224), replace(CONFIG, **change))
