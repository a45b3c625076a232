"""Checkpoints: bit-exact round trips, atomic replacement, one clear line for what is damaged."""

import json
import os
import pathlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.models import checkpoint as checkpoint_module
from speech2face.models.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    restore_config,
    restore_weights,
    save_checkpoint,
)
from speech2face.models.face_decoder import FaceDecoderConfig, LinearFaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoderConfig
from speech2face.models.warp import WarpConfig


@dataclass(frozen=True)
class TinyConfig:
    """Settings of the network below."""

    widths: tuple[int, ...] = (3, 4)
    rate: float = 0.1
    warp: WarpConfig = field(default_factory=WarpConfig)


def tiny_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def train(network: nn.Module, optimizer: torch.optim.Optimizer, n_steps: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        loss = network(torch.randn(8, 3, generator=generator)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.detach()


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=1 / 3, betas=(0.5, 0.999), eps=1e-4)


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)


def saved(directory: Path, seed: int = 0, **changes: Any) -> Checkpoint:
    values = {"weights": tiny_network(seed).state_dict(), "config": TinyConfig(), "step": 7}
    checkpoint = Checkpoint(**(values | changes))
    save_checkpoint(checkpoint, directory)
    return checkpoint


def the_file(directory: Path, kind: str) -> Path:
    (path,) = directory.glob(f"{kind}-*.safetensors")
    return path


def test_weights_and_record_come_back_bit_for_bit(tmp_path: Path) -> None:
    metrics = {"loss": 0.1 + 0.2, "R@10%": 1 / 3}
    written = saved(tmp_path / "run", samples_seen=1234, metrics=metrics)
    read = load_checkpoint(tmp_path / "run")
    assert read.weights.keys() == written.weights.keys()
    for name, tensor in written.weights.items():
        assert torch.equal(read.weights[name], tensor)
        assert read.weights[name].dtype == tensor.dtype
    assert (read.step, read.samples_seen, read.metrics) == (7, 1234, metrics)
    assert read.optimizer is None


