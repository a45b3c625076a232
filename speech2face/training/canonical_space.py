"""The code of a canonical face: principal components of its landmarks and texture together.

This is the face feature of the compact model. It plays VGG-Face's part: what the voice encoder
predicts, what the decoder decodes, and a space in which the mean face lies at the origin and
`1 + alpha` times a face is the same face exaggerated. It is learned from renders (frontal, neutral,
on white), not from a recogniser, so that recognisers remain independent judges.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2face.errors import Speech2FaceError

CODED_SIZE = 112  # pixels: textures are coded at half size, their fine detail is the decoder's


@dataclass(frozen=True)
class CanonicalSpace:
    """Linear map between a canonical face and its code.

    Attributes:
        mean: of landmarks and coded texture, each in its own unit, `[P]`.
        units: what both are divided by, one number for all landmarks and one for all texture
            values, `[P]`.
        components: orthonormal directions, `[D, P]`.
    """

    mean: Tensor
    units: Tensor
    components: Tensor

    def encode(self, landmarks: Tensor, textures: Tensor) -> Tensor:
        """Codes `[B, D]` of landmarks `[B, 68, 2]` in pixels and textures `[B, 3, 224, 224]`."""
        return ((_flatten(landmarks, textures) - self.mean) / self.units) @ self.components.T

    def landmark_map(self, n_landmarks: int) -> Tensor:
        """What a unit of each code coordinate adds to the landmarks, pixels, `[D, N * 2]`."""
        return (self.components * self.units)[:, : n_landmarks * 2]

    def mean_landmarks(self, n_landmarks: int) -> Tensor:
        """Landmarks of code zero, pixels, `[N, 2]`."""
        return self.mean[: n_landmarks * 2].reshape(n_landmarks, 2)


def inner_face(landmarks: Tensor, size: int, *, outside: float) -> Tensor:
    """How much each pixel counts: 1 between brows and chin, `outside` at hair and ground.

    Hair and shoulders fill most of a picture and vary most, but people are told apart by what lies
    between brows and chin; unweighted components and losses would spend themselves on hair.

    Args:
        landmarks: mean landmarks in pixels of a picture of `size`, (x, y), `[N, 2]`.

    Returns:
        `[size, size]`, smooth: an ellipse around the landmarks with a soft border.
    """
    low, high = landmarks.amin(dim=0), landmarks.amax(dim=0)  # (x, y)
    centre, half = (low + high) / 2, (high - low) / 2 * 1.1
    x = (torch.arange(size) - centre[0]) / half[0]  # [size]
    y = (torch.arange(size) - centre[1]) / half[1]  # [size]
    radius = x.square() + y.square()[:, None]  # [size, size], 1 on the ellipse
    return outside + (1.0 - outside) * torch.exp(-radius.square())


def fit_canonical_space(
    landmarks: Tensor,
    textures: Tensor,
    *,
    size: int,
    landmark_share: float,
    outside: float = 1.0,
) -> CanonicalSpace:
    """Principal components of faces, the landmarks weighing `landmark_share` of the texture.

    Args:
        landmarks: in pixels, `[M, 68, 2]`.
        textures: uint8 or float in 0..1, in the frame of the mean landmarks, `[M, 3, 224, 224]`.
        size: D, fewer than M.
        landmark_share: variance of all landmarks over variance of all texture values.
        outside: weight of the squared error of a pixel outside the inner face, see `inner_face`.

    Raises:
        Speech2FaceError: M faces do not span D directions around their mean.
    """
    if size >= len(landmarks):
        problem = f"{len(landmarks)} faces for a code of {size} coordinates"
        raise Speech2FaceError(problem, "give more faces, or a shorter code")
    n_points = landmarks.shape[1] * 2
    faces = _flatten(landmarks, textures)  # [M, P]
    mean = faces.mean(dim=0)
    faces -= mean
    variance = faces.square().mean(dim=0)  # [P]
    units = torch.empty_like(mean)
    units[:n_points] = (variance[:n_points].sum() / landmark_share).sqrt()
    frame = mean[:n_points].reshape(-1, 2) * CODED_SIZE / textures.shape[-1]  # [68, 2]
    weight = inner_face(frame, CODED_SIZE, outside=outside).flatten().repeat(3)  # [P - n_points]
    units[n_points:] = (weight * variance[n_points:]).sum().sqrt() / weight.sqrt()
    faces /= units
    # The Gram matrix of M faces is far smaller than the covariance of P values.
    values, vectors = torch.linalg.eigh(faces @ faces.T)  # ascending
    values, vectors = values[-size:].flip(0), vectors[:, -size:].flip(1)
    components = (vectors / values.sqrt()).T @ faces  # [D, P]
    return CanonicalSpace(mean, units, components)


def _flatten(landmarks: Tensor, textures: Tensor) -> Tensor:
    """Landmarks and half-size textures side by side, float32, `[B, P]`."""
    small = [
        F.interpolate(part.float(), size=(CODED_SIZE, CODED_SIZE), mode="area").flatten(1)
        / (255.0 if textures.dtype == torch.uint8 else 1.0)
        for part in textures.split(64)
    ]
    return torch.cat([landmarks.flatten(1).float(), torch.cat(small)], dim=1)
