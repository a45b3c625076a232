"""The code of a canonical face against scikit-learn's components and NumPy's block means."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.models.face_region import face_region
from speech2face.training.canonical_space import CanonicalSpace, fit_canonical_space

N_FACES, N_POINTS, SHARE, REACH = 12, 68, 0.25, 0.8


def random_faces(n_faces: int = N_FACES, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Landmarks in pixels and smooth textures, uint8, of nobody."""
    generator = torch.Generator().manual_seed(seed)
    landmarks = 112 + 40 * torch.randn(N_POINTS, 2, generator=generator)
    landmarks = landmarks + 3 * torch.randn(n_faces, N_POINTS, 2, generator=generator)
    coarse = torch.rand(n_faces, 3, 7, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(224, 224), mode="bilinear")
    return landmarks, (255 * smooth).round().to(torch.uint8)


def parts_by_hand(landmarks: Tensor, textures: Tensor, share: float = SHARE) -> list[np.ndarray]:
    """Landmarks with the face, and the surround, each of total variance 1 (landmarks `share`)."""
    points = landmarks.double().numpy().reshape(len(landmarks), -1)
    blocks = textures.double().numpy().reshape(len(textures), 3, 112, 2, 112, 2)
    pixels = blocks.mean(axis=(3, 5)).reshape(len(textures), -1) / 255
    region = face_region(landmarks.mean(dim=0) / 2, 112, reach=REACH).double().numpy()
    region = np.tile(region.ravel(), 3)
    face, surround = region * pixels, (1 - region) * pixels
    points = points / np.sqrt(points.var(axis=0).sum() / share)
    return [
        np.concatenate([points, face / np.sqrt(face.var(axis=0).sum())], axis=1),
        surround / np.sqrt(surround.var(axis=0).sum()),
    ]


def fitted(n_face: int, n_surround: int, n_faces: int = N_FACES) -> CanonicalSpace:
    return fit_canonical_space(
        *random_faces(n_faces),
        n_face=n_face,
        n_surround=n_surround,
        landmark_share=SHARE,
        reach=REACH,
    )


def reconstruct(space: CanonicalSpace, code: Tensor) -> tuple[Tensor, Tensor]:
    """Landmarks and textures that have `code`."""
    values = space.mean + code @ space.synthesis  # [B, P]
    points, pixels = values[:, : 2 * N_POINTS], values[:, 2 * N_POINTS :]
    textures = pixels.reshape(-1, 3, 112, 112).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return points.reshape(-1, N_POINTS, 2), textures


def test_codes_are_scikit_learns_principal_components_of_both_parts_up_to_sign() -> None:
    faces = random_faces()
    space = fitted(5, 3)
    codes = space.encode(*faces).double().numpy()
    assert codes.shape == (N_FACES, 8) and space.n_face == 5
    for part, ours in zip(parts_by_hand(*faces), (codes[:, :5], codes[:, 5:]), strict=True):
        expected = PCA(ours.shape[1], svd_solver="full").fit_transform(part)
        signs = np.sign((ours * expected).sum(axis=0))
        np.testing.assert_allclose(ours, expected * signs, atol=2e-4)


def test_codes_are_centred_and_uncorrelated_within_each_part() -> None:
    space = fitted(5, 4)
    codes = space.encode(*random_faces())
    torch.testing.assert_close(codes.mean(dim=0), torch.zeros(9), atol=1e-4, rtol=0)
    for part in (codes[:, :5], codes[:, 5:]):
        covariance = torch.cov(part.T)
        variances = covariance.diagonal()
        torch.testing.assert_close(covariance, torch.diag(variances), atol=1e-4, rtol=0)
        assert (variances.diff() < 0).all()


