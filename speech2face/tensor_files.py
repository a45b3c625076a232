"""Arrays and a text in one safetensors file, without torch: the form of our small files.

The text, JSON that says what the arrays are, is the one entry in the header of the file. Feature
files, photo maps and the maps of the matcher have this form. Checkpoints hold torch's tensors and
are written by `models/checkpoint.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech2face.extras import missing_extra

ENTRY = "speech2face"  # of the text in the header


def content_of_arrays(arrays: Mapping[str, NDArray[Any]], text: str, *, extra: str) -> bytes:
    """The content of a file; the same arrays and text give the same bytes.

    Args:
        arrays: by name, in any memory order. safetensors writes the memory of an array as it lies,
            so that a transposed one would come back scrambled: all are laid out by rows first.
        text: for the header.
        extra: of this package, by which safetensors is installed.

    Raises:
        Speech2FaceError: safetensors is not installed.
    """
    by_rows = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content: bytes = _safetensors(extra).numpy.save(by_rows, metadata={ENTRY: text})
    return content


def read_arrays(
    path: Path | str, names: Sequence[str], *, extra: str
) -> tuple[str, dict[str, NDArray[Any]]]:
    """The text of a file, and the arrays of these names; others are not read.

    Raises:
        ValueError: the file is missing, damaged or of another form; each caller knows what to say.
        Speech2FaceError: safetensors is not installed.
    """
    safetensors = _safetensors(extra)
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            text = (file.metadata() or {})[ENTRY]
            return str(text), {name: file.get_tensor(name) for name in names}
    except KeyError as absent:
        raise ValueError(f"its header has no {absent}") from absent
    except (OSError, TypeError, safetensors.SafetensorError) as damage:
        raise ValueError(str(damage)) from damage


def _safetensors(extra: str) -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ModuleNotFoundError as missing:
        raise missing_extra("safetensors", extra) from missing
    return safetensors
