"""From a trained model to two ONNX files: one hears a voice, one draws a face.

    NAME.onnx         waveform [1, L]  ->  feature [1, D], v_s
                                       ->  voice_descriptors [1, V], of a compact model only
    NAME-face.onnx    feature [N, D], exaggeration [N], draw [N, R]
                      ->  image [N, 3, 224, 224], landmarks [N, 68, 2], drawn_feature [N, D], v'

The files contain everything, also audio front end and warp, so that `inference/pipeline.py` needs
onnxruntime and no torch. Both carry the card of the model, and the hearing graph names the SHA-256
of its face graph. Large weights of linear and convolution layers are stored as int8 with one scale
per channel, other large tensors as float16. When onnxruntime opens the file, it folds away the
nodes that turn them into float32, so all arithmetic is in float32. Weights are rounded *before* the
export, by `rounded_weights`, so that torch and ONNX compute with the same numbers. What is derived
from constants (Fourier kernels, mel bands) is not rounded.
"""

import copy
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from speech2face.audio.segment import N_SAMPLES
from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.files import temporary_folder, write_whole
from speech2face.inference.pipeline import (
    DRAWS,
    HEARS,
    IMAGE_SIZE,
    METADATA_KEY,
    N_LANDMARKS,
    Shape,
    face_outputs,
    hearing_outputs,
    load_model,
)
from speech2face.models.compact_voice_encoder import CompactVoiceEncoder, Hearing
from speech2face.models.hub import face_graph_path, sha256_of
from speech2face.models.piecewise import DOMAIN, Used, recorded
from speech2face.models.rounding import Quantised, is_large, quantise, rounded_weights
from speech2face.models.speech2face import Speech2Face

OPSET = 17
_CARD_KEYS = ("format", "name", "sample_rate", "default_exaggeration", "feature_size", "draw_size")
# Warnings of torch about an export whose result a test compares with torch: message, category.
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
    """Write `model` as the two ONNX graphs that `load_model` opens: `path` and its face graph.

    Args:
        path: the hearing graph; each file is replaced in one rename, or left as it was.
        card: facts about the model, plain values for JSON; the keys of `ModelCard` are
            required, licence and training data belong there too.
        full_precision: store every weight as float32. Otherwise the graphs compute what
            `rounded_weights(model)` computes.

    Raises:
        Speech2FaceError: the card does not fit the model, the faces do not have the size of
            the contract, or a file cannot be written.
    """
    onnx = _onnx()
    _refuse_other_card(card, model)
    model = copy.deepcopy(model if full_precision else rounded_weights(model)).cpu().eval()
    faces = {
        "feature": model.draws.mean_feature.expand(2, -1),  # two, as one is traced as a constant
        "exaggeration": torch.zeros(2),
        "draw": torch.zeros(2, model.draw_size),
    }
    outputs = face_outputs(model.feature_size)
    axes = {name: {0: "n_faces"} for name in (*faces, *outputs)}
    drawing = _graph(model.draws, faces, outputs, axes, onnx)
    face_content = _finished(drawing, dict(card) | {"part": DRAWS}, onnx, full_precision)
    hears = model.hears
    hearing = _graph(
        Hearing(hears) if isinstance(hears, CompactVoiceEncoder) else hears,
        {"waveform": torch.zeros(1, N_SAMPLES)},
        hearing_outputs(model.feature_size, model.descriptor_sizes),
        {"waveform": {1: "n_samples"}},
        onnx,
    )
    said = dict(card) | {
        "part": HEARS,
        "face_sha256": sha256_of(face_content),
        "descriptor_sizes": list(model.descriptor_sizes),
    }
    content = _finished(hearing, said, onnx, full_precision)
    write_whole(face_graph_path(path), face_content)
    write_whole(path, content)


def graph_content(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Shape],
    card: Mapping[str, Any],
) -> bytes:
    """Content of an ONNX file of any network in eval mode, with all weights as float32.

    Args:
        module: what the file computes; its arguments are the inputs in their order.
        inputs: an example of each by its name, `[N, ...]` with N at least 2; N is left open.
        outputs: sizes of the outputs by name, where None is left open.
        card: plain values, for the metadata of the file.

    Raises:
        Speech2FaceError: the package onnx is missing.
    """
    onnx = _onnx()
    axes = {name: {0: "n"} for name in (*inputs, *outputs)}
    return _finished(_graph(module, inputs, outputs, axes, onnx), card, onnx, full_precision=True)


def verify_parity(
    model: Speech2Face,
    path: Path,
    waveform: Tensor,
    *,
    exaggeration: float = 0.0,
    draw: Tensor | None = None,
) -> float:
    """Largest difference between the image of `model` in torch and that of the files, in 0..1.

    Args:
        model: what was exported; `rounded_weights` of it, unless the files are of full precision.
        waveform: speech at 16 kHz, `[1, L]`.
        draw: standard normal coordinates, `[1, R]`; zeros unless given.
    """
    draw = torch.zeros(1, model.draw_size) if draw is None else draw
    alpha = torch.tensor([float(exaggeration)])
    with torch.no_grad():
        ours = model(waveform, alpha, draw).image.numpy()  # [1, 3, 224, 224]
    pipeline = load_model(path)
    (feature,) = pipeline.hearing.run(["feature"], {"waveform": waveform.numpy()})
    inputs = {"feature": feature, "exaggeration": alpha.numpy(), "draw": draw.numpy()}
    (theirs,) = pipeline.drawing.run(["image"], inputs)
    return float(np.abs(ours - theirs).max())


