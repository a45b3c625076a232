"""From a trained model to one ONNX file: waveform in, face out, and a card that says what it is.

The file holds everything, audio front end and warp included, so that `inference/pipeline.py` needs
onnxruntime and no torch. Large weights of linear and convolution layers are stored as int8 with one
scale a channel, whatever else is large as float16. The nodes that make float32 of them follow each,
and onnxruntime folds them away when it opens the file: the arithmetic stays float32. Rounding
happens *before* the export, in `as_stored`, so that torch and ONNX hold the same numbers; what is
derived from constants (Fourier kernels, mel bands) keeps every digit.
"""

import copy
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech2face.audio.segment import N_SAMPLES
from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.inference.pipeline import (
    IMAGE_SIZE,
    METADATA_KEY,
    N_LANDMARKS,
    load_model,
)
from speech2face.models.speech2face import Speech2Face
from speech2face.models.stored import Quantised, as_stored, is_large, quantise

OPSET = 17
_CARD_KEYS = ("format", "name", "sample_rate", "default_exaggeration", "feature_size", "draw_size")
# What torch says of an export that a test holds against torch itself, by message and category.
_KNOWN_NOTICES: tuple[tuple[str, type[Warning]], ...] = (
    ("", torch.jit.TracerWarning),  # type: ignore[attr-defined]
    ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    ("The feature will be removed", DeprecationWarning),
    ("Constant folding - Only steps=1", UserWarning),
    ("Exporting a model to ONNX with a batch_size other than 1", UserWarning),
)


def export(
    model: Speech2Face, path: Path, card: Mapping[str, Any], *, full_precision: bool = False
) -> None:
    """Write `model` as one ONNX graph that `load_model` opens.

    Inputs are `waveform [1, L]`, `exaggeration [1]` and `draw [1, R]`; outputs `image
    [1, 3, 224, 224]`, `feature [1, D]` and `landmarks [1, 68, 2]`, all float32.

    Args:
        path: the file to write; it is replaced in one rename, or left as it was.
        card: what the model says of itself, plain values for JSON; the keys of `ModelCard` are
            required, licence and training data belong there too.
        full_precision: store every weight as float32. Otherwise the graph computes what
            `as_stored(model)` computes.

    Raises:
        Speech2FaceError: the card does not fit the model, or the file cannot be written.
    """
    onnx = _onnx()
    described = _describe(card, model)
    graph = _trace(model if full_precision else as_stored(model), onnx)
    if not full_precision:
        _store_small(graph, onnx)
    _state_shapes(graph, model)
    onnx.helper.set_model_props(graph, {METADATA_KEY: described})
    onnx.checker.check_model(graph)
    _write(graph.SerializeToString(deterministic=True), path)


def verify_parity(
    model: Speech2Face,
    path: Path,
    waveform: Tensor,
    *,
    exaggeration: float = 0.0,
    draw: Tensor | None = None,
) -> float:
    """Largest difference between the image of `model` in torch and that of the file, in 0..1.

    Args:
        model: what was exported; `as_stored` of it, unless the file is of full precision.
        waveform: speech at 16 kHz, `[1, L]`.
        draw: standard normal coordinates, `[1, R]`; zeros unless given.
    """
    draw = torch.zeros(1, len(model.spread)) if draw is None else draw
    inputs = {
        "waveform": waveform,
        "exaggeration": torch.tensor([float(exaggeration)]),
        "draw": draw,
    }
    with torch.no_grad():
        ours = model(**inputs).image.numpy()  # [1, 3, 224, 224]
    session = load_model(path).session
    (theirs,) = session.run(["image"], {name: value.numpy() for name, value in inputs.items()})
    return float(np.abs(ours - theirs).max())


