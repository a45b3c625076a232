"""The decided surround: each step against hand-worked values or a brute-force computation."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models.decided_surround import (
    FAR,
    FAR_SHARE,
    NEAR,
    SOFTENING,
    THIN_SHARE,
    DecidedSurround,
    SurroundConfig,
    along_both,
    blurring,
    continued_blurring,
    enlarging,
    smooth_step,
)

GRID, SIZE = 14, 56  # cells of four pixels, as in the shipped model
CONFIG = SurroundConfig(n_components=3, n_prototypes=5)


def surround(**changes: object) -> DecidedSurround:
    """Of random opacities around a disc, and random prototypes."""
    torch.manual_seed(0)
    made = DecidedSurround(SurroundConfig(**(vars(CONFIG) | changes)), 4, GRID, SIZE)
    made.opacity.bias.data = disc(20.0, SIZE / GRID).flatten()
    nn.init.normal_(made.opacity.weight, std=0.1)
    made.prototypes.normal_()
    return made.requires_grad_(False).eval()


def disc(radius: float, cell: float = 1.0) -> Tensor:
    """Opacity of a disc in the middle, a ramp of eight pixels at its border, `[G, G]`."""
    at = (torch.arange(GRID) - (GRID - 1) / 2) * cell
    return (0.5 + (radius - at.hypot(at[:, None])) / 8).clamp(0, 1)


def inputs(n_faces: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Code, texture, the same on the grid, and no pixel that must be kept."""
    generator = torch.Generator().manual_seed(1)
    code = torch.randn(n_faces, 4, generator=generator)
    texture = torch.rand(n_faces, 3, SIZE, SIZE, generator=generator)
    return code, texture, nn.functional.avg_pool2d(texture, SIZE // GRID), torch.zeros(SIZE, SIZE)


def test_the_smooth_step_by_hand_worked_values() -> None:
    values = torch.tensor([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0])
    expected = torch.tensor([0, 0, 3 / 16 - 2 / 64, 0.5, 27 / 16 - 54 / 64, 1, 1])
    torch.testing.assert_close(smooth_step(values), expected)


def test_a_blur_of_a_line_is_scipys_away_from_its_ends_and_keeps_constants() -> None:
    line = torch.rand(60, generator=torch.Generator().manual_seed(0))
    theirs = gaussian_filter1d(line.double().numpy(), 2.0, truncate=8)
    np.testing.assert_allclose(
        (blurring(60, 2.0) @ line).numpy()[17:-17], theirs[17:-17], atol=1e-5
    )
    torch.testing.assert_close(blurring(9, 3.0).sum(dim=1), torch.ones(9))


def test_a_continued_blur_leaves_a_ramp_as_it_is_up_to_the_border() -> None:
    ramp = torch.linspace(-1, 2, 20)
    torch.testing.assert_close(continued_blurring(20, 1.5) @ ramp, ramp, atol=1e-5, rtol=0)
    assert (blurring(20, 1.5) @ ramp - ramp).abs().max() > 0.1  # which a plain blur bends


def test_the_enlargement_is_torchs_bicubic_one() -> None:
    picture = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    theirs = nn.functional.interpolate(picture, (16, 16), mode="bicubic", align_corners=False)
    torch.testing.assert_close(along_both(enlarging(8, 16), picture), theirs, atol=1e-5, rtol=0)


def test_mean_shift_is_the_weighted_mean_of_prototypes_by_loops() -> None:
    made = surround(n_shifts=2, shift_width=0.7)
    made.scale.fill_(1.3)
    place = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    expected = place.double().numpy()
    prototypes = made.prototypes.double().numpy()
    for _ in range(2):
        for row in range(4):
            weights = [
                np.exp(-0.5 * np.sum((expected[row] - one) ** 2) / (0.7 * 1.3) ** 2)
                for one in prototypes
            ]
            weighted = sum(w * one for w, one in zip(weights, prototypes, strict=True))
            expected[row] = weighted / sum(weights)
    np.testing.assert_allclose(made.shift(place).numpy(), expected, atol=1e-5)


def test_a_narrow_mean_shift_ends_on_the_nearest_prototype() -> None:
    made = surround(shift_width=0.001)
    moved = made.shift(made.prototypes + 0.01)
    torch.testing.assert_close(moved, made.prototypes)


def test_depth_is_the_distance_to_the_contour_in_pixels() -> None:
    """Of a straight edge that is steep: up to the least slope, which is .005 a pixel."""
    pixel = (torch.arange(GRID) - 6.5) * SIZE / GRID
    distance = (pixel * 0.8 + pixel[:, None] * 0.6).expand(GRID, GRID)
    depth = surround().depth((0.5 + 0.05 * distance)[None, None])[0, 0]
    inside = slice(1, -1)  # at the border the slope is taken from one side, and is half as steep
    expected = (distance * 0.05 / (0.05**2 + 0.005**2) ** 0.5).clamp(-8, 8)
    torch.testing.assert_close(depth[inside, inside], expected[inside, inside], atol=1e-3, rtol=0)


def test_the_cover_is_a_step_of_the_configured_width_across_the_contour() -> None:
    made = surround(outline=3.0)
    depth = torch.tensor([-9.0, -3.0, -1.5, 0.0, 1.5, 3.0, 9.0])
    expected = torch.tensor([0, 0, 0.15625, 0.5, 0.84375, 1, 1])
    torch.testing.assert_close(made.cover(depth), expected)


def test_certainty_is_of_what_lies_inside_and_within_0_and_1() -> None:
    made = surround()
    certain = made.certainty(torch.ones(1, 1, GRID, GRID))
    torch.testing.assert_close(certain, torch.ones(1, 1, GRID, GRID))
    certain = made.certainty(disc(20.0, SIZE / GRID)[None, None])[0, 0]
    assert certain.min() == 0 and certain.max() <= 1
    assert certain[GRID // 2, GRID // 2] > 0.5 and certain[0].max() == 0


def test_colour_is_the_normalised_convolution_by_brute_force() -> None:
    generator = torch.Generator().manual_seed(3)
    opacity = torch.rand(1, 1, GRID, GRID, generator=generator)
    darkness = opacity * torch.rand(1, 3, GRID, GRID, generator=generator)
    certain = torch.rand(1, 1, GRID, GRID, generator=generator).square()
    ours = surround().colour(darkness, opacity, certain)[0].numpy()
    cell = SIZE / GRID
    o, c = opacity[0, 0].double().numpy(), certain[0, 0].double().numpy()
    weight = c + THIN_SHARE * o**4

    def share(sigma: float, i: int, j: int) -> np.ndarray:
        """Weights over the grid of the Gaussian around a cell, which add up to 1."""
        row = np.exp(-0.5 * ((np.arange(GRID) - i) * cell / sigma) ** 2)
        column = np.exp(-0.5 * ((np.arange(GRID) - j) * cell / sigma) ** 2)
        return np.outer(row / row.sum(), column / column.sum())

    soften = continued_blurring(GRID, SOFTENING / cell).double().numpy()
    for channel in range(3):
        dark = darkness[0, channel].double().numpy()
        band = np.zeros((GRID, GRID))
        for i in range(GRID):
            for j in range(GRID):
                kernel = share(NEAR, i, j) + FAR_SHARE * share(FAR, i, j)
                mean = (kernel * weight * dark).sum() / ((kernel * weight * o).sum() + 1e-6)
                own = dark[i, j] / max(o[i, j], 0.5)
                band[i, j] = max(np.clip(mean, 0, 1), np.clip(own, 0, 1))
        widened = np.array(
            [
                [band[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].max() for j in range(GRID)]
                for i in range(GRID)
            ]
        )
        np.testing.assert_allclose(ours[channel], soften @ widened @ soften.T, atol=1e-4)


def test_one_colour_that_covers_unevenly_comes_back_as_that_colour() -> None:
    """Where half of the ground is covered, half the darkness says all of the colour."""
    opacity = (0.2 + 0.8 * disc(20.0, SIZE / GRID))[None, None]
    hair = torch.tensor([0.3, 0.5, 0.7])[:, None, None]
    made = surround()
    colour = made.colour(opacity * hair, opacity, made.certainty(opacity))
    torch.testing.assert_close(colour[0], hair.expand(3, GRID, GRID), atol=2e-3, rtol=0)


def test_what_is_far_outside_is_white_and_what_must_be_kept_is_kept() -> None:
    code, texture, small, nothing = inputs()
    made = surround(n_shifts=0)
    nn.init.zeros_(made.opacity.weight)
    outside = made(code, texture, small, nothing)
    assert (outside[:, :, :4, :4] == 1).all()  # the corners
    assert (outside[:, :, 26:30, 26:30] < 1).all()  # the middle
    kept = made(code, texture, small, torch.ones(SIZE, SIZE))
    torch.testing.assert_close(kept, texture)


def test_no_pixel_is_darker_or_lighter_than_ground_and_colours_allow() -> None:
    code, texture, small, nothing = inputs(8)
    decided = surround()(3 * code, texture, small, nothing)
    assert decided.max() <= 1.0 + 1e-6
    assert decided.min() >= -0.35  # the colour's enlargement may swing over by a little


def test_every_face_is_decided_by_itself() -> None:
    code, texture, small, nothing = inputs()
    made = surround()
    together = made(code, texture, small, nothing)
    for row in range(3):
        one = slice(row, row + 1)
        alone = made(code[one], texture[one], small[one], nothing)
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change",
    [{"n_components": 0}, {"n_prototypes": 2000}, {"n_shifts": -1}, {"n_shifts": 17},
     {"shift_width": 0.0}, {"outline": 0.0}, {"erosion": 1e9}, {"certain_from": 0.98}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(Speech2FaceError, match=next(iter(change))):
        SurroundConfig(**change)
