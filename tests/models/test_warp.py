"""The spline against SciPy and the dense saddle system, the sampling against SciPy, conventions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models import warp
from speech2face.models.warp import (
    WarpConfig,
    backward_flow,
    boundary_points,
    evaluate_on_lattice,
    evaluate_spline,
    sample_bilinear,
    solve_spline,
    warp_image,
)

SCIPY_KERNELS = {1: "linear", 2: "thin_plate_spline", 3: "cubic"}
EXACT = WarpConfig(regularisation=0.0)
FREE = WarpConfig(regularisation=0.0, boundary_points_per_edge=0)
exports_to_onnx = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning"
)


def random_points(*shape: int, seed: int = 0, size: float = 200.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.rand(*shape, 2, generator=generator, dtype=torch.float64)


def random_values(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def picture_with_a_dot(x: int, y: int, height: int = 24, width: int = 32) -> Tensor:
    image = torch.zeros(1, 1, height, width, dtype=torch.float64)
    image[0, 0, y, x] = 1.0
    return image


def exaggerate(landmarks: Tensor, factor: float) -> Tensor:
    mean = landmarks.mean(dim=0)
    return mean + factor * (landmarks - mean)


# Conventions


def test_convention_what_lies_at_source_is_found_at_destination() -> None:
    source = torch.tensor([[4.0, 6.0], [20.0, 5.0], [9.0, 18.0]], dtype=torch.float64)
    destination = (source + torch.tensor([7.0, 3.0], dtype=torch.float64))[None]
    moved = warp_image(picture_with_a_dot(x=4, y=6), source, destination, config=FREE)
    torch.testing.assert_close(moved, picture_with_a_dot(x=11, y=9))


def test_convention_points_are_x_to_the_right_then_y_down() -> None:
    source = random_points(6, size=20)
    to_the_right = source + torch.tensor([5.0, 0.0], dtype=torch.float64)
    image = picture_with_a_dot(x=3, y=8)
    moved = warp_image(image, source, to_the_right[None], config=FREE)
    torch.testing.assert_close(moved, picture_with_a_dot(x=8, y=8))


def test_convention_the_flow_runs_from_the_destination_pixel_back_to_the_source() -> None:
    source = torch.tensor([[8.0, 8.0]], dtype=torch.float64)
    destination = torch.tensor([[[12.0, 11.0]]], dtype=torch.float64)
    flow = backward_flow(source, destination, 24, 32, config=EXACT)  # [1, 2, 24, 32]
    torch.testing.assert_close(flow[0, :, 11, 12], (source - destination[0])[0])
    assert flow[0, :, 8, 8].abs().sum() < (source - destination[0]).abs().sum()


def test_convention_pixel_centres_lie_at_integers() -> None:
    ramp = torch.arange(6, dtype=torch.float64).expand(1, 1, 4, 6)  # value = x
    shift = torch.zeros(1, 2, 4, 6, dtype=torch.float64)
    shift[:, 0] = 0.25
    looked_up = sample_bilinear(ramp, shift)[0, 0, 0]  # [6]
    expected = torch.tensor([0.25, 1.25, 2.25, 3.25, 4.25, 5.0], dtype=torch.float64)
    torch.testing.assert_close(looked_up, expected)  # the last pixel continues: 5, not 5.25


def test_convention_border_pixels_continue_outside_the_picture() -> None:
    white_ground = torch.ones(1, 3, 16, 16, dtype=torch.float64)
    outwards = torch.full((1, 2, 16, 16), -40.0, dtype=torch.float64)
    torch.testing.assert_close(sample_bilinear(white_ground, outwards), white_ground)


@pytest.mark.parametrize(
    ("per_edge", "expected"),
    [
        (0, []),
        (1, [(0, 0), (9, 0), (9, 5), (0, 5)]),
        (2, [(0, 0), (4.5, 0), (9, 0), (9, 2.5), (9, 5), (4.5, 5), (0, 5), (0, 2.5)]),
    ],
)
def test_convention_boundary_points_go_around_from_the_first_pixel(
    per_edge: int, expected: list[tuple[float, float]]
) -> None:
    points = boundary_points(height=6, width=10, per_edge=per_edge)
    torch.testing.assert_close(points, torch.tensor(expected, dtype=torch.float32).reshape(-1, 2))


# The spline against independent references


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("regularisation", [0.0, 0.1, 30.0])
def test_spline_equals_scipys_interpolator(order: int, regularisation: float) -> None:
    centres, values, points = (
        random_points(2, 40),
        random_values(2, 40, 3),
        random_points(2, 99, seed=2),
    )
    spline = solve_spline(centres, values, order=order, regularisation=regularisation)
    for index in range(2):
        reference = RBFInterpolator(
            centres[index].numpy(),
            values[index].numpy(),
            kernel=SCIPY_KERNELS[order],
            smoothing=regularisation,
            degree=1,
        )(points[index].numpy())
        np.testing.assert_allclose(evaluate_spline(spline, points)[index], reference, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_weights_solve_the_saddle_system(order: int) -> None:
    centres, values = random_points(1, 30, size=2.0), random_values(1, 30, 2)
    spline = solve_spline(centres, values, order=order, regularisation=0.01)
    kernel = torch.empty(30, 30, dtype=torch.float64)
    for i, first in enumerate(spline.centres[0]):
        for j, second in enumerate(spline.centres[0]):
            r = float(torch.dist(first, second))
            kernel[i, j] = {1: -r, 2: r * r * np.log(r) if r else 0.0, 3: r**3}[order]
    affine = torch.cat(
        [torch.ones(30, 1, dtype=torch.float64), spline.centres[0]], dim=1
    )  # [30, 3]
    penalty = 0.01 / float(spline.scale) ** order * torch.eye(30, dtype=torch.float64)
    saddle = torch.zeros(33, 33, dtype=torch.float64)
    saddle[:30, :30], saddle[:30, 30:], saddle[30:, :30] = kernel + penalty, affine, affine.T
    right_side = torch.cat([values[0], torch.zeros(3, 2, dtype=torch.float64)])
    solution = torch.linalg.solve(saddle, right_side)  # [33, 2]
    torch.testing.assert_close(spline.weights[0], solution[:30], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(spline.affine[0], solution[30:], rtol=1e-6, atol=1e-8)


def test_affine_functions_need_no_weights_whatever_the_regularisation() -> None:
    centres = random_points(1, 25)
    values = 3.0 + centres @ torch.tensor([[0.2, -1.0], [0.5, 0.1]], dtype=torch.float64)
    spline = solve_spline(centres, values, regularisation=50.0)
    assert spline.weights.abs().max() < 1e-9
    points = random_points(1, 50, seed=3, size=400)
    expected = 3.0 + points @ torch.tensor([[0.2, -1.0], [0.5, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(evaluate_spline(spline, points), expected)


def test_every_face_of_a_batch_is_solved_by_itself(face_landmarks: Tensor) -> None:
    mean = face_landmarks.mean(dim=0)
    together = backward_flow(mean, face_landmarks[:3], 56, 56)
    for index in range(3):
        alone = backward_flow(mean, face_landmarks[index : index + 1], 56, 56)
        torch.testing.assert_close(together[index : index + 1], alone)


def test_lattice_equals_the_list_of_its_points() -> None:
    spline = solve_spline(random_points(2, 12), random_values(2, 12, 3), order=2)
    x, y = torch.arange(5, dtype=torch.float64) * 7, torch.arange(4, dtype=torch.float64) * 11
    pairs = torch.cartesian_prod(y, x).flip(-1).expand(2, -1, -1)  # [2, 20, 2], (x, y), row by row
    listed = evaluate_spline(spline, pairs).transpose(1, 2).reshape(2, 3, 4, 5)
    torch.testing.assert_close(evaluate_on_lattice(spline, x, y), listed)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_definite_matrix_is_definite(order: int, face_landmarks: Tensor) -> None:
    matrix, _, _ = definite_system(face_landmarks[:5], WarpConfig(order=order, regularisation=0.0))
    assert (torch.linalg.eigvalsh(matrix) > 0).all()
    torch.testing.assert_close(matrix, matrix.transpose(1, 2))


def definite_system(landmarks: Tensor, config: WarpConfig) -> tuple[Tensor, Tensor, int]:
    """Matrix, right side and order of (W3) that a warp of these landmarks solves."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        solve = warp._solve_definite
        patch.setattr(
            warp, "_solve_definite", lambda *system: seen.append(system) or solve(*system)
        )
        coarse = replace(config, flow_stride=223)  # the flow itself is not wanted
        backward_flow(landmarks.mean(dim=0), landmarks, 224, 224, config=coarse)
    return seen[0]


