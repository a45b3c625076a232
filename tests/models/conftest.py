"""Fixtures of the models' tests: drawn faces, and the round trip through ONNX."""

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from speech2face.data.invented import draw, traits_of

RunInOnnxruntime = Callable[[nn.Module, tuple[Tensor, ...]], list[Tensor]]


@pytest.fixture(scope="session")
def face_landmarks() -> Tensor:
    """Landmarks of forty drawn faces of nobody, pixels of 224 x 224, (x, y), `[40, 68, 2]`."""
    faces = [torch.from_numpy(draw(traits_of(person)).landmarks) for person in range(40)]
    return torch.stack(faces).double()


@pytest.fixture
def run_in_onnxruntime() -> RunInOnnxruntime:
    """Export a module the way the project ships it, and run the graph on the same inputs."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def run(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        graph = io.BytesIO()
        names = [f"input{index}" for index in range(len(inputs))]
        with torch.no_grad():
            torch.onnx.export(
                module.eval(), inputs, graph, input_names=names, dynamo=False, opset_version=17
            )
        session = onnxruntime.InferenceSession(graph.getvalue())
        feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return [torch.from_numpy(output) for output in session.run(None, feed)]

    return run
