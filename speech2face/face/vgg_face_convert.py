"""Public VGG-Face files to our safetensors file.

| layout | file | conv1 reads | kernels | fc6 reads |
|---|---|---|---|---|
| `pytorch` | `vgg_face_dag.pth`, or any state dict of its names | RGB | out, in, y, x | C x H x W |
| `matconvnet` | `vgg-face.mat`, in MATLAB 5 format | RGB | y, x, in, out | H x W x C |
| `caffe` | `VGG_FACE.caffemodel` | BGR | out, in, y, x | C x H x W |
| `numpy` | `.npz` of the Caffe blobs: `conv1_1.weight`, `conv1_1.bias` ... | BGR | as Caffe | so |
| `torch7` | `VGG_FACE.t7` (binary, 64-bit), made from Caffe's | BGR | out, in, y, x | C x H x W |

The weights themselves don't tell RGB from BGR: the table is what the public files are, and a file
of another origin under the same names has to be checked by its owner. Reading is the only place
where a foreign pickle is opened, and only by `weights_only=True`, which runs none of its code.
"""

import hashlib
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.extras import missing_extra
from speech2face.face.caffemodel import read_caffemodel
from speech2face.face.torch7 import read_torch7
from speech2face.face.vgg_face import FULLY_CONNECTED, VGGFaceConfig, header_of

Weights = dict[str, Any]  # "conv1_1.weight" and so on to arrays or tensors, as the file has them


@dataclass(frozen=True)
class Converted:
    """What was read and written."""

    path: str
    layout: str
    sha256: str  # of the source
    n_parameters: int


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    layout: str = "auto",
    config: VGGFaceConfig | None = None,
    overwrite: bool = False,
) -> Converted:
    """Write the VGG-Face weights in `source` as `destination`, for `vgg_face.load_vgg_face`.

    Args:
        source: a public file in one of `LAYOUTS`.
        destination: the safetensors file to be; it appears whole or not at all.
        sha256: what the source must have, in hexadecimal; checked before it is opened.
        layout: one of `LAYOUTS`, or "auto": by the first bytes of the source.
        config: sizes of the network, the published ones unless given.
        overwrite: replace an existing destination.

    Raises:
        Speech2FaceError: the source is missing, has another hash, is damaged or in another layout,
            holds other layers or numbers that are not finite; or the destination exists or cannot
            be written.
    """
    source, destination = Path(source), Path(destination)
    if destination.exists() and not overwrite:
        raise Speech2FaceError("this file exists", "choose another name", str(destination))
    config = config or VGGFaceConfig()
    digest = _checked_hash(source, sha256)
    layout = _layout_of(source) if layout == "auto" else layout
    if layout not in LAYOUTS:
        raise Speech2FaceError(f"unknown layout {layout!r}", f"choose from {', '.join(LAYOUTS)}")
    raw = _read(source, LAYOUTS[layout])
    weights = _network_weights(raw, layout, config, str(source))
    _save(weights, destination, header_of(config, layout=layout, source_sha256=digest))
    n_parameters = sum(weight.numel() for weight in weights.values())
    return Converted(str(destination), layout, digest, n_parameters)


def _checked_hash(source: Path, expected: str | None) -> str:
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"cannot be read ({reason})"
        raise Speech2FaceError(problem, "check the path", str(source)) from error
    if expected is None:
        return digest
    if not re.fullmatch("[0-9a-f]{64}", expected.strip().lower()):
        raise Speech2FaceError(f"{expected!r} is no SHA-256", "give its 64 hexadecimal digits")
    if digest != expected.strip().lower():
        problem = f"its SHA-256 is {digest}, not {expected.strip().lower()}"
        raise Speech2FaceError(problem, "fetch the file again", str(source))
    return digest


def _layout_of(source: Path) -> str:
    """Layout by content: a name is too easily changed."""
    with source.open("rb") as file:
        start = file.read(16)
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            arrays = all(name.endswith(".npy") for name in archive.namelist())
        return "numpy" if arrays else "pytorch"
    if start.startswith((b"MATLAB", b"\x89HDF")):
        return "matconvnet"
    if start.startswith(b"\x80"):  # a pickle of PyTorch before 1.6
        return "pytorch"
    if start[:4] in (b"\x03\0\0\0", b"\x04\0\0\0"):  # the type mark of a table or a torch object
        return "torch7"
    if start.startswith((b"\n", b"\x12", b"\xa2\x06")):  # protobuf: the network's name, or a layer
        return "caffe"
    remedy = f"give one of the layouts {', '.join(LAYOUTS)}, unpacked"
    raise Speech2FaceError("no known layout of VGG-Face weights", remedy, str(source))


def _read(source: Path, reader: Callable[[Path], Weights]) -> Weights:
    try:
        return reader(source)
    except Speech2FaceError:
        raise
    except ModuleNotFoundError as missing:
        raise missing_extra(str(missing.name), "train") from missing
    except Exception as error:  # the readers of others raise a dozen types over a damaged file
        reason = str(error).strip().splitlines() or [type(error).__name__]
        problem = f"cannot be read as weights ({reason[0]})"
        raise Speech2FaceError(problem, "fetch the file again", str(source)) from error


def _read_pytorch(source: Path) -> Weights:
    content = torch.load(source, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping) or not all(torch.is_tensor(v) for v in content.values()):
        raise ValueError("not a state dict, names to tensors")
    return dict(content)


def _read_numpy(source: Path) -> Weights:
    with np.load(source, allow_pickle=False) as archive:
        return dict(archive)


