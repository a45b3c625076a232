"""Two tiny graphs of the contract of exported models, for tests that need no trained weights.

The graph that hears gives the mean loudness of the voice, five times; with descriptors it gives
mean loudness, power and peak too. The graph that draws makes a plain picture: its red grows with
the exaggeration, its green with the first coordinate of the draw, and its blue is the first number
of the feature. Its mean feature is zero, and draws move v' by SPREAD.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

DRAW_SIZE, FEATURE_SIZE, SIZE = 3, 5, 224
SPREAD = np.eye(DRAW_SIZE, FEATURE_SIZE, dtype=np.float32)
METADATA: dict[str, Any] = {
    "format": 2,
    "name": "stand-in",
    "sample_rate": 16_000,
    "clip_seconds": 6,
    "default_exaggeration": 0.5,
    "feature_size": FEATURE_SIZE,
    "draw_size": DRAW_SIZE,
    "min_samples": 48_000,
}
Sizes = dict[str, list[Any]]
HEARING_INPUTS: Sizes = {"waveform": [1, "samples"]}
HEARING_OUTPUTS: Sizes = {"feature": [1, FEATURE_SIZE]}
DESCRIPTOR_SIZES = [2, 1]
WITH_DESCRIPTORS: dict[str, Any] = {  # for `write_stand_in`
    "metadata": METADATA | {"descriptor_sizes": DESCRIPTOR_SIZES},
    "hearing": {"outputs": HEARING_OUTPUTS | {"voice_descriptors": [1, sum(DESCRIPTOR_SIZES)]}},
}
FACE_INPUTS: Sizes = {
    "feature": ["faces", FEATURE_SIZE],
    "exaggeration": ["faces"],
    "draw": ["faces", DRAW_SIZE],
}
FACE_OUTPUTS: Sizes = {
    "image": ["faces", 3, SIZE, SIZE],
    "landmarks": ["faces", 68, 2],
    "drawn_feature": ["faces", FEATURE_SIZE],
}


def hearing_graph(
    metadata: dict[str, Any] | str | None,
    inputs: Sizes = HEARING_INPUTS,
    outputs: Sizes = HEARING_OUTPUTS,
) -> ModelProto:
    """What hears; change what it says of itself, or the sizes it states, to make a wrong one."""
    nodes = [
        helper.make_node("Abs", ["waveform"], ["loudness"]),
        helper.make_node("ReduceMean", ["loudness"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Expand", ["mean", "feature_shape"], ["feature"]),
    ]
    if "voice_descriptors" in outputs:
        nodes += [
            helper.make_node("Mul", ["waveform", "waveform"], ["squares"]),
            helper.make_node("ReduceMean", ["squares"], ["power"], axes=[1], keepdims=1),
            helper.make_node("ReduceMax", ["loudness"], ["peak"], axes=[1], keepdims=1),
            helper.make_node("Concat", ["mean", "power", "peak"], ["voice_descriptors"], axis=1),
        ]
    constants = {"feature_shape": np.array([1, FEATURE_SIZE], np.int64)}
    return _model(nodes, inputs, outputs, constants, metadata)


def face_graph(
    metadata: dict[str, Any] | str | None,
    inputs: Sizes = FACE_INPUTS,
    outputs: Sizes = FACE_OUTPUTS,
) -> ModelProto:
    """What draws."""
    landmarks = np.stack([np.linspace(40, 180, 68), np.linspace(60, 200, 68)], axis=1)  # (x, y)
    constants = {
        "one": np.float32(1),
        "quarter": np.float32(0.25),
        "column": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "pixel_shape": np.array([-1, 3, 1, 1], np.int64),
        "picture": np.zeros((1, 3, SIZE, SIZE), np.float32),
        "points": landmarks[None].astype(np.float32),
        "spread": SPREAD,
        "no_landmark": np.zeros((1, 1), np.float32),
        "landmark_shape": np.array([-1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["exaggeration", "column"], ["alpha"]),
        helper.make_node("Mul", ["alpha", "quarter"], ["red"]),
        helper.make_node("Slice", ["draw", "zero", "column", "column"], ["drawn"]),
        helper.make_node("Sigmoid", ["drawn"], ["green"]),
        helper.make_node("Slice", ["feature", "zero", "column", "column"], ["blue"]),
        helper.make_node("Concat", ["red", "green", "blue"], ["rgb"], axis=1),
        helper.make_node("Reshape", ["rgb", "pixel_shape"], ["pixel"]),
        helper.make_node("Add", ["pixel", "picture"], ["image"]),
        helper.make_node("Mul", ["alpha", "no_landmark"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "landmark_shape"], ["nowhere"]),
        helper.make_node("Add", ["points", "nowhere"], ["landmarks"]),
        helper.make_node("Add", ["alpha", "one"], ["factor"]),
        helper.make_node("Mul", ["factor", "feature"], ["pushed"]),
        helper.make_node("MatMul", ["draw", "spread"], ["moved"]),
        helper.make_node("Add", ["pushed", "moved"], ["drawn_feature"]),
    ]
    return _model(nodes, inputs, outputs, constants, metadata)


def write_stand_in(
    path: Path,
    *,
    metadata: dict[str, Any] | str | None = METADATA,
    hearing: dict[str, Any] | None = None,
    face: dict[str, Any] | None = None,
) -> Path:
    """Write both graphs, as `speech2face export` would; returns that of the one that hears.

    Args:
        metadata: what both say of themselves.
        hearing: changes of `hearing_graph`.
        face: changes of `face_graph`.
    """
    drawing = face_graph(_part(metadata, "draws"), **(face or {})).SerializeToString()
    write_pair(path, metadata, drawing, **(hearing or {}))
    return path


def write_pair(
    path: Path, metadata: dict[str, Any] | str | None, drawing: bytes, **changes: Any
) -> Path:
    """Write the content of any face graph, and a graph that hears and names it."""
    path.with_name(f"{path.stem}-face.onnx").write_bytes(drawing)
    said = _part(metadata, "hears")
    if isinstance(said, dict):
        said = {"face_sha256": hashlib.sha256(drawing).hexdigest()} | said
    path.write_bytes(hearing_graph(said, **changes).SerializeToString())
    return path


def _part(metadata: dict[str, Any] | str | None, part: str) -> dict[str, Any] | str | None:
    return metadata | {"part": part} if isinstance(metadata, dict) else metadata


def _model(
    nodes: Sequence[NodeProto],
    inputs: Sizes,
    outputs: Sizes,
    constants: dict[str, Any],
    metadata: dict[str, Any] | str | None,
) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "stand_in",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        helper.set_model_props(model, {"speech2face": text})
    return model
