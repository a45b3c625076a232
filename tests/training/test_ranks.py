"""Processes that train together: the same bits as one process that does all the work."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speech2face.cli.main import main
from speech2face.data.datasets import FeatureShards
from speech2face.errors import Speech2FaceError
from speech2face.models.checkpoint import load_checkpoint
from speech2face.models.face_decoder import FaceDecoder, FaceDecoderConfig
from speech2face.models.voice_encoder import VoiceEncoder, VoiceEncoderConfig
from speech2face.training.config import AdamConfig, FaceLambdas, Lambdas, Plan
from speech2face.training.machine import Machine
from speech2face.training.micro_batches import held_out, updates
from speech2face.training.ranks import Ranks, TreeSum, joined_ranks
from speech2face.training.state import TrainState, start_state
from speech2face.training.step import (
    FaceTerms,
    VoiceTerms,
    face_decoder_step,
    validate_face_decoder,
    validate_voice_encoder,
    voice_encoder_step,
)
from speech2face.training.tracking import Run

TERMS = VoiceTerms(Lambdas(decoder=0, feature=1, distillation=0))
FACE_TERMS = FaceTerms(FaceLambdas(embedding=0))
TOTAL = 1600  # samples of the run that is killed
PLAN = Plan(batch_size=2, accumulate=4, total_samples=64)
SETTINGS = (
    "model.channels=[4,4,4,4,4,4,4,4,4]", "model.n_bins=40", "model.feature_size=16",
    "clip_seconds=3", "lambdas.decoder=0", "lambdas.feature=1", "lambdas.distillation=0",
    "plan.batch_size=2", "plan.accumulate=2", "plan.checkpoint_every=16", "plan.validate_every=32",
)  # fmt: skip


@dataclass
class Meeting:
    """Where threads that stand for processes give each other values."""

    size: int
    values: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.size, timeout=60)

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        every = [self.values[one] for one in range(self.size)]
        self.barrier.wait()
        return every


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    meeting: Meeting = field(default_factory=lambda: Meeting(1))

    def joined(self, rows: Tensor) -> Tensor:
        return torch.cat(self.meeting.exchange(self.rank, rows))

    def everything(self, value: Any) -> list[Any]:
        return self.meeting.exchange(self.rank, value)

    def _added(self, own: Tensor, partner: int) -> Tensor:
        return own + self.meeting.exchange(self.rank, own)[partner]


def trained(features: Path, machine: Machine, state: TrainState) -> Any:
    """Some updates, continuing from `state`; returns the losses of each and of a validation."""
    train, val = FeatureShards(features, "train"), FeatureShards(features, "val")
    step: Any = partial(voice_encoder_step, terms=TERMS)
    validate: Any = partial(validate_voice_encoder, terms=TERMS)
    read, read_val = train.voice_batch, val.voice_batch
    if "face_decoder" in state.modules:
        step = partial(face_decoder_step, terms=FACE_TERMS)
        validate = partial(validate_face_decoder, terms=FACE_TERMS)
        read, read_val = train.face_batch, val.face_batch
    batches = updates(read, train.shards, state.plan, machine)
    losses = []
    for batch, _ in zip(batches(state.samples_seen), range(4), strict=False):
        row = step(state, batch, machine=machine)
        losses.append({name: loss.item() for name, loss in row.items()})
    own = held_out(read_val, len(val), state.plan, machine)
    return losses, validate(state, own, machine=machine)


def fresh(config: VoiceEncoderConfig) -> TrainState:
    torch.manual_seed(0)
    modules = {"voice_encoder": VoiceEncoder(config)}
    return start_state("paper voice encoder", config, modules, AdamConfig(), PLAN)


def fresh_decoder(config: FaceDecoderConfig, mean_landmarks: Tensor) -> TrainState:
    torch.manual_seed(0)
    modules = {"face_decoder": FaceDecoder(config, mean_landmarks)}
    return start_state("paper face decoder", config, modules, AdamConfig(), PLAN)


def together(features: Path, states: Sequence[TrainState]) -> list[Any]:
    """`trained` by as many threads as there are states."""
    meeting, results = Meeting(len(states)), dict[int, Any]()

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        machine = Machine(ranks=ThreadRanks(rank, len(states), meeting))
        results[rank] = trained(features, machine, states[rank])

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(states))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(len(states))]


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_several_processes_give_the_bits_of_one(
    features: Path, encoder_config: VoiceEncoderConfig, n_ranks: int
) -> None:
    """Weights, running statistics, losses and validation are compared bit by bit."""
    alone = fresh(encoder_config)
    (expected,) = together(features, [alone])
    states = [fresh(encoder_config) for _ in range(n_ranks)]
    assert together(features, states) == [expected] * n_ranks
    weights = alone.modules["voice_encoder"].state_dict()
    for state in states:
        assert state.samples_seen == alone.samples_seen == 32
        for name, tensor in state.modules["voice_encoder"].state_dict().items():
            assert torch.equal(tensor, weights[name]), name
    assert int(weights["pooled_norm.num_batches_tracked"]) == 16


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_several_processes_train_the_face_decoder_to_the_bits_of_one(
    features: Path, decoder_config: FaceDecoderConfig, mean_landmarks: Tensor, n_ranks: int
) -> None:
    alone = fresh_decoder(decoder_config, mean_landmarks)
    before = {name: tensor.clone() for name, tensor in weights_of(alone).items()}
    (expected,) = together(features, [alone])
    states = [fresh_decoder(decoder_config, mean_landmarks) for _ in range(n_ranks)]
    assert together(features, states) == [expected] * n_ranks
    for state in states:
        assert state.samples_seen == alone.samples_seen == 32
        for name, tensor in weights_of(state).items():
            assert torch.equal(tensor, weights_of(alone)[name]), name
    assert any(not torch.equal(before[name], one) for name, one in weights_of(alone).items())


def weights_of(state: TrainState) -> dict[str, Tensor]:
    return state.modules["face_decoder"].state_dict()


def test_one_micro_batch_per_update_is_the_plain_training_of_torch(
    features: Path, encoder_config: VoiceEncoderConfig
) -> None:
    """Also the running statistics are those that torch's own update gives."""
    state = fresh(encoder_config)
    state.plan = Plan(batch_size=4, total_samples=16)
    trained(features, Machine(), state)
    plain = fresh(encoder_config)
    module, adam = plain.modules["voice_encoder"], plain.optimizers["voice_encoder"]
    train = FeatureShards(features, "train")
    stream = updates(lambda rows: train.voice_batch(rows), train.shards, state.plan, Machine())
    for (batch,), iteration in zip(stream(0), range(4), strict=False):
        adam.zero_grad()
        predicted = module(batch.spectrogram)
        cosine = torch.nn.functional.cosine_similarity(predicted, batch.face_feature)
        (2 - 2 * cosine).mean().backward()
        adam.param_groups[0]["eps"] = plain.adam.torch_epsilon_at(iteration)
        adam.step()
    for name, tensor in state.modules["voice_encoder"].state_dict().items():
        torch.testing.assert_close(tensor, module.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_tree_sum_adds_neighbours_first() -> None:
    leaves = torch.tensor([1e8, 1.0, -1e8, 1.0, 3.0, 1e8, 2.0, -1e8])
    tree = TreeSum()
    for leaf in leaves:
        tree.add([leaf, 2 * leaf])
    a, b, c, d, e, f, g, h = leaves
    by_hand = ((a + b) + (c + d)) + ((e + f) + (g + h))
    assert [float(total) for total in tree.total()] == [float(by_hand), 2 * float(by_hand)]
    assert float(by_hand) != float(leaves.double().sum())  # the order matters here


def test_numbers_of_processes_that_cannot_work_are_refused(
    features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(ranks=Ranks(0, 2))
    with pytest.raises(Speech2FaceError, match="plan.accumulate=2"):
        updates(lambda rows: None, torch.zeros(4).numpy(), Plan(), machine)  # type: ignore[arg-type, return-value]
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(Speech2FaceError, match="power of two"), joined_ranks():
        pass


def test_different_weights_or_checkpoints_are_refused(encoder_config: VoiceEncoderConfig) -> None:
    meeting = Meeting(2)
    complaints: list[str] = []

    def work(rank: int) -> None:
        ranks = ThreadRanks(rank, 2, meeting)
        stream = updates(lambda rows: None, torch.zeros(4).numpy(), plan, Machine(ranks=ranks))  # type: ignore[arg-type, return-value]
        for check in (
            lambda: ranks.refuse_different(modules[rank]),
            lambda: next(stream(8 * rank)),
        ):
            try:
                check()
            except Speech2FaceError as error:
                complaints.append(error.problem)

    plan = Plan(batch_size=2, accumulate=2)
    modules = [{"a": torch.nn.Linear(2, 2)} for _ in range(2)]
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("same weights" in one for one in complaints) == 2
    assert sum("same checkpoint" in one for one in complaints) == 2


def arguments(features: Path, folder: Path, total: int) -> list[str]:
    line = ["train", "voice-encoder", "--data", str(features), "--run-dir", str(folder)]
    line += ["--device", "cpu"]
    settings = (*SETTINGS, f"plan.total_samples={total}")
    return line + [word for setting in settings for word in ("--set", setting)]


def two_processes(line: list[str]) -> list[subprocess.Popen[bytes]]:
    """The command in two processes, with what `torchrun` tells them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "speech2face", *line],
            env=os.environ
            | shared
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]


def assert_same_run(first: Path, second: Path) -> None:
    one, other = load_checkpoint(first), load_checkpoint(second)
    assert one.samples_seen == other.samples_seen and one.metrics == other.metrics
    for kept, again in ((one.modules, other.modules), (one.optimizers, other.optimizers)):
        for name, tensor in kept["voice_encoder"].items():
            assert torch.equal(tensor, again["voice_encoder"][name]), name
    assert Run(first).stats() == Run(second).stats()


@pytest.fixture
def one_thread() -> Any:
    """Some sums of torch depend on the number of its threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_real_processes_give_the_bits_of_one(
    features: Path, tmp_path: Path, one_thread: None
) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    processes = two_processes(arguments(features, both, 32))
    assert main(arguments(features, alone, 32)) == 0
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
        assert (b"32 samples" in out) == (process is processes[0])  # the first one reports
    assert_same_run(alone, both)


@pytest.mark.slow
@pytest.mark.parametrize("finishers", ["one process", "two processes"])
def test_two_processes_that_are_killed_ten_times_end_with_the_bits_of_one(
    features: Path, tmp_path: Path, one_thread: None, finishers: str
) -> None:
    """Every other time only one is killed, and the other one soon after, as `torchrun` does it."""
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert main(arguments(features, alone, TOTAL)) == 0
    chance = random.Random(len(finishers))
    seen = [0]
    for attempt in range(10):
        processes = two_processes(arguments(features, killed, TOTAL))
        wait_for_lines(killed / "stats.jsonl", seen[-1] // 4 + chance.randrange(8, 16), processes)
        victims = processes if attempt % 2 else [chance.choice(processes)]
        for process in victims:
            process.send_signal(signal.SIGKILL)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            process.communicate()
            assert process.returncode != 0
        seen.append(load_checkpoint(killed).samples_seen)
    assert seen == sorted(seen) and seen[1] > 0 and seen[3] < seen[-1] < TOTAL
    if finishers == "one process":
        assert main(arguments(features, killed, TOTAL)) == 0
    else:
        for process in two_processes(arguments(features, killed, TOTAL)):
            process.communicate(timeout=120)
    assert_same_run(alone, killed)


def wait_for_lines(file: Path, n_lines: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """Until a run has reported so many updates."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and all(one.poll() is None for one in processes):
        if file.is_file() and file.read_bytes().count(b"\n") >= n_lines:
            return
        time.sleep(0.002)
    raise AssertionError("the run ended, or reported nothing")
