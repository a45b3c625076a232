"""What a training will take, before it is started: its plan, memory and time.

Operations and memory are counted on a network without memory (the device `meta` of torch), so the
full width costs nothing. The time is those operations divided by a share of the speed of a matrix
product, which is measured. It is an estimate: reading, validation and checkpoints are not in it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from speech2face.audio.spectrogram import n_frames
from speech2face.audio.speech import SAMPLE_RATE
from speech2face.data.talking_shards import open_voices
from speech2face.models.face_decoder import FaceDecoder
from speech2face.models.voice_encoder import VoiceEncoder
from speech2face.progress import duration
from speech2face.training.config import FaceDecoderTraining, Plan, VoiceEncoderTraining

Training = VoiceEncoderTraining | FaceDecoderTraining

SHARE_OF_SPEED = 0.4  # of a matrix product, that a whole training step reaches; an assumption
ADAM_BYTES = 16  # per weight: the weight, its gradient and two moments, float32
_MATRIX = 1024
_SECONDS = 0.2


@dataclass(frozen=True)
class Cost:
    """What the network of a training needs.

    Attributes:
        n_weights: numbers that are trained.
        flop_per_sample: floating-point operations, forward and backward; frozen networks excluded.
        saved_bytes: what one micro-batch keeps for its backward pass, in float32.
    """

    n_weights: int
    flop_per_sample: float
    saved_bytes: int

    def bytes_in_use(self, n_own: int) -> int:
        """Memory of one process that computes `n_own` micro-batches of each update."""
        further = max(0, n_own.bit_length() - 1) + (n_own > 1)  # partial sums of gradients
        return self.n_weights * (ADAM_BYTES + 4 * further) + self.saved_bytes


def estimate(config: Training, data: Path | None, device: str) -> Iterator[str]:
    """Sentences about what this training will take.

    Args:
        config: all settings.
        data: the prepared features; before they are prepared, the corpus is not described.
        device: whose speed is measured.

    Raises:
        Speech2FaceError: the features cannot be used.
    """
    plan = config.plan
    if data is not None and not data.exists():
        yield f"corpus: {data} is not there yet, so it is not known"
    if data is not None and data.exists():
        name = config.face_feature if isinstance(config, VoiceEncoderTraining) else ""
        n_train, n_val = (len(open_voices(data, split, name)) for split in ("train", "val"))
        plan = plan.for_corpus(n_train)
        yield f"corpus: {n_train:,} training and {n_val:,} validation samples"
        yield f"length: {plan.total_samples / n_train:.4g} epochs of this corpus"
    elif plan.epochs:
        yield "length: in epochs of a corpus, so give --data with a prepared one"
        return
    cost = cost_of(config)
    yield from _plan(plan)
    memory = cost.bytes_in_use(plan.accumulate)
    yield (
        f"network: {cost.n_weights:,} weights, {cost.flop_per_sample / 1e9:,.4g} GFLOP per sample, "
        f"forward and backward"
    )
    yield (
        f"memory: about {memory / 1e9:.3g} GB in one process, and a checkpoint of "
        f"{12 * cost.n_weights / 1e9:.3g} GB"
    )
    speed = SHARE_OF_SPEED * matrix_speed(torch.device(device))
    rate = speed / cost.flop_per_sample
    yield (
        f"time: about {duration(plan.total_samples / rate)} for one process on {device}, or "
        f"{rate:.3g} samples per second, at {SHARE_OF_SPEED:.0%} of the speed of a matrix product "
        f"here ({speed / SHARE_OF_SPEED / 1e9:,.4g} GFLOP/s in float32)"
    )


def _plan(plan: Plan) -> Iterator[str]:
    n_updates = -(-plan.total_samples // plan.update_size)
    yield (
        f"plan: {n_updates:,} updates of {plan.accumulate} x {plan.batch_size} samples, "
        f"{plan.total_samples:,} samples in all"
    )


def cost_of(config: Training) -> Cost:
    """Count weights, operations and saved memory of a training, without computing anything."""
    with torch.device("meta"):
        network, inputs = _network(config)
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
            alive.append(tensor)  # so that no other tensor gets its place
        return tensor

    alive: list[Tensor] = []
    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = sum(output.sum() for output in _outputs(network, inputs))
        assert isinstance(loss, Tensor)
        loss.backward()
    weights = sum(one.numel() for one in network.parameters() if one.requires_grad)
    return Cost(weights, counter.get_total_flops() / len(inputs), sum(saved.values()))


def _network(config: Training) -> tuple[nn.Module, Tensor]:
    size = config.plan.batch_size
    if isinstance(config, VoiceEncoderTraining):
        frames = n_frames(round(config.clip_seconds * SAMPLE_RATE))
        return VoiceEncoder(config.model), torch.empty(size, 2, config.model.n_bins, frames)
    return FaceDecoder(config.model), torch.empty(size, config.model.feature_size)


def _outputs(network: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    if isinstance(network, FaceDecoder):
        return network.decode_parts(inputs)
    return (network(inputs),)


def matrix_speed(device: torch.device) -> float:
    """Floating-point operations per second of a matrix product in float32 on a device."""
    matrix = torch.ones(_MATRIX, _MATRIX, device=device)
    _wait(matrix @ matrix)
    n_products, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < _SECONDS:
        _wait(matrix @ matrix)
        n_products += 1
    return 2 * _MATRIX**3 * n_products / seconds


def _wait(result: Tensor) -> None:
    """Wait until a device has computed it."""
    result[0, 0].item()