def _read_caffe(source: Path) -> Weights:
    return {
        f"{layer}.{kind}": blob
        for layer, blobs in read_caffemodel(source).items()
        for kind, blob in zip(("weight", "bias"), blobs, strict=True)
    }


def _read_matconvnet(source: Path) -> Weights:
    from scipy.io import loadmat

    content = loadmat(source, simplify_cells=True)
    layers = content.get("net", content)["layers"]
    weights: Weights = {}
    for layer in layers:
        # Files before 2015 name the two apart; layers without parameters have an empty list.
        pair = [layer["filters"], layer["biases"]] if "filters" in layer else layer.get("weights")
        if pair is not None and len(pair) == 2:
            weights[f"{layer['name']}.weight"], weights[f"{layer['name']}.bias"] = pair
    return weights


def _read_torch7(source: Path) -> Weights:
    # The modules are not named: the k-th that has weights is the k-th layer of the network.
    parameters = [module for module in _modules(read_torch7(source)) if "weight" in module]
    names = [name for name, _ in VGGFaceConfig().layers()]
    return {
        f"{name}.{kind}": module[kind]
        for name, module in zip(names, parameters, strict=True)
        for kind in ("weight", "bias")
    }


def _modules(module: Any) -> Iterable[dict[Any, Any]]:
    """The modules without children, in the order of the network."""
    children = module["modules"]  # a Lua table, counted from 1
    for place in range(1, len(children) + 1):
        child = children[place]
        if "modules" in child:
            yield from _modules(child)
        else:
            yield child


LAYOUTS: dict[str, Callable[[Path], Weights]] = {
    "pytorch": _read_pytorch,
    "matconvnet": _read_matconvnet,
    "caffe": _read_caffe,
    "numpy": _read_numpy,
    "torch7": _read_torch7,
}
BLUE_FIRST = ("caffe", "numpy", "torch7")
KERNEL_AXES_FIRST = ("matconvnet",)


def _network_weights(
    raw: Weights, layout: str, config: VGGFaceConfig, path: str
) -> dict[str, Tensor]:
    """Tensors under the names and in the shapes of `VGGFace`, float32, from those of the file."""
    wanted = [f"{name}.{kind}" for name, _ in config.layers() for kind in ("weight", "bias")]
    if missing := [name for name in wanted if name not in raw]:
        problem = f"{len(missing)} of {len(wanted)} weights are missing, first {missing[0]}"
        raise Speech2FaceError(problem, "give a file of VGG-Face (VGG-16, 2622 identities)", path)
    if unknown := sorted(raw.keys() - set(wanted)):
        raise Speech2FaceError(f"unknown weights {unknown[:4]}", "give a file of VGG-Face", path)
    weights = {}
    for name, shape in config.layers():
        kernel = _kernel(raw[f"{name}.weight"], shape, layout, f"{path}: {name}.weight")
        weights[f"{name}.weight"] = kernel.flatten(1) if name in FULLY_CONNECTED else kernel
        bias = _reshaped(raw[f"{name}.bias"], shape[:1], f"{path}: {name}.bias")
        weights[f"{name}.bias"] = bias
    if layout in BLUE_FIRST:
        weights["conv1_1.weight"] = weights["conv1_1.weight"].flip(1)  # BGR to RGB
    return {name: weight.contiguous() for name, weight in weights.items()}


def _kernel(weight: Any, shape: tuple[int, int, int, int], layout: str, where: str) -> Tensor:
    """One kernel as (out, in, y, x); flattened from dimension 1 it reads a map as C x H x W."""
    if layout in KERNEL_AXES_FIRST:
        n_out, n_in, height, width = shape
        return _reshaped(weight, (height, width, n_in, n_out), where).permute(3, 2, 0, 1)
    return _reshaped(weight, shape, where)


def _reshaped(weight: Any, shape: tuple[int, ...], where: str) -> Tensor:
    """`weight` in `shape`: files differ in axes of length one and in whether fc6 is flat."""
    tensor = torch.as_tensor(weight)
    lengths = [length for length in tensor.shape if length != 1]
    # (4096, 25088) and (4096, 512, 7, 7) are one kernel; (512, 4096) and (4096, 512) are not.
    fits = tensor.numel() == math.prod(shape) and _merges(lengths, [n for n in shape if n != 1])
    if not fits or not tensor.is_floating_point():
        problem = f"{tensor.dtype} of shape {tuple(tensor.shape)} where {shape} belongs"
        raise Speech2FaceError(problem, "give a file of VGG-Face", where)
    if not tensor.isfinite().all():
        raise Speech2FaceError("numbers that are not finite", "fetch the file again", where)
    return tensor.to(torch.float32).reshape(shape)


def _merges(lengths: list[int], shape: list[int]) -> bool:
    """Whether one is the other with neighbouring axes multiplied together, as far as it goes."""
    ends = [
        {math.prod(axes[:place]) for place in range(1, len(axes) + 1)} for axes in (lengths, shape)
    ]
    return ends[0] <= ends[1] or ends[1] <= ends[0]


def _save(weights: dict[str, Tensor], destination: Path, header: dict[str, str]) -> None:
    unfinished = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        save_file(weights, unfinished, metadata=header)
        unfinished.replace(destination)
    except Exception as error:  # safetensors reports a full disk by its own type
        problem = f"cannot be written ({error})"
        raise Speech2FaceError(problem, "check folder and space", str(destination)) from error
    finally:
        unfinished.unlink(missing_ok=True)
