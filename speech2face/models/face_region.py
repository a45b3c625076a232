"""Where the face is in a picture with known landmarks: the part by which people are recognised."""

import torch
from torch import Tensor

_STEEPNESS = 4  # of the border: it falls from .9 to .1 within a fifth of the radius


def face_region(landmarks: Tensor, size: int, *, reach: float) -> Tensor:
    """Weight of each pixel: 1 inside the face, 0 at hair, background and shoulders.

    Args:
        landmarks: in pixels of a picture of `size`, (x, y), `[N, 2]`.
        size: height and width of the picture in pixels.
        reach: half axes of the ellipse, in half the width and height that the landmarks span.

    Returns:
        `[size, size]`, smooth.
    """
    low, high = landmarks.amin(dim=0), landmarks.amax(dim=0)  # (x, y)
    centre, half = (low + high) / 2, (high - low) / 2 * reach
    pixel = torch.arange(size, device=landmarks.device)
    x = (pixel - centre[0]) / half[0]  # [size]
    y = (pixel - centre[1]) / half[1]  # [size]
    radius = x.square() + y.square()[:, None]  # [size, size], 1 on the ellipse
    return torch.exp(-(radius**_STEEPNESS))
