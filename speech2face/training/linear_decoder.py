"""The face decoder that undoes a `CanonicalSpace`: nothing in it is trained by steps."""

import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig, LinearTexture
from speech2face.training.canonical_space import CODED_SIZE, CanonicalSpace


@torch.no_grad()
def decoder_of_space(
    space: CanonicalSpace, mean_texture: Tensor, config: FaceDecoderConfig
) -> FaceDecoder:
    """A decoder whose landmarks and texture are linear in the code, as the space says.

    Its first layer has a ReLU: as (c, -c) it passes a code on undamaged, since
    relu(c) - relu(-c) = c.

    Args:
        space: whose codes it decodes.
        mean_texture: at full size, RGB in 0..1, around which textures vary, `[3, 224, 224]`.
        config: a linear texture of the coded size with a bias a pixel, twice as many hidden units
            as code coordinates, no further landmark layers.

    Raises:
        Speech2FaceError: the sizes are others.
    """
    size = len(space.synthesis)
    fits = (
        (config.feature_size, config.hidden_size) == (size, 2 * size)
        and not config.landmark_widths
        and config.texture_branch == "linear"
        and (config.texture_rank, config.texture_size) == (None, CODED_SIZE)
        and config.texture_bias
    )
    if not fits:
        problem = f"this face decoder cannot undo a code of {size} coordinates"
        raise Speech2FaceError(
            problem,
            f"give feature_size {size}, hidden_size {2 * size}, no landmark_widths, and a linear "
            f"texture of {CODED_SIZE} pixels without rank and with bias",
        )
    decoder = FaceDecoder(config, space.mean_landmarks(config.n_landmarks))
    identity = torch.eye(size)
    decoder.first.weight.copy_(torch.cat([identity, -identity]))
    decoder.first.bias.zero_()
    landmark_map = space.landmark_map(config.n_landmarks)  # [D, N * 2]
    displacement = decoder.landmarks.displacement
    displacement.weight.copy_(torch.cat([landmark_map, -landmark_map]).T)
    displacement.bias.zero_()
    assert isinstance(decoder.texture, LinearTexture) and decoder.texture_bias is not None
    decoder.texture.textures.weight.copy_(space.texture_map(config.n_landmarks).T)
    decoder.texture.textures.bias.zero_()
    decoder.texture_bias.copy_(mean_texture)
    return decoder.requires_grad_(False)
