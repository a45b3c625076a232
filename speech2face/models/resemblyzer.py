"""The pretrained speaker encoder, out of Resemblyzer's wheel (Apache-2.0, Resemble AI).

Only the file of weights is used. The package itself is not imported: it would bring its own audio
stack. The file is a pickle, so it is read here, in one place, with `weights_only=True`.
"""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from speech2face.audio.mel import N_MELS
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
        weights = {name: value for name, value in state.items() if name.split(".")[0] in _PARTS}
        _refuse_other_network(weights)
    except Exception as error:  # a damaged pickle may raise anything
        problem = "not the weights of Resemblyzer's speaker encoder"
        raise Speech2FaceError(problem, _REMEDY, str(path)) from error
    return weights


def _refuse_other_network(weights: dict[str, Tensor]) -> None:
    """Raise ValueError unless names and shapes are those of the GE2E network."""
    with torch.device("meta"):
        network = {"lstm": nn.LSTM(N_MELS, 256, num_layers=3), "linear": nn.Linear(256, 256)}
    wanted = {
        f"{part}.{name}": value.shape
        for part, module in network.items()
        for name, value in module.state_dict().items()
    }
    if {name: value.shape for name, value in weights.items()} != wanted:
        raise ValueError("other layers")


def _in_wheel() -> Path:
    package = importlib.util.find_spec("resemblyzer")
    if package is None or package.origin is None:
        raise Speech2FaceError("resemblyzer is not installed", _REMEDY)
    return Path(package.origin).parent / "pretrained.pt"
