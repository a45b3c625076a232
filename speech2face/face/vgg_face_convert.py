"""Public VGG-Face files to our safetensors file.

| layout | file | conv1 reads | kernels | fc6 reads |
|---|---|---|---|---|
| `pytorch` | `vgg_face_dag.pth`, or any state dict of its names | RGB | out, in, y, x | C x H x W |
| `matconvnet` | `vgg-face.mat`, in MATLAB 5 format | RGB | y, x, in, out | H x W x C |
| `numpy` | `.npz` of the Caffe blobs: `conv1_1.weight`, `conv1_1.bias` ... | BGR | as PyTorch | so|

The weights themselves don't tell RGB from BGR: the table is what the public files are, and a file
of another origin under the same names has to be checked by its owner. `weight_readers` opens them.
"""

import math
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.face.vgg_face import FULLY_CONNECTED, VGGFaceConfig, header_of
from speech2face.face.weight_readers import READERS, Weights, read_weights
from speech2face.files import sha256_of_file, whole_file

LAYOUTS = tuple(READERS)
BLUE_FIRST = ("numpy",)
KERNEL_AXES_FIRST = ("matconvnet",)


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
    raw = read_weights(source, layout)
    weights = _network_weights(raw, layout, config, str(source))
    _save(weights, destination, header_of(config, layout=layout, source_sha256=digest))
    n_parameters = sum(weight.numel() for weight in weights.values())
    return Converted(str(destination), layout, digest, n_parameters)


def _checked_hash(source: Path, expected: str | None) -> str:
    try:
        digest = sha256_of_file(source)
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
        try:
            with zipfile.ZipFile(source) as archive:
                arrays = all(name.endswith(".npy") for name in archive.namelist())
        except Exception as error:  # four types, depending on what of the directory is damaged
            problem = f"is a zip file with a damaged directory ({error})"
            raise Speech2FaceError(problem, "download the file again", str(source)) from error
        return "numpy" if arrays else "pytorch"
    if start.startswith((b"MATLAB", b"\x89HDF")):
        return "matconvnet"
    if start.startswith(b"\x80"):  # a pickle of PyTorch before 1.6
        return "pytorch"
    remedy = f"give one of the layouts {', '.join(LAYOUTS)}, unpacked"
    raise Speech2FaceError("no known layout of VGG-Face weights", remedy, str(source))


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
    try:
        with whole_file(destination) as unfinished:
            save_file(weights, unfinished, metadata=header)
    except SafetensorError as error:  # a full disk is reported by this type
        problem = f"cannot be written ({error})"
        raise Speech2FaceError(problem, "check folder and space", str(destination)) from error