# The iteration that ONNX gets


@pytest.mark.parametrize("n_steps", [0, 1, 2, 5])
def test_schulz_iteration_squares_its_remainder(n_steps: int, face_landmarks: Tensor) -> None:
    matrix, _, _ = definite_system(face_landmarks[:2], WarpConfig())
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    bound = matrix.abs().sum(dim=2).amax(dim=1)[:, None, None]
    remainder = torch.linalg.matrix_power(identity - matrix / bound, 2**n_steps)  # (W4)
    # One refinement step squares the remainder once more: I - M (X + X (I - M X)) = (I - M X)^2.
    inverse = warp._solve_by_schulz(matrix, identity.expand_as(matrix), n_steps)
    torch.testing.assert_close(identity - matrix @ inverse, remainder @ remainder)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("exaggeration", [1.0, 2.0])
def test_schulz_solves_like_cholesky_on_faces(
    order: int, exaggeration: float, face_landmarks: Tensor
) -> None:
    faces = exaggerate(face_landmarks, exaggeration)
    system = definite_system(faces, WarpConfig(order=order))
    iterated = warp._solve_by_schulz(*system[:2], warp.SCHULZ_STEPS[order])
    factored = warp._solve_definite(*system)
    assert (iterated - factored).abs().max() < 1e-8 * factored.abs().max()


