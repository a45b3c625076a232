"""The fit of the surround: opacities by hand, components and ridge of scikit-learn, averages."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor

from speech2face.models.canonical_decoder import CanonicalFaceDecoderConfig
from speech2face.models.decided_surround import SurroundConfig
from speech2face.training.surround import FEWEST, RIDGE, averages, fit_surround, opacities

CONFIG = CanonicalFaceDecoderConfig(
    n_face=5, n_surround=3, grid_size=7, surround=SurroundConfig(n_components=4, n_prototypes=6)
)


def heads(n_faces: int = 60) -> tuple[Tensor, Tensor]:
    """Codes of three coordinates, and the opacities that depend on them, with noise."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(n_faces, 3, generator=generator) + 2
    mixed = codes @ torch.randn(3, 49, generator=generator)
    noise = 0.3 * torch.randn(n_faces, 49, generator=generator)
    return codes, (0.5 + 0.1 * (mixed + noise)).clamp(0, 1)


def test_opacity_is_a_step_of_the_darkest_channel_averaged_over_cells() -> None:
    textures = torch.ones(1, 3, 4, 4)
    textures[0, 1, :2, :2] = 1 - 0.15  # half way from .04 to .26: opacity .5
    textures[0, 2, 2:, 2:] = 0.2  # opaque
    textures[0, 0, 0, 3] = 1 - 0.095  # a quarter of the way: 3/16 - 2/64 in one pixel of four
    found = opacities(textures, 2)
    expected = torch.tensor([[0.5, 0.15625 / 4, 0.0, 1.0]])
    torch.testing.assert_close(found, expected)


def test_opacities_are_within_0_and_1_and_bytes_give_the_same_as_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (70, 3, 14, 14), generator=generator, dtype=torch.uint8)
    found = opacities(picture, 7)
    assert found.shape == (70, 49) and found.min() >= 0 and found.max() <= 1
    torch.testing.assert_close(found, opacities(picture.float() / 255, 7))


def test_components_and_the_way_to_them_are_scikit_learns() -> None:
    codes, covered = heads()
    surround = fit_surround(codes, covered, CONFIG)
    pca = PCA(4, svd_solver="full").fit(covered.double().numpy())
    basis = surround.opacity.weight.T.double().numpy()  # [4, 49]
    np.testing.assert_allclose(np.abs((basis * pca.components_).sum(axis=1)), 1, atol=1e-3)
    np.testing.assert_allclose(surround.opacity.bias.numpy(), pca.mean_, atol=1e-5)
    places = (covered.double().numpy() - pca.mean_) @ basis.T
    inputs = codes.double().numpy()
    penalty = RIDGE * len(inputs) * inputs.var(axis=0).mean()
    theirs = Ridge(alpha=penalty).fit(inputs, places)
    np.testing.assert_allclose(surround.place.weight.numpy(), theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(surround.place.bias.numpy(), theirs.intercept_, atol=1e-3)
    expected = np.sqrt(np.square(places).sum(axis=1).mean())
    np.testing.assert_allclose(float(surround.scale), expected, rtol=1e-4)


def test_the_same_heads_give_the_same_bytes() -> None:
    once, again = (fit_surround(*heads(), CONFIG).state_dict() for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_heads_that_are_all_alike_leave_a_finite_fit() -> None:
    surround = fit_surround(heads(16)[0], torch.ones(16, 49), CONFIG)
    assert all(value.isfinite().all() for value in surround.state_dict().values())


def test_every_average_is_the_mean_of_a_cluster_of_many_heads() -> None:
    generator = torch.Generator().manual_seed(1)
    centres = 20 * torch.randn(4, 3, generator=generator)
    points = centres.repeat_interleave(40, dim=0) + torch.randn(160, 3, generator=generator)
    found = averages(points, 8)
    own = torch.cdist(points, found).argmin(dim=1)
    for row in own.unique().tolist():
        members = points[own == row]
        assert len(members) >= FEWEST
        torch.testing.assert_close(found[row], members.mean(dim=0), atol=0.3, rtol=0)


def test_no_prototype_is_the_head_of_one_person_even_with_few_people() -> None:
    points = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    found = averages(points, 6)
    assert found.shape == (6, 3)
    torch.testing.assert_close(found, points.mean(dim=0).expand(6, 3))
    lone = torch.cat([torch.zeros(30, 3), torch.full((1, 3), 100.0)])
    assert torch.cdist(averages(lone, 2), lone[-1:]).min() > 50
