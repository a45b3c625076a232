"""Time and error of the warp, in torch, in onnxruntime and in SciPy, on drawn faces.

    python benchmarks/warp.py            one JSON record a line, on one thread

`flow_error_px` is the largest distance from the flow in float64 at every pixel, and its mean.
The landmarks are those of drawn faces, their distance from the mean multiplied by 1.4.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates
from timing import measure
from torch import Tensor, nn

from speech2face.data.invented import draw, traits_of
from speech2face.models.warp import WarpConfig, backward_flow, boundary_points, warp_image
from speech2face.onnx_runtime import load_onnxruntime

SIZE = 224  # pixels
EXAGGERATION = 1.4
N_FACES = 40


class Flow(nn.Module):
    """Destination landmarks to the backward flow."""

    def __init__(self, source: Tensor, config: WarpConfig) -> None:
        super().__init__()
        self.source, self.config = source, config

    def forward(self, destination: Tensor) -> Tensor:
        return backward_flow(self.source, destination, SIZE, SIZE, config=self.config)


class Warp(Flow):
    """Destination landmarks and a texture to the warped picture."""

    def forward(self, destination: Tensor, image: Tensor) -> Tensor:
        return warp_image(image, self.source, destination, config=self.config)


def in_onnxruntime(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[[], np.ndarray]:
    """`module` exported, as a call without arguments that runs the graph on one thread."""
    graph = io.BytesIO()
    names = [f"input{index}" for index in range(len(inputs))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer remarks that sizes become constants
        torch.onnx.export(module, inputs, graph, input_names=names, dynamo=False, opset_version=17)
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.getvalue(), options)
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return lambda: session.run(None, feed)[0]


def in_scipy(source: Tensor, destination: Tensor, image: Tensor) -> Callable[[], np.ndarray]:
    """The same warp, at every pixel, by `RBFInterpolator` and `map_coordinates`."""
    fixed = boundary_points(SIZE, SIZE).double().numpy()
    centres = np.concatenate([destination[0].double().numpy(), fixed])
    values = np.zeros_like(centres)
    values[: len(source)] = (source - destination[0]).double().numpy()
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)

    def run() -> np.ndarray:
        flow = RBFInterpolator(centres, values, kernel="linear", degree=1, smoothing=0.1)(pixels)
        where = (pixels + flow)[:, ::-1].T
        channels = [
            map_coordinates(channel, where, order=1, mode="nearest") for channel in image[0].numpy()
        ]
        return np.stack(channels).reshape(1, 3, SIZE, SIZE)

    return run


def measure_case(config: WarpConfig, source: Tensor, destination: Tensor, image: Tensor) -> None:
    """One warp in torch and in onnxruntime, with the error of each flow."""
    every_pixel = replace(config, flow_stride=1)
    exact = Flow(source.double(), every_pixel)(destination.double())  # [1, 2, 224, 224]
    flow, warp = Flow(source, config), Warp(source, config)
    exported_flow = torch.from_numpy(in_onnxruntime(flow, (destination,))())
    runs = {
        "torch": (lambda: warp(destination, image), flow(destination)),
        "onnxruntime": (in_onnxruntime(warp, (destination, image)), exported_flow),
    }
    for runtime, (run, its_flow) in runs.items():
        measure(
            f"warp, {runtime}, order {config.order}, stride {config.flow_stride}",
            run,
            shape=tuple(destination.shape),
            flow_error_px=float((its_flow - exact).norm(dim=1).max()),
            flow_error_mean_px=float((its_flow - exact).norm(dim=1).mean()),
        )


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    faces = np.stack([draw(traits_of(person)).landmarks for person in range(N_FACES)])
    landmarks = torch.from_numpy(faces).float()  # [40, 68, 2]
    source = landmarks.mean(dim=0)
    destination = source + EXAGGERATION * (landmarks[:1] - source)
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    for stride in (1, 2, 4, 8):
        measure_case(WarpConfig(flow_stride=stride), source, destination, image)
    for order in (2, 3):
        measure_case(WarpConfig(order=order), source, destination, image)
    # A stride beyond the picture leaves four nodes: what remains is the solution of the system.
    alone = in_onnxruntime(Flow(source, WarpConfig(flow_stride=SIZE - 1)), (destination,))
    measure("spline solution, onnxruntime, order 1", alone, shape=(1, 76, 2))
    reference = in_scipy(source, destination, image)
    measure("warp, scipy, order 1", reference, shape=(1, 68, 2), dtype="float64", repeats=5)


if __name__ == "__main__":
    main()
