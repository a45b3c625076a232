"""The pretrained speaker encoder, out of Resemblyzer's wheel (Apache-2.0, Resemble AI).

Only the file of weights is used. The package itself is not imported: it would bring its own audio
stack. The file is a pickle, so it is read here, in one place, with `weights_only=True`.
"""

import importlib.util
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251  (the name of an error, nothing is unpickled by it)

import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError

_PARTS = ("lstm", "linear")
_REMEDY = "run pip install --no-deps resemblyzer==0.1.4"


def read_speaker_encoder(path: Path | None = None) -> dict[str, Tensor]:
    """Weights `lstm.*` and `linear.*` of the GE2E network.

    Args:
        path: a `pretrained.pt` of Resemblyzer; the installed wheel's unless given.

    Raises:
        Speech2FaceError: Resemblyzer is not installed, or the file is not its weights.
    """
    path = path or _in_wheel()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        return {name: value for name, value in state.items() if name.split(".")[0] in _PARTS}
    except (OSError, KeyError, TypeError, AttributeError, RuntimeError, UnpicklingError) as error:
        problem = "not the weights of Resemblyzer's speaker encoder"
        raise Speech2FaceError(problem, _REMEDY, str(path)) from error


def _in_wheel() -> Path:
    package = importlib.util.find_spec("resemblyzer")
    if package is None or package.origin is None:
        raise Speech2FaceError("resemblyzer is not installed", _REMEDY)
    return Path(package.origin).parent / "pretrained.pt"
