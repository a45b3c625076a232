"""The code of a canonical face against scikit-learn's components and NumPy's block means."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.training.canonical_space import CanonicalSpace, fit_canonical_space

N_FACES, N_POINTS, SHARE = 12, 68, 0.25


def random_faces(n_faces: int = N_FACES, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Landmarks in pixels and smooth textures, uint8, of nobody."""
    generator = torch.Generator().manual_seed(seed)
    landmarks = 112 + 40 * torch.randn(N_POINTS, 2, generator=generator)
    landmarks = landmarks + 3 * torch.randn(n_faces, N_POINTS, 2, generator=generator)
    coarse = torch.rand(n_faces, 3, 7, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(224, 224), mode="bilinear")
    return landmarks, (255 * smooth).round().to(torch.uint8)


def by_hand(landmarks: Tensor, textures: Tensor, share: float = SHARE) -> np.ndarray:
    """Both parts side by side, each divided by the root of its total variance, `[M, P]`."""
    points = landmarks.double().numpy().reshape(len(landmarks), -1)
    blocks = textures.double().numpy().reshape(len(textures), 3, 112, 2, 112, 2)
    pixels = blocks.mean(axis=(3, 5)).reshape(len(textures), -1) / 255
    points = points / np.sqrt(points.var(axis=0).sum() / share)
    return np.concatenate([points, pixels / np.sqrt(pixels.var(axis=0).sum())], axis=1)


def fitted(size: int) -> CanonicalSpace:
    return fit_canonical_space(*random_faces(), size=size, landmark_share=SHARE)


def reconstruct(space: CanonicalSpace, code: Tensor) -> tuple[Tensor, Tensor]:
    """Landmarks and textures that have `code`: the inverse on the span of the components."""
    values = space.mean + space.units * (code @ space.components)  # [B, P]
    points, pixels = values[:, : 2 * N_POINTS], values[:, 2 * N_POINTS :]
    textures = pixels.reshape(-1, 3, 112, 112).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return points.reshape(-1, N_POINTS, 2), textures


def test_codes_are_scikit_learns_principal_components_up_to_sign() -> None:
    faces = random_faces()
    codes = fitted(5).encode(*faces).double().numpy()
    expected = PCA(5, svd_solver="full").fit_transform(by_hand(*faces))
    signs = np.sign((codes * expected).sum(axis=0))
    np.testing.assert_allclose(codes, expected * signs, atol=1e-4)


def test_components_are_orthonormal_and_codes_uncorrelated_and_centred() -> None:
    space = fitted(7)
    torch.testing.assert_close(
        space.components @ space.components.T, torch.eye(7), atol=1e-5, rtol=0
    )
    codes = space.encode(*random_faces())
    torch.testing.assert_close(codes.mean(dim=0), torch.zeros(7), atol=1e-5, rtol=0)
    covariance = torch.cov(codes.T)
    variances = covariance.diagonal()
    torch.testing.assert_close(covariance, torch.diag(variances), atol=1e-5, rtol=0)
    assert (variances.diff() < 0).all()


@pytest.mark.parametrize("share", [0.25, 2.0])
def test_landmarks_have_their_share_of_the_variance_beside_1_for_the_texture(share: float) -> None:
    faces = random_faces()
    space = fit_canonical_space(*faces, size=N_FACES - 1, landmark_share=share)
    codes = space.encode(*faces)
    assert float(codes.square().mean(dim=0).sum()) == pytest.approx(1 + share, rel=1e-4)
    points = codes @ space.components[:, : 2 * N_POINTS]
    assert float(points.square().mean(dim=0).sum()) == pytest.approx(share, rel=1e-4)


def test_a_reconstructed_face_has_the_code_that_it_was_made_from() -> None:
    space = fitted(4)
    code = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(space.encode(*reconstruct(space, code)), code, atol=1e-4, rtol=1e-4)


def test_as_many_components_as_the_faces_span_lose_nothing() -> None:
    landmarks, textures = random_faces()
    points, pixels = reconstruct(
        fitted(N_FACES - 1), fitted(N_FACES - 1).encode(landmarks, textures)
    )
    torch.testing.assert_close(points, landmarks, atol=1e-2, rtol=0)  # pixels
    half = torch.nn.functional.avg_pool2d(textures.float() / 255, 2)
    torch.testing.assert_close(pixels[..., ::2, ::2], half, atol=1e-3, rtol=0)


def test_landmark_map_leads_from_codes_to_pixels() -> None:
    space = fitted(N_FACES - 1)
    faces = random_faces()
    displacement = space.encode(*faces) @ space.landmark_map(N_POINTS)  # [M, 136]
    landmarks = space.mean_landmarks(N_POINTS) + displacement.reshape(-1, N_POINTS, 2)
    torch.testing.assert_close(landmarks, faces[0], atol=1e-2, rtol=0)
    torch.testing.assert_close(space.mean_landmarks(N_POINTS), faces[0].mean(dim=0))


def test_convention_the_mean_face_has_code_zero_and_exaggeration_scales_around_it() -> None:
    landmarks, textures = random_faces()
    space, pictures = fitted(5), textures.float() / 255
    mean_points, mean_picture = (
        landmarks.mean(dim=0, keepdim=True),
        pictures.mean(dim=0, keepdim=True),
    )
    assert space.encode(mean_points, mean_picture).abs().max() < 1e-4
    twice = (2 * landmarks - mean_points, 2 * pictures - mean_picture)
    once = space.encode(landmarks, pictures)
    torch.testing.assert_close(space.encode(*twice), 2 * once, atol=1e-4, rtol=1e-4)


def test_bytes_and_numbers_of_one_texture_have_one_code() -> None:
    landmarks, textures = random_faces()
    space = fitted(5)
    numbers = space.encode(landmarks, textures.double() / 255)
    torch.testing.assert_close(space.encode(landmarks, textures), numbers, atol=1e-5, rtol=0)


def test_more_coordinates_than_the_faces_span_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="12 faces for a code of 12 coordinates"):
        fitted(N_FACES)