def _refuse_other_card(card: Mapping[str, Any], model: Speech2Face) -> None:
    """Raise unless the card is that of the model and can be written."""
    if missing := [key for key in _CARD_KEYS if key not in card]:
        raise Speech2FaceError(f"the card lacks {missing}", "describe the model whole")
    decoder: Any = model.draws.face_decoder.config
    if (decoder.image_size, decoder.n_landmarks) != (IMAGE_SIZE, N_LANDMARKS):
        problem = f"its faces have {decoder.image_size} pixels and {decoder.n_landmarks} landmarks"
        remedy = f"train a face decoder for {IMAGE_SIZE} pixels and {N_LANDMARKS} landmarks"
        raise Speech2FaceError(problem, remedy)
    sizes = {"feature_size": model.feature_size, "draw_size": model.draw_size}
    for name, size in sizes.items():
        if card[name] != size:
            problem = f"the card says {name} {card[name]}, the model has {size}"
            raise Speech2FaceError(problem, "describe the model that is exported")
    try:
        json.dumps(dict(card), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        problem = f"the card cannot be written as JSON ({error})"
        raise Speech2FaceError(problem, "describe the model in plain values") from error


def _graph(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Shape],
    open_axes: Mapping[str, Mapping[int, str]],
    onnx: ModuleType,
) -> Any:
    """ONNX graph of a module that states the sizes of its outputs, which tracing leaves open.

    By tracing, because the number of windows depends on the length, which the newer exporter
    treats as data.
    """
    with recorded() as used:
        graph = _traced(module, inputs, list(outputs), open_axes, onnx)
    _place_scans(graph.graph, used, onnx)
    for output in graph.graph.output:
        dimensions = output.type.tensor_type.shape.dim
        for dimension, size in zip(dimensions, outputs[output.name], strict=True):
            if size is not None:
                dimension.dim_value = size
    return graph


def _traced(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    open_axes: Mapping[str, Mapping[int, str]],
    onnx: ModuleType,
) -> Any:
    """ONNX model of a module, as torch writes it."""
    with temporary_folder() as folder, _without_known_notices(), torch.no_grad():
        traced = folder / "traced.onnx"
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(traced),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=open_axes,
        )
        return onnx.load(str(traced))


def _place_scans(graph: Any, used: Mapping[str, Used], onnx: ModuleType) -> None:
    """Put a Scan over its network in place of each placeholder of `piecewise`.

    Weights lie in the body of the Scan: there onnxruntime optimises their layers as it does
    outside, which it does not for weights of the graph around.
    """
    for node in graph.node:
        if node.domain == DOMAIN:
            (name,) = (attribute.s.decode() for attribute in node.attribute)
            body = _body(used[name], f"{name}/", onnx)
            scan = onnx.helper.make_node(
                "Scan", list(node.input), list(node.output), name, body=body, num_scan_inputs=1
            )
            node.CopyFrom(scan)


def _body(used: Used, prefix: str, onnx: ModuleType) -> Any:
    """ONNX graph of a network, with a prefix in every name, as names around it must be others."""
    two = torch.cat([used.piece, used.piece])  # as one is traced as a constant
    axes = {name: {0: "n_pieces"} for name in ("pieces", "results")}
    model = _traced(used.network, {"pieces": two}, ["results"], axes, onnx)
    return onnx.compose.add_prefix(model, prefix).graph


def _finished(graph: Any, card: Mapping[str, Any], onnx: ModuleType, full_precision: bool) -> bytes:
    """Content of the file: weights stored small, the card in the metadata."""
    if not full_precision:
        for part in _parts(graph.graph):
            _store_small(part, onnx)
    onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(dict(card), sort_keys=True)})
    onnx.checker.check_model(graph)
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def _parts(graph: Any) -> Iterator[Any]:
    """A graph and the graphs inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _parts(attribute.g)


def _store_small(graph: Any, onnx: ModuleType) -> None:
    """Store each large weight as `rounded_weights` rounded it, and add the node that restores it.

    Weights are found by their values, because the tracer renames and transposes some.
    """
    stored, restoring = [], []
    for tensor in graph.initializer:
        tensors, nodes = _small(tensor, onnx)
        stored += tensors
        restoring += nodes
    nodes = [*restoring, *graph.node]  # a node comes before those that use its output
    for field, content in ((graph.initializer, stored), (graph.node, nodes)):
        del field[:]
        field.extend(content)


def _small(tensor: Any, onnx: ModuleType) -> tuple[list[Any], list[Any]]:
    """Initializers to store instead of `tensor`, and the nodes that restore it exactly."""
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
    """`value` as int8 and scales, or None if that would change it."""
    if value.ndim < 2:
        return None
    quantised = quantise(torch.tensor(value))
    return quantised if np.array_equal(quantised.value.numpy(), value) else None


def _exact_half(value: Any) -> Any:
    """`value` as float16, or None if that would change it."""
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), value) else None


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
        import onnx.compose
        import onnx.helper
        import onnx.numpy_helper
    except ModuleNotFoundError as missing:
        raise missing_extra("onnx", "train") from missing
    return onnx
