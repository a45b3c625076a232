"""The one place where a foreign pickle is read: nothing in it is run, nothing else is accepted."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from speech2face.errors import Speech2FaceError
from speech2face.models.resemblyzer import read_speaker_encoder


class Runs:
    """What a malicious file holds: unpickling it would write a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.witness,)


def weights_of_another_size() -> dict[str, torch.Tensor]:
    return torch.nn.ModuleDict(
        {"lstm": torch.nn.LSTM(40, 8, 3), "linear": torch.nn.Linear(8, 8)}
    ).state_dict()


def test_the_wheel_holds_the_network_of_three_layers_and_256_units() -> None:
    if importlib.util.find_spec("resemblyzer") is None:
        pytest.skip("resemblyzer is not installed: pip install --no-deps resemblyzer")
    weights = read_speaker_encoder()
    assert len(weights) == 3 * 4 + 2
    assert weights["lstm.weight_ih_l0"].shape == (4 * 256, 40)
    assert weights["linear.weight"].shape == (256, 256)
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Speech2FaceError) as caught:
        read_speaker_encoder()
    assert str(caught.value) == (
        "resemblyzer is not installed; run pip install --no-deps resemblyzer==0.1.4"
    )


@pytest.mark.parametrize("is_new", [True, False], ids=["zip", "bare pickle"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, is_new: bool) -> None:
    path, witness = tmp_path / "pretrained.pt", tmp_path / "witness"
    content = {"model_state": {"lstm.weight_ih_l0": Runs(witness)}}
    torch.save(content, path, _use_new_zipfile_serialization=is_new)
    with pytest.raises(Speech2FaceError, match="not the weights") as caught:
        read_speaker_encoder(path)
    assert caught.value.path == str(path)
    assert not witness.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"optimizer": {}},
        {"model_state": 3},
        {"model_state": {}},
        {"model_state": {"lstm.weight_ih_l0": "text"}},
        {"model_state": weights_of_another_size()},
    ],
    ids=["a list", "no state", "a number", "nothing", "text", "another size"],
)
def test_another_content_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "pretrained.pt"
    torch.save(content, path)
    with pytest.raises(Speech2FaceError, match="not the weights of Resemblyzer's") as caught:
        read_speaker_encoder(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("content", [b"", b"text, no weights", b"PK\x03\x04 cut off", None])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "pretrained.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Speech2FaceError, match="not the weights"):
        read_speaker_encoder(path)
