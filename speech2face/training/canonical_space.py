"""The code of a canonical face: principal components of the face, and others of its surround.

This is the face feature of the compact model, in place of VGG-Face's feature: the voice encoder
predicts it and the decoder decodes it. The mean face has code 0, and `1 + alpha` times a code is
the same face exaggerated. It is learned from frontal, neutral renders on white, without a
recogniser, so that recognisers stay independent judges.

Face and surround have separate coordinates. Hair and shoulders vary most, but people are recognised
by the part between eyebrows and chin. If the components were common, details of a face would be
mixed with hair of individual people, and a prediction that strengthens those details would also
draw traces of such hair around the face.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.models.canonical_decoder import (
    CanonicalFaceDecoder,
    CanonicalFaceDecoderConfig,
    block_means,
    face_places,
)
from speech2face.models.decided_surround import DecidedSurround
from speech2face.models.face_region import face_region

CODED_SIZE = 112  # pixels: textures are coded at half size


@dataclass(frozen=True)
class CanonicalSpace:
    """Linear map between a canonical face and its code.

    Attributes:
        mean: mean of the landmarks in pixels and of the coded texture in 0..1, one after the other,
            `[P]`.
        synthesis: what one unit of each coordinate adds to them, `[D, P]`.
        analysis: the inner products of its rows with a deviation from the mean are the code,
            `[D, P]`.
        n_face: the first `n_face` coordinates belong to the face, the others to the surround.
    """

    mean: Tensor
    synthesis: Tensor
    analysis: Tensor
    n_face: int

    def encode(self, landmarks: Tensor, textures: Tensor) -> Tensor:
        """Codes `[B, D]` of landmarks `[B, 68, 2]` in pixels and textures `[B, 3, 224, 224]`."""
        return (_flatten(landmarks, textures) - self.mean) @ self.analysis.T

    def landmark_map(self, n_landmarks: int) -> Tensor:
        """What one unit of each coordinate adds to the landmarks, in pixels, `[D, N * 2]`."""
        return self.synthesis[:, : n_landmarks * 2]

    def texture_map(self, n_landmarks: int) -> Tensor:
        """What one unit of each coordinate adds to the coded texture, `[D, 3 * 112 * 112]`."""
        return self.synthesis[:, n_landmarks * 2 :]

    def mean_landmarks(self, n_landmarks: int) -> Tensor:
        """Landmarks of the mean face, in pixels, `[N, 2]`."""
        return self.mean[: n_landmarks * 2].reshape(n_landmarks, 2)


def fit_canonical_space(
    landmarks: Tensor,
    textures: Tensor,
    *,
    n_face: int,
    n_surround: int,
    landmark_share: float,
    reach: float,
) -> CanonicalSpace:
    """Principal components of faces, and of their surrounds.

    With r the region of the face, a texture t is r t + (1 - r) t. The first part is coded together
    with the landmarks, the second separately, and the texture is the sum of both decoded parts.

    Args:
        landmarks: in pixels, `[M, 68, 2]`.
        textures: uint8 or float in 0..1, warped to the mean landmarks, `[M, 3, 224, 224]`.
        n_face: number of coordinates of landmarks and face.
        n_surround: number of coordinates of hair, shoulders and background. The sum of both numbers
            is less than M.
        landmark_share: variance of all landmarks, divided by the variance of the face's texture.
        reach: size of the face's region, see `face_region`.

    Raises:
        Speech2FaceError: M faces are too few for so many coordinates.
    """
    if n_face + n_surround >= len(landmarks):
        problem = f"{len(landmarks)} faces for a code of {n_face + n_surround} coordinates"
        raise Speech2FaceError(problem, "give more faces, or a shorter code")
    n_points = landmarks.shape[1] * 2
    faces = _flatten(landmarks, textures)  # [M, P]
    mean = faces.mean(dim=0)
    faces -= mean
    frame = mean[:n_points].reshape(-1, 2) * CODED_SIZE / textures.shape[-1]  # [68, 2]
    region = face_region(frame, CODED_SIZE, reach=reach).flatten().repeat(3)  # [P - n_points]
    variance = faces.square().mean(dim=0)  # [P]
    points_unit = (variance[:n_points].sum() / landmark_share).sqrt().expand(n_points)
    face_unit = (variance[n_points:] * region.square()).sum().sqrt().expand_as(region)
    surround_unit = (variance[n_points:] * (1 - region).square()).sum().sqrt().expand_as(region)
    blocks = (
        (n_face, torch.cat([torch.ones(n_points), region]), torch.cat([points_unit, face_unit])),
        (
            n_surround,
            torch.cat([torch.zeros(n_points), 1 - region]),
            torch.cat([points_unit, surround_unit]),
        ),
    )
    synthesis, analysis = [], []
    for size, part, unit in blocks:
        components = _principal_components(faces * (part / unit), size)  # [size, P]
        synthesis.append(components * unit)
        analysis.append(components * (part / unit))
    return CanonicalSpace(mean, torch.cat(synthesis), torch.cat(analysis), n_face)


@torch.no_grad()
def decoder_of_space(
    space: CanonicalSpace,
    mean_texture: Tensor,
    surround: DecidedSurround,
    config: CanonicalFaceDecoderConfig,
) -> CanonicalFaceDecoder:
    """The face decoder that inverts the coding. Its weights are computed, not trained in steps.

    Args:
        space: the space whose codes it decodes.
        mean_texture: the texture of the mean face at full size, RGB in 0..1, `[3, 224, 224]`.
        surround: the surround, fitted to codes of this space, with the sizes of `config`.
        config: sizes of the decoder; they must be those of the space.

    Raises:
        Speech2FaceError: `config` has other sizes than the space.
    """
    sizes = (space.n_face, len(space.synthesis) - space.n_face, CODED_SIZE)
    if (config.n_face, config.n_surround, config.texture_size) != sizes:
        problem = f"this face decoder cannot undo a code of {sizes[0]} and {sizes[1]} coordinates"
        remedy = "give n_face, n_surround and texture_size as {}, {} and {}".format(*sizes)
        raise Speech2FaceError(problem, remedy)
    decoder = CanonicalFaceDecoder(config, space.mean_landmarks(config.n_landmarks))
    decoder.place_of.copy_(face_places(decoder.mean_landmarks, config))
    inside = decoder.place_of < config.n_pixels  # [112 * 112]
    maps = space.texture_map(config.n_landmarks).reshape(-1, 3, CODED_SIZE * CODED_SIZE)
    around = maps[space.n_face :].reshape(-1, 3, CODED_SIZE, CODED_SIZE)
    decoder.landmarks.weight.copy_(space.landmark_map(config.n_landmarks)[: space.n_face].T)
    decoder.face.weight.copy_(maps[: space.n_face, :, inside].flatten(1).T)
    decoder.around.weight.copy_(block_means(around, config.grid_size).flatten(1).T)
    decoder.mean_texture.copy_(mean_texture)
    decoder.surround.load_state_dict(surround.state_dict())
    return decoder.requires_grad_(False)


def _principal_components(rows: Tensor, size: int) -> Tensor:
    """The first orthonormal directions `[size, P]` of centred rows `[M, P]`."""
    # The Gram matrix of M faces is far smaller than the covariance of P values.
    values, vectors = torch.linalg.eigh(rows @ rows.T)  # ascending
    values, vectors = values[-size:].flip(0), vectors[:, -size:].flip(1)
    components: Tensor = (vectors / values.sqrt()).T @ rows
    return components


def _flatten(landmarks: Tensor, textures: Tensor) -> Tensor:
    """Landmarks, then textures at half size, as float32 rows `[B, P]`."""
    small = [
        F.interpolate(part.float(), size=(CODED_SIZE, CODED_SIZE), mode="area").flatten(1)
        / (255.0 if textures.dtype == torch.uint8 else 1.0)
        for part in textures.split(64)
    ]
    return torch.cat([landmarks.flatten(1).float(), torch.cat(small)], dim=1)