@pytest.mark.parametrize("make_optimizer", [adam, sgd])
def test_resumed_training_equals_uninterrupted_training(
    make_optimizer: Any, tmp_path: Path
) -> None:
    network = tiny_network()
    optimizer = make_optimizer(network)
    train(network, optimizer, n_steps=5, seed=1)
    state = optimizer.state_dict()
    save_checkpoint(Checkpoint(network.state_dict(), TinyConfig(), optimizer=state), tmp_path)
    expected = train(network, optimizer, n_steps=5, seed=2)

    resumed = tiny_network(seed=99)
    read = load_checkpoint(tmp_path)
    restore_weights(resumed, read.weights, str(tmp_path))
    optimizer = make_optimizer(resumed)
    optimizer.load_state_dict(read.optimizer)
    assert torch.equal(train(resumed, optimizer, n_steps=5, seed=2), expected)
    for mine, theirs in zip(
        resumed.state_dict().values(), network.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_optimizer_state_comes_back_with_its_tuples_and_counters(tmp_path: Path) -> None:
    network = tiny_network()
    optimizer = adam(network)
    train(network, optimizer, n_steps=3, seed=1)
    state = optimizer.state_dict()
    state["state"][0]["patience"] = 5  # a counter that is no tensor
    saved(tmp_path, optimizer=state)
    read = load_checkpoint(tmp_path).optimizer
    assert read["param_groups"] == state["param_groups"]
    assert read["state"].keys() == state["state"].keys()
    for parameter, values in state["state"].items():
        assert read["state"][parameter].keys() == values.keys()
        for name, value in values.items():
            assert torch.equal(
                torch.as_tensor(read["state"][parameter][name]), torch.as_tensor(value)
            )


@pytest.mark.parametrize(
    "config",
    [
        TinyConfig(widths=(5, 6, 7), rate=1 / 3, warp=WarpConfig(order=2)),
        FaceDecoderConfig(landmark_widths=(), warp=WarpConfig(flow_stride=4)),
        LinearFaceDecoderConfig(white_below=0.5),
        VoiceEncoderConfig(n_bins=40),
    ],
)
def test_config_comes_back_as_the_same_dataclass(config: Any, tmp_path: Path) -> None:
    saved(tmp_path, config=config)
    read = load_checkpoint(tmp_path).config
    restored = restore_config(type(config), read, str(tmp_path))
    if isinstance(config, TinyConfig):  # a list stays one unless the class makes a tuple of it
        assert tuple(restored.widths) == config.widths and restored.warp == config.warp
    else:
        assert restored == config


def test_nothing_but_json_and_safetensors_is_written(tmp_path: Path) -> None:
    network = tiny_network()
    optimizer = adam(network)
    train(network, optimizer, n_steps=1, seed=1)
    saved(tmp_path, optimizer=optimizer.state_dict())
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == ["checkpoint.json", "optimizer", "weights"]
    json.loads((tmp_path / "checkpoint.json").read_text())
    assert load_file(the_file(tmp_path, "weights")).keys() == network.state_dict().keys()


def test_tied_and_strided_weights_are_saved(tmp_path: Path) -> None:
    tied = torch.arange(6.0).reshape(2, 3)
    saved(tmp_path, weights={"a": tied, "b": tied, "c": tied.T})
    read = load_checkpoint(tmp_path).weights
    assert torch.equal(read["b"], tied) and torch.equal(read["c"], tied.T)


def test_a_new_checkpoint_replaces_the_old_one(tmp_path: Path) -> None:
    saved(tmp_path, seed=0, step=1)
    newer = saved(tmp_path, seed=1, step=2)
    read = load_checkpoint(tmp_path)
    assert read.step == 2
    assert torch.equal(read.weights["0.weight"], newer.weights["0.weight"])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("killed_at", [0, 1, 2])
def test_a_run_killed_while_saving_keeps_the_old_checkpoint(
    killed_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny_network()
    optimizer = adam(network)
    train(network, optimizer, n_steps=1, seed=1)
    older = saved(tmp_path, step=1, optimizer=optimizer.state_dict())
    train(network, optimizer, n_steps=1, seed=2)

    renames = iter(range(10))
    rename = os.replace

    def killed(source: str, destination: str) -> None:
        if next(renames) == killed_at:
            raise KeyboardInterrupt
        rename(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            saved(tmp_path, seed=1, step=2, optimizer=optimizer.state_dict())
    read = load_checkpoint(tmp_path)
    assert read.step == 1
    assert torch.equal(read.weights["0.weight"], older.weights["0.weight"])

    saved(tmp_path, seed=1, step=3)  # and the next save tidies up
    assert len(list(tmp_path.iterdir())) == 2


def test_there_is_a_checkpoint_only_after_saving(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    saved(tmp_path)
    assert has_checkpoint(tmp_path)


# What is damaged or foreign


@pytest.mark.parametrize("kept_bytes", [0, 5, 100, -1])
def test_a_truncated_tensor_file_is_named(kept_bytes: int, tmp_path: Path) -> None:
    saved(tmp_path)
    path = the_file(tmp_path, "weights")
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(Speech2FaceError, match="cut off.*earlier copy") as raised:
        load_checkpoint(tmp_path)
    assert raised.value.path == str(path)


def test_a_changed_bit_is_found(tmp_path: Path) -> None:
    saved(tmp_path)
    path = the_file(tmp_path, "weights")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(Speech2FaceError, match="changed"):
        load_checkpoint(tmp_path)


def test_a_missing_tensor_file_is_named(tmp_path: Path) -> None:
    saved(tmp_path)
    path = the_file(tmp_path, "weights")
    path.unlink()
    with pytest.raises(Speech2FaceError, match=f"{path.name}.*missing"):
        load_checkpoint(tmp_path)


def test_a_foreign_tensor_file_of_the_right_digest_is_named(tmp_path: Path) -> None:
    saved(tmp_path)
    path, record = the_file(tmp_path, "weights"), tmp_path / "checkpoint.json"
    path.write_bytes(b"PK\x03\x04 a zip, as torch.save writes")
    entry = json.loads(record.read_text())
    entry["files"]["weights"]["sha256"] = checkpoint_module._sha256(path)
    record.write_text(json.dumps(entry))
    with pytest.raises(Speech2FaceError, match="not a safetensors file"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"format": 1, "fil', "is not JSON"),
        (b"\x80\x02}q\x00.", "NUL byte"),  # a pickle
        (b"[1, 2]", "not a JSON object"),
        (b'{"model": "other"}', "not a checkpoint of speech2face"),
        (b'{"format": 2, "files": {}}', "format 2.*version that wrote it"),
        (b'{"format": 1, "files": {}}', "incomplete.*'weights'"),
        (b'{"format": 1, "files": []}', "incomplete"),
    ],
)
def test_a_damaged_or_foreign_record_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.json").write_bytes(content)
    with pytest.raises(Speech2FaceError, match=message) as raised:
        load_checkpoint(tmp_path)
    assert str(raised.value.path).startswith(str(tmp_path / "checkpoint.json"))


@pytest.mark.parametrize("kind", ["missing folder", "empty folder", "file"])
def test_a_place_without_a_checkpoint_is_named(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "model.pt"
    if kind == "empty folder":
        place.mkdir()
    elif kind == "file":
        place.write_bytes(b"weights")
    with pytest.raises(Speech2FaceError, match=r"model\.pt: no checkpoint here.*checkpoint\.json"):
        load_checkpoint(place)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    weights = tiny_network().state_dict()
    with pytest.raises(Speech2FaceError, match="run: weights of another network.*own config"):
        restore_weights(nn.Linear(3, 4), weights, "run")
    with pytest.raises(Speech2FaceError, match=r"weight is \(4, 3\), the network has \(5, 3\)"):
        restore_weights(nn.Linear(3, 5), nn.Linear(3, 4).state_dict(), "run")


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(Speech2FaceError, match=r"run: unknown settings \['depth'\]"):
        restore_config(TinyConfig, {"rate": 0.1, "depth": 3}, "run")


def test_a_metric_that_is_no_number_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="not a finite number"):
        saved(tmp_path / "run", metrics={"loss": float("nan")})
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pathlib.Path(tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(Speech2FaceError, match="run: the checkpoint cannot be written"):
        saved(tmp_path / "run")