def _describe(card: Mapping[str, Any], model: Speech2Face) -> str:
    """The card as JSON, once it is known to be one and to be that of `model`."""
    if missing := [key for key in _CARD_KEYS if key not in card]:
        raise Speech2FaceError(f"the card lacks {missing}", "describe the model whole")
    draw_size, feature_size = model.spread.shape
    sizes = {"feature_size": feature_size, "draw_size": draw_size}
    for name, size in sizes.items():
        if card[name] != size:
            problem = f"the card says {name} {card[name]}, the model has {size}"
            raise Speech2FaceError(problem, "describe the model that is exported")
    try:
        return json.dumps(dict(card), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        problem = f"the card cannot be written as JSON ({error})"
        raise Speech2FaceError(problem, "describe the model in plain values") from error


def _trace(model: Speech2Face, onnx: ModuleType) -> Any:
    """ONNX graph of `model` for any number of samples.

    By tracing: how many windows there are follows from the length, which is data to the newer
    exporter.
    """
    example = (torch.zeros(1, N_SAMPLES), torch.zeros(1), torch.zeros(1, len(model.spread)))
    with tempfile.TemporaryDirectory() as folder, _without_known_notices(), torch.no_grad():
        traced = Path(folder) / "traced.onnx"
        torch.onnx.export(
            copy.deepcopy(model).cpu().eval(),
            example,
            str(traced),
            dynamo=False,
            opset_version=OPSET,
            input_names=["waveform", "exaggeration", "draw"],
            output_names=["image", "feature", "landmarks"],
            dynamic_axes={"waveform": {1: "n_samples"}},
        )
        return onnx.load(str(traced))


def _store_small(graph: Any, onnx: ModuleType) -> None:
    """Store every large weight as what `as_stored` rounded it to, with what restores it behind it.

    Weights are known by value: the tracer renames some and transposes some.
    """
    stored, restoring = [], []
    for tensor in graph.graph.initializer:
        tensors, nodes = _small(tensor, onnx)
        stored += tensors
        restoring += nodes
    nodes = [*restoring, *graph.graph.node]  # a node stands before whatever uses its output
    for field, content in ((graph.graph.initializer, stored), (graph.graph.node, nodes)):
        del field[:]
        field.extend(content)


def _small(tensor: Any, onnx: ModuleType) -> tuple[list[Any], list[Any]]:
    """Initializers to store in place of `tensor`, and the nodes that make exactly it of them."""
    value = onnx.numpy_helper.to_array(tensor)
    if value.dtype != np.float32 or not is_large(value):
        return [tensor], []
    name, to_tensor, to_node = tensor.name, onnx.numpy_helper.from_array, onnx.helper.make_node
    if (quantised := _exactly_quantised(value)) is not None:
        levels, step = f"{name}_int8", f"{name}_step"
        tensors = [
            to_tensor(quantised.levels.numpy(), levels),
            to_tensor(quantised.step.numpy(), step),
        ]
        return tensors, [
            to_node("Cast", [levels], [f"{name}_levels"], to=onnx.TensorProto.FLOAT),
            to_node("Mul", [f"{name}_levels", step], [name]),
        ]
    if (half := _exact_half(value)) is not None:
        cast = to_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT)
        return [to_tensor(half, f"{name}_half")], [cast]
    return [tensor], []


def _exactly_quantised(value: Any) -> Quantised | None:
    """`value` in int8 and steps, or None where that would change it."""
    if value.ndim < 2:
        return None
    quantised = quantise(torch.tensor(value))
    return quantised if np.array_equal(quantised.value.numpy(), value) else None


def _exact_half(value: Any) -> Any:
    """`value` as float16, or None where that would change it."""
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), value) else None


def _state_shapes(graph: Any, model: Speech2Face) -> None:
    """Write the sizes of what comes out into the graph; tracing leaves some of them open."""
    shapes = {
        "image": (1, 3, IMAGE_SIZE, IMAGE_SIZE),
        "feature": (1, len(model.mean_feature)),
        "landmarks": (1, N_LANDMARKS, 2),
    }
    for output in graph.graph.output:
        dimensions = output.type.tensor_type.shape.dim
        for dimension, size in zip(dimensions, shapes[output.name], strict=True):
            dimension.dim_value = size


def _write(content: bytes, path: Path) -> None:
    """Replace `path` by `content` in one rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as refused:
        problem = f"the model cannot be written ({refused.strerror})"
        remedy = "give a file in a folder with room to write"
        raise Speech2FaceError(problem, remedy, str(path)) from refused
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _without_known_notices() -> Iterator[None]:
    with warnings.catch_warnings():
        for message, category in _KNOWN_NOTICES:
            warnings.filterwarnings("ignore", message=message, category=category)
        yield


def _onnx() -> ModuleType:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ModuleNotFoundError as missing:
        raise missing_extra("onnx", "train") from missing
    return onnx