@pytest.mark.parametrize("share", [0.25, 2.0])
def test_landmarks_have_their_share_of_the_variance_beside_1_for_the_face(share: float) -> None:
    faces = tuple(torch.cat([part, part]) for part in random_faces())  # of 11 directions, twice
    space = fit_canonical_space(*faces, n_face=11, n_surround=1, landmark_share=share, reach=REACH)
    codes = space.encode(*faces)[:, :11]
    assert float(codes.square().mean(dim=0).sum()) == pytest.approx(1 + share, rel=1e-3)


def test_hair_changes_the_code_of_the_surround_and_the_nose_that_of_the_face() -> None:
    landmarks, textures = random_faces()
    space = fitted(5, 3)
    before = space.encode(landmarks, textures)
    hair, nose = textures.clone(), textures.clone()
    hair[:, :, :10] = 0
    centre = landmarks.mean(dim=(0, 1)).round().int().tolist()
    nose[:, :, centre[1] - 5 : centre[1] + 5, centre[0] - 5 : centre[0] + 5] = 0
    moved = (space.encode(landmarks, hair) - before).abs().amax(dim=0)
    assert moved[:5].max() < 1e-3 < 1e-2 < moved[5:].max()
    moved = (space.encode(landmarks, nose) - before).abs().amax(dim=0)
    assert moved[5:].max() < 1e-3 < 1e-2 < moved[:5].max()


def test_as_many_components_as_the_faces_span_lose_nothing() -> None:
    """Of twelve faces, eleven directions in each part: both parts add up to the texture."""
    twelve = random_faces()
    faces = tuple(torch.cat([part, part]) for part in twelve)  # twice, for the count of faces
    space = fit_canonical_space(*faces, n_face=11, n_surround=11, landmark_share=SHARE, reach=REACH)
    points, pixels = reconstruct(space, space.encode(*twelve))
    torch.testing.assert_close(points, twelve[0], atol=2e-2, rtol=0)  # pixels
    half = torch.nn.functional.avg_pool2d(twelve[1].float() / 255, 2)
    torch.testing.assert_close(pixels[..., ::2, ::2], half, atol=2e-3, rtol=0)


def test_maps_lead_from_codes_to_pixels() -> None:
    space = fitted(4, 3)
    code = torch.randn(2, 7, generator=torch.Generator().manual_seed(1))
    points, textures = reconstruct(space, code)
    displacement = code @ space.landmark_map(N_POINTS)  # [2, 136]
    landmarks = space.mean_landmarks(N_POINTS) + displacement.reshape(-1, N_POINTS, 2)
    torch.testing.assert_close(landmarks, points)
    drawn = space.mean[2 * N_POINTS :] + code @ space.texture_map(N_POINTS)
    torch.testing.assert_close(drawn.reshape(-1, 3, 112, 112), textures[..., ::2, ::2])
    torch.testing.assert_close(space.mean_landmarks(N_POINTS), random_faces()[0].mean(dim=0))


def test_convention_the_mean_face_has_code_zero_and_exaggeration_scales_around_it() -> None:
    landmarks, textures = random_faces()
    space, pictures = fitted(5, 3), textures.float() / 255
    mean_points, mean_picture = (
        landmarks.mean(dim=0, keepdim=True),
        pictures.mean(dim=0, keepdim=True),
    )
    assert space.encode(mean_points, mean_picture).abs().max() < 1e-3
    twice = (2 * landmarks - mean_points, 2 * pictures - mean_picture)
    once = space.encode(landmarks, pictures)
    torch.testing.assert_close(space.encode(*twice), 2 * once, atol=1e-3, rtol=1e-3)


def test_bytes_and_numbers_of_one_texture_have_one_code() -> None:
    landmarks, textures = random_faces()
    space = fitted(5, 3)
    numbers = space.encode(landmarks, textures.double() / 255)
    torch.testing.assert_close(space.encode(landmarks, textures), numbers, atol=1e-4, rtol=0)


def test_more_coordinates_than_the_faces_span_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match="12 faces for a code of 12 coordinates"):
        fitted(N_FACES - 2, 2)