def test_schulz_stays_finite_where_centres_coincide(face_landmarks: Tensor) -> None:
    closed_mouth = face_landmarks[:1].clone()
    closed_mouth[:, 62] = closed_mouth[:, 66]
    matrix, values, _ = definite_system(closed_mouth, WarpConfig(regularisation=0.1))
    assert warp._solve_by_schulz(matrix, values, 40).isfinite().all()
    singular = matrix.clone()
    singular[:, :, 62], singular[:, 62] = singular[:, :, 66], singular[:, 66]
    assert warp._solve_by_schulz(singular, values, 30).isfinite().all()


class WarpOfFaces(nn.Module):
    """A module around `warp_image`, for the exporter."""

    def __init__(self, source: Tensor, config: WarpConfig) -> None:
        super().__init__()
        self.source, self.config = source, config

    def forward(self, image: Tensor, destination: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        flow = backward_flow(self.source, destination, height, width, config=self.config)
        return warp_image(image, self.source, destination, config=self.config), flow


@exports_to_onnx
@pytest.mark.parametrize("flow_stride", [1, 4])
def test_exported_warp_equals_torch_in_float64(
    flow_stride: int, face_landmarks: Tensor, run_in_onnxruntime
) -> None:
    mean, face = face_landmarks.mean(dim=0), exaggerate(face_landmarks, 1.4)[:1]
    image = random_values(1, 3, 224, 224).float()
    module = WarpOfFaces(mean.float(), WarpConfig(flow_stride=flow_stride))
    moved, flow = run_in_onnxruntime(module, (image, face.float()))
    reference = WarpOfFaces(mean, WarpConfig(flow_stride=flow_stride))(image.double(), face)
    assert (flow - reference[1]).abs().max() < 1e-3  # pixels
    assert (moved - reference[0]).abs().max() < 1e-2  # of white noise, the hardest texture there is


# Accuracy


@pytest.mark.parametrize("exaggeration", [1.0, 1.4, 2.0])
def test_float32_flow_is_within_a_thousandth_of_a_pixel_on_faces(
    exaggeration: float, face_landmarks: Tensor
) -> None:
    faces = exaggerate(face_landmarks, exaggeration).float()
    mean = face_landmarks.mean(dim=0).float()
    single = backward_flow(mean, faces, 224, 224, config=WarpConfig(flow_stride=4))
    double = backward_flow(
        mean.double(), faces.double(), 224, 224, config=WarpConfig(flow_stride=4)
    )
    assert (single - double).abs().max() < 1e-3


def test_coarser_flow_costs_a_hundredth_of_a_pixel_on_average(face_landmarks: Tensor) -> None:
    mean, faces = face_landmarks.mean(dim=0), face_landmarks[:8]
    exact = backward_flow(mean, faces, 224, 224)
    mean_error = {}
    for stride in (2, 4, 8):
        coarse = backward_flow(mean, faces, 224, 224, config=WarpConfig(flow_stride=stride))
        mean_error[stride] = float((coarse - exact).norm(dim=1).mean())
        torch.testing.assert_close(
            coarse[:, :, ::stride, ::stride], exact[:, :, ::stride, ::stride]
        )
    assert mean_error[2] < mean_error[4] < mean_error[8]
    assert mean_error[4] < 0.01  # pixels


@pytest.mark.parametrize(("height", "width", "stride"), [(13, 10, 4), (9, 9, 4), (5, 31, 3)])
def test_coarse_flow_covers_sizes_that_the_stride_does_not_divide(
    height: int, width: int, stride: int
) -> None:
    source, destination = random_points(5, size=8), random_points(1, 5, seed=4, size=8)
    flow = backward_flow(source, destination, height, width, config=WarpConfig(flow_stride=stride))
    exact = backward_flow(source, destination, height, width)
    assert flow.shape == (1, 2, height, width)
    torch.testing.assert_close(flow[:, :, ::stride, ::stride], exact[:, :, ::stride, ::stride])


# Properties of the picture


@pytest.mark.parametrize("flow_stride", [1, 4])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_landmarks_equal_to_the_mean_return_the_texture(
    order: int, flow_stride: int, face_landmarks: Tensor
) -> None:
    texture = random_values(2, 3, 224, 224)
    config = WarpConfig(order=order, flow_stride=flow_stride)
    mean = face_landmarks.mean(dim=0)
    returned = warp_image(texture, mean, mean.expand(2, -1, -1), config=config)
    torch.testing.assert_close(returned, texture, rtol=0, atol=1e-10)


def test_translation_moves_the_picture_exactly() -> None:
    image = random_values(1, 2, 20, 30)
    source = random_points(9, size=20)
    shift = torch.tensor([3.0, -2.0], dtype=torch.float64)
    free = WarpConfig(boundary_points_per_edge=0)
    moved = warp_image(image, source, (source + shift)[None], config=free)
    torch.testing.assert_close(moved[..., :-2, 3:], image[..., 2:, :-3])


@pytest.mark.parametrize(
    "reach", [0.3, 4.0, 60.0]
)  # pixels; the last one mostly leaves the picture
def test_sampling_equals_scipys_map_coordinates(reach: float) -> None:
    image, flow = random_values(2, 3, 17, 23), reach * random_values(2, 2, 17, 23, seed=6)
    rows, columns = np.mgrid[:17, :23]
    sampled = sample_bilinear(image, flow)
    for index in range(2):
        where = np.stack([rows + flow[index, 1].numpy(), columns + flow[index, 0].numpy()])
        for channel in range(3):
            reference = map_coordinates(
                image[index, channel].numpy(), where, order=1, mode="nearest"
            )
            np.testing.assert_allclose(sampled[index, channel], reference, atol=1e-12)


# Gradients


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("flow_stride", [1, 2])
def test_gradients_reach_image_and_both_landmarks(order: int, flow_stride: int) -> None:
    generator = torch.Generator().manual_seed(7)
    image = torch.rand(1, 2, 7, 8, generator=generator, dtype=torch.float64)
    source = 1 + 5 * torch.rand(1, 5, 2, generator=generator, dtype=torch.float64)
    destination = source + 0.3 * torch.rand(1, 5, 2, generator=generator, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (image, source, destination)]
    config = WarpConfig(order=order, boundary_points_per_edge=0, flow_stride=flow_stride)
    assert torch.autograd.gradcheck(lambda *args: warp_image(*args, config=config), inputs)


def test_gradients_of_the_spline_pass_gradcheck_with_fixed_points() -> None:
    source, shift = random_points(1, 6, size=20), random_values(1, 6, 2)
    points = random_points(1, 4, seed=9, size=20)
    inputs = [tensor.requires_grad_() for tensor in (points, source, shift)]
    fixed = boundary_points(21, 21).double()[None]

    def moved(points: torch.Tensor, source: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        centres = torch.cat([source, fixed], dim=1)
        values = torch.cat([shift, torch.zeros_like(fixed)], dim=1)
        return points + evaluate_spline(solve_spline(centres, values), points)

    assert torch.autograd.gradcheck(moved, inputs)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradient_is_finite_where_a_pixel_meets_a_landmark(order: int) -> None:
    landmarks = torch.tensor([[[4.0, 4.0], [10.0, 3.0], [7.0, 12.0]]], requires_grad=True)
    config = WarpConfig(order=order)
    warp_image(
        torch.rand(1, 1, 16, 16), landmarks.detach() + 1, landmarks, config=config
    ).sum().backward()
    assert landmarks.grad.isfinite().all()


# What is refused


def test_coinciding_points_without_regularisation_are_refused() -> None:
    centres = torch.zeros(1, 5, 2)
    centres[0, :3] = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(Speech2FaceError, match="coincide.*regularisation"):
        solve_spline(centres, torch.zeros(1, 5, 2))
    assert solve_spline(centres, torch.zeros(1, 5, 2), regularisation=0.1).weights.isfinite().all()


def test_points_on_one_line_are_refused() -> None:
    line = torch.arange(5.0)[None, :, None].expand(1, 5, 2)
    with pytest.raises(Speech2FaceError, match="one line"):
        solve_spline(line, torch.zeros(1, 5, 2), regularisation=0.1)


def test_landmarks_in_rows_and_columns_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"\(1, 2, 68\).*\[B, N, 2\]"):
        solve_spline(torch.zeros(1, 2, 68), torch.zeros(1, 2, 2))
    with pytest.raises(Speech2FaceError, match="one row of values a centre"):
        solve_spline(torch.zeros(1, 9, 2), torch.zeros(1, 8, 2))


@pytest.mark.parametrize(
    "setting",
    [
        {"order": 4},
        {"regularisation": -0.1},
        {"regularisation": float("nan")},
        {"boundary_points_per_edge": -1},
        {"flow_stride": 0},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(Speech2FaceError, match=next(iter(setting)).split("_")[0]):
        WarpConfig(**setting)
