"""Readers of other people's weight files, run in a process of their own.

A damaged `.mat` file or pickle can crash the interpreter inside the library that reads it, or take
all memory. So `read_weights` starts a child with limits, which copies the arrays into a safetensors
file; a crash of the child is an error like any other. Pickles are opened with `weights_only=True`
and `.npz` files with `allow_pickle=False`: no code of a file runs, in either process.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from speech2face.errors import Speech2FaceError
from speech2face.files import temporary_folder

MAX_MEMORY = 2**33  # bytes of address space for the child, beside four times the file's size
MAX_CPU_SECONDS = 600
FETCH_AGAIN = "download the file again"

Weights = dict[str, NDArray[Any]]  # "conv1_1.weight" and so on


def read_weights(source: Path, layout: str) -> Weights:
    """Arrays of a weight file by name.

    Args:
        source: the file.
        layout: one of `READERS`.

    Raises:
        Speech2FaceError: the file is damaged or of another layout.
    """
    package = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), package)))
    with temporary_folder() as folder, _held_pipe() as pipe:
        copy = folder / "weights.safetensors"
        command = [sys.executable, "-P", "-m", __name__, layout, str(source.absolute()), str(copy)]
        child = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        try:
            _, said = child.communicate(timeout=2 * MAX_CPU_SECONDS)
        except subprocess.TimeoutExpired:
            raise _unreadable(source, "reading takes too long") from None
        finally:
            child.kill()
            child.wait()
        if child.returncode == 1:
            reason = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise _unreadable(source, reason[-1][:300])
        if child.returncode != 0:
            problem = f"its reader crashed or exceeded its limits, status {child.returncode}"
            raise _unreadable(source, problem)
        try:
            return dict(load_file(copy))
        except (OSError, SafetensorError) as error:
            raise _unreadable(source, str(error)) from error


@contextmanager
def _held_pipe() -> Iterator[int]:
    """The end to read of a pipe that nobody writes into: it ends when this process does."""
    read, held = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(held)


def _unreadable(source: Path, reason: str) -> Speech2FaceError:
    return Speech2FaceError(f"cannot be read as weights ({reason})", FETCH_AGAIN, str(source))


def _read_pytorch(source: Path) -> Mapping[str, Any]:
    import torch

    content = torch.load(source, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping) or not all(torch.is_tensor(v) for v in content.values()):
        raise ValueError("not a state dict, names to tensors")
    return {str(name): tensor.detach().contiguous().numpy() for name, tensor in content.items()}


def _read_numpy(source: Path) -> Mapping[str, Any]:
    with np.load(source, allow_pickle=False) as archive:
        return dict(archive)


def _read_matconvnet(source: Path) -> Mapping[str, Any]:
    from scipy.io import loadmat

    content = loadmat(source, simplify_cells=True)
    layers = content.get("net", content)["layers"]
    weights = {}
    for layer in layers:
        # Files before 2015 name the two apart; layers without parameters have an empty list.
        pair = [layer["filters"], layer["biases"]] if "filters" in layer else layer.get("weights")
        if pair is not None and len(pair) == 2:
            weights[f"{layer['name']}.weight"], weights[f"{layer['name']}.bias"] = pair
    return weights


READERS = {"pytorch": _read_pytorch, "matconvnet": _read_matconvnet, "numpy": _read_numpy}


def _limit_resources(n_bytes: int) -> None:
    """Bound memory and time of this process, where the system can."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    memory = MAX_MEMORY + 4 * n_bytes
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (allowed, hard))


def _end_with_parent() -> None:
    """End this process when its standard input ends: the process that wanted the weights is gone.

    A library that computes without a break can delay it, until the limit of CPU time at the latest.
    """
    os.read(0, 1)
    os._exit(1)


def main(layout: str, source: str, destination: str) -> int:
    """What the child does: 0 when the arrays are written, 1 and a line of reason otherwise."""
    _limit_resources(os.path.getsize(source))
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        weights = READERS[layout](Path(source))
        arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
        save_file(arrays, destination)
    except Exception as error:  # the readers of others raise a dozen types over a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        sys.stderr.write(ascii(reason)[1:-1] + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
