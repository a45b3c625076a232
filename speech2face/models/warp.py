"""The warp of the face decoder: a polyharmonic spline through landmarks, then bilinear sampling.

Conventions, each pinned by a `test_convention_*`:

* A point is `(x, y)` in pixels: x to the right, y down. Pixel centres lie at integers, so the
  first pixel is (0, 0) and the last one (W - 1, H - 1): `align_corners=True` in torch's words.
* `source` are landmarks in the picture that is given, `destination` where they shall be in the
  picture that is returned: what lies at `source[i]` is found at `destination[i]` afterwards.
* The warp is backward: for every pixel of the *result* a flow gives the place to read in the given
  picture. So the spline has its centres at `destination`, and its values are
  `source - destination`.
* Fixed points on the border (displacement zero) keep the border in place; see `boundary_points`.
* Outside the picture its border pixels continue. A face texture ends in its white ground, so the
  continuation is white too, without a constant that only some pictures would fit.

The spline, for one coordinate of the displacement (Cole et al. 2017; Duchon 1977):

    f(p) = sum_i w_i phi(|p - c_i|) + a_0 + a_x x + a_y y,    sum w_i = sum w_i c_i = 0,   (W1)
    phi(r) = -r  (order 1),   r^2 log r  (order 2),   r^3  (order 3).

The sign of order 1 makes all three kernels conditionally *positive* definite (Micchelli 1986), so
that a regularisation raises the eigenvalues; SciPy's `RBFInterpolator` has the same signs. With
P = [1 x y], one row per centre, the conditions are

    [ K + lambda I   P ] [w]   [v]
    [ P^T            0 ] [a] = [0]                                                          (W2)

a symmetric *indefinite* system. Let Q = P (P^T P)^-1 P^T be the projector on the affine functions
and E = I - Q. Then

    M w = E v,    M = E (K + lambda I) E + Q                                                 (W3)

has the same w, and M is symmetric positive definite. Proof: M maps range(E) and range(Q) each into
itself. On range(Q) it is the identity. On range(E) = {w: P^T w = 0} it is the compression of
K + lambda I, positive there by the definition of conditional definiteness if the centres are
distinct, and at least lambda in any case. Hence w = M^-1 E v lies in range(E), the second row of
(W2), and E (v - (K + lambda I) w) = 0, so v - (K + lambda I) w = P a for some a, the first row.

A definite matrix needs no pivoting: in torch a Cholesky factorisation solves it. ONNX has neither;
there the inverse is iterated (Schulz 1933), with c a bound on the largest eigenvalue:

    X_0 = I / c,   X_k+1 = X_k (2 I - M X_k),   I - M X_k = (I - M / c)^(2^k)                (W4)

so an eigenvalue mu of M is inverted to the relative error (1 - mu/c)^(2^k), for every landmark
set: nothing diverges, and what is singular is left out like a small eigenvalue in a filter.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from speech2face.errors import Speech2FaceError

ORDERS = (1, 2, 3)
SOFTENING = 1e-30  # added to a squared distance in units of the scale: the slope of r at 0 is 0
# Steps of (W4) by order. They invert eigenvalue ratios c / mu up to 3e5, 2e7 and 5e9 to 1e-6; on
# the landmarks of faces the ratios are about 1e4, 1e7 and 2e9 without regularisation.
SCHULZ_STEPS = {1: 22, 2: 28, 3: 36}


@dataclass(frozen=True)
class WarpConfig:
    """How the spline is built and where it is evaluated.

    Linear kernel: Cole et al. Regularisation and border points: the settings with which public
    copies call TensorFlow's `sparse_image_warp`, except that there the regularisation meets +r and
    so lowers the spectrum of order 1, here it raises it. It must not be 0 where landmarks may
    coincide, as dlib's do in closed mouths.
    """

    order: int = 1
    regularisation: float = 0.1  # pixels ** order: 0 meets every landmark exactly
    boundary_points_per_edge: int = 2  # 0: none, 1: corners, 2: corners and middles of the edges
    flow_stride: int = 1  # pixels between evaluations of the flow; between them it is bilinear

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise Speech2FaceError(f"spline order {self.order}", f"choose one of {ORDERS}")
        if not self.regularisation >= 0:
            raise Speech2FaceError(f"regularisation {self.regularisation}", "give 0 or more")
        if self.boundary_points_per_edge < 0:
            problem = f"boundary_points_per_edge {self.boundary_points_per_edge}"
            raise Speech2FaceError(problem, "give 0 or more")
        if self.flow_stride < 1:
            raise Speech2FaceError(f"flow_stride {self.flow_stride}", "give 1 pixel or more")


LINEAR_WARP = WarpConfig()


class Spline(NamedTuple):
    """A solved spline (W1), its lengths in units of `scale` and measured from `shift`."""

    centres: Tensor  # [B, N, 2], (x, y)
    weights: Tensor  # [B, N, K]
    affine: Tensor  # [B, 3, K]: constant, slope in x, slope in y
    shift: Tensor  # [B, 1, 2], pixels
    scale: Tensor  # [B, 1, 1], pixels
    order: int


def solve_spline(
    centres: Tensor, values: Tensor, *, order: int = 1, regularisation: float = 0.0
) -> Spline:
    """Spline of (W1) that takes `values` at `centres`.

    Args:
        centres: distinct points in pixels, (x, y), not all on one line, `[B, N, 2]`, N >= 3.
        values: what to interpolate, each of the K columns by itself, `[B, N, K]`.
        order: 1 for -r, 2 for r^2 log r, 3 for r^3.
        regularisation: lambda of (W2) in pixels ** order; above 0 the values are approximated,
            and coinciding centres are allowed.

    Raises:
        Speech2FaceError: unknown order, shapes that do not fit, or a singular system.
    """
    _check_points("centres", centres)
    if values.shape[:2] != centres.shape[:2] or values.ndim != 3:
        problem = f"values {tuple(values.shape)} at centres {tuple(centres.shape)}"
        raise Speech2FaceError(problem, "give one row of values a centre, `[B, N, K]`")
    WarpConfig(order=order, regularisation=regularisation)  # refuses what is out of range
    working = _solving_dtype(order)
    dtype, centres, values = centres.dtype, centres.to(working), values.to(working)
    shift = centres.mean(dim=1, keepdim=True)  # [B, 1, 2]
    centred = centres - shift  # [B, N, 2]
    # The spline does not depend on the unit of length, so the unit needs no gradient.
    scale = centred.detach().abs().amax(dim=(1, 2), keepdim=True)  # [B, 1, 1]
    centred = centred / scale
    penalty = regularisation / scale**order  # [B, 1, 1]

    identity = torch.eye(centres.shape[1], dtype=working, device=centres.device)  # [N, N]
    kernel = _kernel(_squared_distances(centred, centred), order) + penalty * identity  # [B, N, N]
    slopes = _inverse_gram(centred) @ centred.transpose(
        1, 2
    )  # [B, 2, N]: values to the slopes that fit best
    affine_part = centred @ slopes + 1.0 / centres.shape[1]  # [B, N, N]: Q; centred, so 1 _|_ x, y
    complement = identity - affine_part  # [B, N, N]: E
    definite = complement @ kernel @ complement + affine_part  # [B, N, N]: M of (W3)

    weights = _solve_definite(definite, complement @ values, order)  # [B, N, K]
    remainder = values - kernel @ weights  # [B, N, K]: the affine function P a at the centres
    affine = torch.cat([remainder.mean(dim=1, keepdim=True), slopes @ remainder], dim=1)  # [B,3,K]
    return Spline(
        centres=centred.to(dtype),
        weights=weights.to(dtype),
        affine=affine.to(dtype),
        shift=shift.to(dtype),
        scale=scale.to(dtype),
        order=order,
    )


def evaluate_spline(spline: Spline, points: Tensor) -> Tensor:
    """Values of `spline` at `points` in pixels, (x, y), `[B, M, 2]` to `[B, M, K]`."""
    _check_points("points", points)
    points = (points - spline.shift) / spline.scale  # [B, M, 2]
    kernel = _kernel(_squared_distances(points, spline.centres), spline.order)  # [B, M, N]
    constant, slopes = spline.affine[:, :1], spline.affine[:, 1:]  # [B, 1, K], [B, 2, K]
    return kernel @ spline.weights + constant + points @ slopes  # [B, M, K]


def evaluate_on_lattice(spline: Spline, x: Tensor, y: Tensor) -> Tensor:
    """Values of `spline` at the crossings of columns `x [W]` and rows `y [H]`, `[B, K, H, W]`.

    The same as `evaluate_spline` at all pairs, without a list of pairs: a squared distance is a
    term of the column plus a term of the row, so the large array is made by one addition.
    """
    x = (x - spline.shift[..., 0]) / spline.scale[..., 0]  # [B, W]
    y = (y - spline.shift[..., 1]) / spline.scale[..., 0]  # [B, H]
    across = (x[:, None, :] - spline.centres[..., :1]).square()  # [B, N, W]
    down = (y[:, None, :] - spline.centres[..., 1:]).square()  # [B, N, H]
    kernel = _kernel(down[..., None] + across[:, :, None, :], spline.order)  # [B, N, H, W]
    bent = spline.weights.transpose(1, 2) @ kernel.flatten(2)  # [B, K, H * W]
    constant, slope_x, slope_y = spline.affine[..., None].unbind(dim=1)  # [B, K, 1] each
    row = constant + slope_x * x[:, None, :]  # [B, K, W]
    column = slope_y * y[:, None, :]  # [B, K, H]
    bent = bent.reshape(*bent.shape[:2], y.shape[-1], x.shape[-1])  # [B, K, H, W]
    return bent + row[:, :, None, :] + column[..., None]


def backward_flow(
    source: Tensor,
    destination: Tensor,
    height: int,
    width: int,
    *,
    config: WarpConfig = LINEAR_WARP,
) -> Tensor:
    """For every pixel of the result, the displacement to the place where the given picture is read.

    Args:
        source: landmarks in the given picture, `[N, 2]` or `[B, N, 2]`.
        destination: the same landmarks in the result, `[B, N, 2]`.

    Returns:
        Displacement in pixels, channels (x, y), `[B, 2, H, W]`.
    """
    _check_points("destination", destination)
    fixed = boundary_points(height, width, config.boundary_points_per_edge).to(destination)
    # Source and destination change places: the motion runs from the result to the given picture.
    spline = _motion(destination, source, fixed, config)
    stride = config.flow_stride
    x = _lattice(width, stride).to(destination)  # [columns]
    y = _lattice(height, stride).to(destination)  # [rows]
    flow = evaluate_on_lattice(spline, x, y)  # [B, 2, rows, columns]
    if stride == 1:
        return flow
    size = (_covered(height, stride), _covered(width, stride))
    flow = F.interpolate(flow, size=size, mode="bilinear", align_corners=True)
    return flow[:, :, :height, :width]  # [B, 2, H, W]: the last node may lie beyond the border


def warp_image(
    image: Tensor, source: Tensor, destination: Tensor, *, config: WarpConfig = LINEAR_WARP
) -> Tensor:
    """Move a picture so that what lies at `source` lies at `destination`.

    Args:
        image: any channels, `[B, C, H, W]`.
        source: landmarks in `image`, pixels, (x, y), `[N, 2]` or `[B, N, 2]`.
        destination: the same landmarks in the result, `[B, N, 2]`.

    Returns:
        The moved picture, `[B, C, H, W]`, differentiable in all three tensors.
    """
    height, width = image.shape[-2:]
    return sample_bilinear(image, backward_flow(source, destination, height, width, config=config))


def sample_bilinear(image: Tensor, flow: Tensor) -> Tensor:
    """Read `image [B, C, H, W]` at every pixel plus `flow [B, 2, H, W]`, pixels, (x, y)."""
    height, width = image.shape[-2:]
    x = _lattice(width, 1).to(flow)  # [W]
    y = _lattice(height, 1).to(flow)[:, None]  # [H, 1]
    # grid_sample wants -1 at the centre of the first pixel and 1 at that of the last one.
    across = (flow[:, 0] + x) * (2.0 / (width - 1)) - 1.0  # [B, H, W]
    down = (flow[:, 1] + y) * (2.0 / (height - 1)) - 1.0  # [B, H, W]
    grid = torch.stack([across, down], dim=-1)  # [B, H, W, 2]
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def boundary_points(height: int, width: int, per_edge: int = 2) -> Tensor:
    """Points on the border of a picture, pixels, (x, y), `[4 * per_edge, 2]`.

    Each edge gives its first corner and the points that divide it in `per_edge` equal parts: 0 no
    points, 1 the four corners, 2 the corners and the middles of the edges.
    """
    right, bottom = float(width - 1), float(height - 1)
    corners = torch.tensor([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])  # [4, 2]
    along = torch.arange(per_edge)[:, None] / max(per_edge, 1)  # [per_edge, 1]
    edges = corners.roll(-1, dims=0) - corners  # [4, 2]
    return (corners[:, None] + along * edges[:, None]).flatten(0, 1)  # [4 * per_edge, 2]


def _motion(start: Tensor, end: Tensor, fixed: Tensor | None, config: WarpConfig) -> Spline:
    """Spline of the displacement `end - start`, zero at the `fixed` points."""
    start, end = torch.broadcast_tensors(start, end)
    _check_points("landmarks", start)
    displacement = end - start  # [B, N, 2]
    if fixed is not None:
        resting = fixed.to(start).expand(start.shape[0], -1, -1)  # [B, Q, 2]
        start = torch.cat([start, resting], dim=1)  # [B, N + Q, 2]
        displacement = torch.cat([displacement, torch.zeros_like(resting)], dim=1)
    return solve_spline(
        start, displacement, order=config.order, regularisation=config.regularisation
    )


def _kernel(squared_distance: Tensor, order: int) -> Tensor:
    """phi of (W1) from r^2; the softening makes its slope at r = 0 finite, and changes no value."""
    if order == 2:
        return 0.5 * squared_distance * (squared_distance + SOFTENING).log()
    radius = (squared_distance + SOFTENING).sqrt()
    return -radius if order == 1 else squared_distance * radius


def _squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """`[B, M, 2]` and `[B, N, 2]` to `[B, M, N]`.

    By differences: the expansion |p|^2 - 2 p.c + |c|^2 loses half the digits beside a centre.
    """
    return (points[:, :, None, :] - centres[:, None, :, :]).square().sum(dim=-1)


def _inverse_gram(centred: Tensor) -> Tensor:
    """Inverse of the 2x2 matrix of second moments of points `[B, N, 2]`, in closed form."""
    gram = centred.transpose(1, 2) @ centred  # [B, 2, 2]
    xx, xy, yy = gram[:, 0, 0], gram[:, 0, 1], gram[:, 1, 1]  # [B] each
    adjugate = torch.stack([yy, -xy, -xy, xx], dim=-1).reshape(-1, 2, 2)  # [B, 2, 2]
    determinant = (xx * yy - xy * xy).reshape(-1, 1, 1)  # [B, 1, 1]
    return adjugate / determinant


def _solving_dtype(order: int) -> torch.dtype:
    """In torch float64: the system is small, and orders 2 and 3 need the digits.

    An exported graph of order 1 is float32 throughout, which every runtime knows and which is
    faster: the matrix has a condition of about 1e4, so that float32 leaves the flow right to some
    thousandths of a pixel.
    """
    return torch.float32 if torch.onnx.is_in_onnx_export() and order == 1 else torch.float64


def _solve_definite(matrix: Tensor, values: Tensor, order: int) -> Tensor:
    """Solution of `matrix [B, N, N] @ solution = values [B, N, K]`, symmetric positive definite."""
    if torch.onnx.is_in_onnx_export():
        return _solve_by_schulz(matrix, values, SCHULZ_STEPS[order])
    factor, failed = torch.linalg.cholesky_ex(matrix)  # [B, N, N], [B]
    if failed.any():
        problem = "the spline's points coincide, lie on one line or are not finite"
        raise Speech2FaceError(problem, "give distinct points or a regularisation above 0")
    return torch.cholesky_solve(values, factor)


def _solve_by_schulz(matrix: Tensor, values: Tensor, n_steps: int) -> Tensor:
    """`_solve_definite` by (W4), in matrix products alone, with one step of refinement."""
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    # No eigenvalue of a symmetric matrix exceeds its largest absolute row sum (Gershgorin).
    bound = matrix.abs().sum(dim=-1, keepdim=True).amax(dim=-2, keepdim=True)  # [B, 1, 1]
    inverse = identity / bound  # [B, N, N]: X_0
    for _ in range(n_steps):
        inverse = inverse @ (2.0 * identity - matrix @ inverse)  # [B, N, N]
    solution = inverse @ values  # [B, N, K]
    return solution + inverse @ (values - matrix @ solution)


def _covered(length: int, stride: int) -> int:
    """Pixels from the first to the last node of a lattice that covers `length` pixels."""
    return stride * ((length + stride - 2) // stride) + 1


def _lattice(length: int, stride: int) -> Tensor:
    """Nodes every `stride` pixels from the first pixel to the last one or just beyond it."""
    return torch.arange(0, _covered(length, stride), stride, dtype=torch.float32)


def _check_points(name: str, points: Tensor) -> None:
    if points.ndim != 3 or points.shape[-1] != 2:
        raise Speech2FaceError(f"{name} {tuple(points.shape)}", "expected (x, y) as `[B, N, 2]`")
