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

from speech2face.configuration import restored
from speech2face.errors import Speech2FaceError
from speech2face.models import checkpoint as checkpoint_module
from speech2face.models.canonical_decoder import CanonicalFaceDecoderConfig
from speech2face.models.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    restore_weights,
    restored_module,
    save_checkpoint,
)
from speech2face.models.decided_surround import SurroundConfig
from speech2face.models.face_decoder import FaceDecoderConfig
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


def adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=1 / 3, betas=(0.5, 0.999), eps=1e-4)


def saved(directory: Path, seed: int = 0, **changes: Any) -> Checkpoint:
    values = {
        "family": "embedded",
        "modules": {"net": tiny_network(seed).state_dict()},
        "config": TinyConfig(),
        "samples_seen": 7,
    }
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
    assert read.modules.keys() == {"net"}
    assert read.modules["net"].keys() == written.modules["net"].keys()
    for name, tensor in written.modules["net"].items():
        assert torch.equal(read.modules["net"][name], tensor)
        assert read.modules["net"][name].dtype == tensor.dtype
    assert (read.family, read.samples_seen, read.metrics) == ("embedded", 1234, metrics)
    assert read.optimizers == {}


def test_resumed_training_equals_uninterrupted_training(tmp_path: Path) -> None:
    network = tiny_network()
    optimizer = adam(network)
    train(network, optimizer, n_steps=5, seed=1)
    modules, optimizers = {"net": network.state_dict()}, {"net": optimizer_tensors(optimizer)}
    save_checkpoint(Checkpoint("embedded", TinyConfig(), modules, optimizers), tmp_path)
    expected = train(network, optimizer, n_steps=5, seed=2)

    resumed = tiny_network(seed=99)
    read = load_checkpoint(tmp_path)
    restore_weights(resumed, read.modules["net"], str(tmp_path))
    optimizer = adam(resumed)
    restore_optimizer(optimizer, read.optimizers["net"], str(tmp_path))
    assert torch.equal(train(resumed, optimizer, n_steps=5, seed=2), expected)
    for mine, theirs in zip(
        resumed.state_dict().values(), network.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_an_optimizer_of_another_network_is_refused(tmp_path: Path) -> None:
    network, other = tiny_network(), nn.Linear(3, 4)
    optimizer = adam(network)
    train(network, optimizer, n_steps=1, seed=1)
    with pytest.raises(Speech2FaceError, match="optimiser is that of another network"):
        restore_optimizer(adam(other), optimizer_tensors(optimizer), str(tmp_path))


@pytest.mark.parametrize(
    "config",
    [
        TinyConfig(widths=(5, 6, 7), rate=1 / 3, warp=WarpConfig(order=2)),
        FaceDecoderConfig(landmark_widths=(), warp=WarpConfig(flow_stride=4)),
        CanonicalFaceDecoderConfig(n_face=7, surround=SurroundConfig(n_shifts=0)),
        VoiceEncoderConfig(n_bins=40),
    ],
)
def test_config_comes_back_as_the_same_dataclass(config: Any, tmp_path: Path) -> None:
    saved(tmp_path, config=config)
    assert restored(type(config), load_checkpoint(tmp_path).config, str(tmp_path)) == config


def test_nothing_but_json_and_safetensors_is_written(tmp_path: Path) -> None:
    network = tiny_network()
    optimizer = adam(network)
    train(network, optimizer, n_steps=1, seed=1)
    saved(tmp_path, optimizers={"net": optimizer_tensors(optimizer)})
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == ["checkpoint.json", "optimizers", "weights"]
    json.loads((tmp_path / "checkpoint.json").read_text())
    names = {f"net/{name}" for name in network.state_dict()}
    assert load_file(the_file(tmp_path, "weights")).keys() == names


def test_tied_and_strided_weights_are_saved(tmp_path: Path) -> None:
    tied = torch.arange(6.0).reshape(2, 3)
    saved(tmp_path, modules={"net": {"a": tied, "b": tied, "c": tied.T}})
    read = load_checkpoint(tmp_path).modules["net"]
    assert torch.equal(read["b"], tied) and torch.equal(read["c"], tied.T)


def test_a_new_checkpoint_replaces_the_old_one(tmp_path: Path) -> None:
    saved(tmp_path, seed=0, samples_seen=1)
    newer = saved(tmp_path, seed=1, samples_seen=2)
    read = load_checkpoint(tmp_path)
    assert read.samples_seen == 2
    assert torch.equal(read.modules["net"]["0.weight"], newer.modules["net"]["0.weight"])
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("killed_at", [0, 1, 2])
def test_a_run_killed_while_saving_keeps_the_old_checkpoint(
    killed_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny_network()
    optimizer = adam(network)
    train(network, optimizer, n_steps=1, seed=1)
    older = saved(tmp_path, samples_seen=1, optimizers={"net": optimizer_tensors(optimizer)})
    train(network, optimizer, n_steps=1, seed=2)

    renames = iter(range(10))
    rename = os.replace

    def killed(source: str, destination: str) -> None:
        if next(renames) == killed_at:
            raise KeyboardInterrupt
        rename(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            saved(
                tmp_path, seed=1, samples_seen=2, optimizers={"net": optimizer_tensors(optimizer)}
            )
    read = load_checkpoint(tmp_path)
    assert read.samples_seen == 1
    assert torch.equal(read.modules["net"]["0.weight"], older.modules["net"]["0.weight"])

    saved(tmp_path, seed=1, samples_seen=3)  # and the next save tidies up
    assert len(list(tmp_path.iterdir())) == 3


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
    entry["files"]["weights"]["sha256"] = checkpoint_module.sha256_of_file(path)
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
        (b'{"format": 1, "files": {}}', "format 1.*version that wrote it"),
        (b'{"format": 2, "files": {}}', "the settings lack"),
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


def test_a_checkpoint_of_another_family_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, family="paper face decoder")
    assert load_checkpoint(tmp_path, "paper face decoder").family == "paper face decoder"
    with pytest.raises(Speech2FaceError, match="paper face decoder; give one of the embedded"):
        load_checkpoint(tmp_path, "embedded")


def test_a_record_that_describes_an_enormous_network_takes_no_memory(tmp_path: Path) -> None:
    saved(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    with pytest.raises(Speech2FaceError, match="names differ"):
        restored_module(lambda: nn.Linear(2**20, 2**20), checkpoint, "net", str(tmp_path))
    with pytest.raises(Speech2FaceError, match="lacks the network other"):
        restored_module(tiny_network, checkpoint, "other", str(tmp_path))


def test_a_metric_that_is_no_number_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="not a finite number"):
        saved(tmp_path / "run", metrics={"loss": float("nan")})
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pathlib.Path(tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(Speech2FaceError, match="run.*cannot be written"):
        saved(tmp_path / "run")
