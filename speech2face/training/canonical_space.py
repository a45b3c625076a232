"""The code of a canonical face: principal components of the face, then of what surrounds it.

This is the face feature of the compact model. It plays VGG-Face's part: what the voice encoder
predicts, what the decoder decodes, and a space in which the mean face lies at the origin and
`1 + alpha` times a face is the same face exaggerated. It is learned from renders (frontal, neutral,
on white), not from a recogniser, so that recognisers remain independent judges.

Face and surround have coordinates of their own. Hair and shoulders vary most, but people are told
apart by what lies between brows and chin: in common components the details of a face come with
wisps of somebody's hair, and a prediction that brings out those details draws ghosts around it.
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
        mean: of landmarks in pixels and coded texture in 0..1, side by side, `[P]`.
        synthesis: what a unit of each coordinate adds to them, `[D, P]`.
        analysis: whose inner products with a deviation from the mean are its code, `[D, P]`.
        n_face: how many coordinates, the first ones, are of the face; the rest is the surround's.
    """

    mean: Tensor
    synthesis: Tensor
    analysis: Tensor
    n_face: int

    def encode(self, landmarks: Tensor, textures: Tensor) -> Tensor:
        """Codes `[B, D]` of landmarks `[B, 68, 2]` in pixels and textures `[B, 3, 224, 224]`."""
        return (_flatten(landmarks, textures) - self.mean) @ self.analysis.T

    def landmark_map(self, n_landmarks: int) -> Tensor:
        """What a unit of each coordinate adds to the landmarks, pixels, `[D, N * 2]`."""
        return self.synthesis[:, : n_landmarks * 2]

    def texture_map(self, n_landmarks: int) -> Tensor:
        """What a unit of each coordinate adds to the coded texture, `[D, 3 * 112 * 112]`."""
        return self.synthesis[:, n_landmarks * 2 :]

    def mean_landmarks(self, n_landmarks: int) -> Tensor:
        """Landmarks of code zero, pixels, `[N, 2]`."""
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
    """Principal components of faces, and of what surrounds them.

    With r the region of the face, a texture t is r t + (1 - r) t: the first part is coded with the
    landmarks, the second by itself, and the two decoded parts add up to the texture.

    Args:
        landmarks: in pixels, `[M, 68, 2]`.
        textures: uint8 or float in 0..1, in the frame of the mean landmarks, `[M, 3, 224, 224]`.
        n_face: coordinates of landmarks and face.
        n_surround: coordinates of hair, shoulders and ground. Together they are fewer than M.
        landmark_share: variance of all landmarks over variance of the face's texture.
        reach: of the face, see `face_region`.

    Raises:
        Speech2FaceError: M faces do not span so many directions around their mean.
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
    """The face decoder that undoes the coding; nothing in it is trained by steps.

    Args:
        space: whose codes it decodes.
        mean_texture: the texture of code zero at full size, RGB in 0..1, `[3, 224, 224]`.
        surround: fitted to codes of this space, of the sizes of `config`.
        config: of the coordinates of the code, and textures of the coded size.

    Raises:
        Speech2FaceError: the sizes are others.
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
    """Landmarks and half-size textures side by side, float32, `[B, P]`."""
    small = [
        F.interpolate(part.float(), size=(CODED_SIZE, CODED_SIZE), mode="area").flatten(1)
        / (255.0 if textures.dtype == torch.uint8 else 1.0)
        for part in textures.split(64)
    ]
    return torch.cat([landmarks.flatten(1).float(), torch.cat(small)], dim=1)
