"""A tiny graph of the contract of exported models, for tests that need no trained weights.

Its face is nobody's: the red of the image grows with the exaggeration, the green with the first
coordinate of the draw, the blue with the mean loudness of the voice.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

DRAW_SIZE, FEATURE_SIZE, SIZE = 3, 5, 224
METADATA: dict[str, Any] = {
    "format": 1,
    "name": "stand-in",
    "sample_rate": 16_000,
    "clip_seconds": 6,
    "default_exaggeration": 0.5,
    "feature_size": FEATURE_SIZE,
    "draw_size": DRAW_SIZE,
    "min_samples": 48_000,
}
INPUTS = {"waveform": [1, "samples"], "exaggeration": [1], "draw": [1, DRAW_SIZE]}
OUTPUTS = {
    "image": [1, 3, SIZE, SIZE],
    "feature": [1, FEATURE_SIZE],
    "landmarks": [1, 68, 2],
}


def stand_in_graph(
    metadata: dict[str, Any] | str | None = METADATA,
    inputs: dict[str, list[Any]] = INPUTS,
    outputs: dict[str, list[Any]] = OUTPUTS,
) -> ModelProto:
    """The graph; change what it says of itself, or the sizes it states, to make a wrong one."""
    landmarks = np.stack([np.linspace(40, 180, 68), np.linspace(60, 200, 68)], axis=1)  # (x, y)
    constants = {
        "quarter": np.float32([0.25]),
        "last": np.array([-1], np.int64),
        "first_start": np.array([0], np.int64),
        "first_end": np.array([1], np.int64),
        "column": np.array([1], np.int64),
        "pixel_shape": np.array([1, 3, 1, 1], np.int64),
        "image_shape": np.array([1, 3, SIZE, SIZE], np.int64),
        "feature_shape": np.array([1, FEATURE_SIZE], np.int64),
        "landmarks_given": landmarks[None].astype(np.float32),
    }
    nodes = [
        helper.make_node("Abs", ["waveform"], ["loudness"]),
        helper.make_node("ReduceMean", ["loudness"], ["blue"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["exaggeration", "quarter"], ["red"]),
        helper.make_node("Slice", ["draw", "first_start", "first_end", "column"], ["drawn"]),
        helper.make_node("Reshape", ["drawn", "last"], ["drawn_flat"]),
        helper.make_node("Sigmoid", ["drawn_flat"], ["green"]),
        helper.make_node("Concat", ["red", "green", "blue"], ["rgb"], axis=0),
        helper.make_node("Reshape", ["rgb", "pixel_shape"], ["pixel"]),
        helper.make_node("Expand", ["pixel", "image_shape"], ["image"]),
        helper.make_node("Expand", ["blue", "feature_shape"], ["feature"]),
        helper.make_node("Identity", ["landmarks_given"], ["landmarks"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand_in",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        helper.set_model_props(model, {"speech2face": text})
    return model


def write_stand_in(path: Path, **changes: Any) -> Path:
    """Write the graph of `stand_in_graph` as an ONNX file."""
    path.write_bytes(stand_in_graph(**changes).SerializeToString())
    return path
