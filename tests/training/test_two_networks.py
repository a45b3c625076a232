"""Two adversarial networks: a stopped run ends with the weights of an uninterrupted one."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from speech2face.models.checkpoint import load_checkpoint
from speech2face.models.voice_encoder import VoiceEncoderConfig
from speech2face.training.config import AdamConfig, Plan
from speech2face.training.loop import fit
from speech2face.training.state import TrainState, start_state
from speech2face.training.tracking import Run

Step = Callable[[TrainState, Tensor], Mapping[str, Tensor]]
PLAN = Plan(batch_size=4, total_samples=48, checkpoint_every=8)


class Stopped(BaseException):
    """Stands for a kill: nothing in the loop may handle it."""


def fresh_state(seed: int) -> TrainState:
    torch.manual_seed(seed)
    modules = {"generator": nn.Linear(3, 5), "discriminator": nn.Linear(5, 1)}
    config = VoiceEncoderConfig()
    return start_state("paper voice encoder", config, modules, AdamConfig(learning_rate=0.01), PLAN)


def batches_from(samples_seen: int) -> Iterator[Tensor]:
    """Noise and true samples, `[4, 8]`, which depend on the number of samples seen only."""
    while True:
        generator = torch.Generator().manual_seed(samples_seen)
        yield torch.randn(4, 8, generator=generator)
        samples_seen += PLAN.batch_size


def adversarial_step(state: TrainState, batch: Tensor) -> dict[str, Tensor]:
    """One update of each network, with its own optimiser and the other one's newest weights."""
    generator, discriminator = state.modules["generator"], state.modules["discriminator"]
    noise, true = batch[:, :3], batch[:, 3:]
    losses = {
        "discriminator": nn.functional.softplus(discriminator(generator(noise).detach())).mean()
        + nn.functional.softplus(-discriminator(true)).mean()
    }
    update(state, "discriminator", losses)
    losses["generator"] = nn.functional.softplus(-discriminator(generator(noise))).mean()
    update(state, "generator", losses)
    state.samples_seen += len(batch)
    return losses


def update(state: TrainState, name: str, losses: Mapping[str, Tensor]) -> None:
    state.optimizers[name].zero_grad()
    losses[name].backward()
    state.optimizers[name].step()


def stopped_after(n_updates: int) -> Step:
    def step(state: TrainState, batch: Tensor) -> Mapping[str, Tensor]:
        if state.samples_seen == n_updates * PLAN.batch_size:
            update(state, "discriminator", {"discriminator": state_weight(state).square().sum()})
            raise Stopped  # between the updates of the two networks
        return adversarial_step(state, batch)

    return step


def state_weight(state: TrainState) -> Tensor:
    return next(state.modules["discriminator"].parameters())


@pytest.mark.parametrize("n_updates", [1, 2, 5, 11])
def test_a_stopped_run_of_two_networks_ends_with_the_weights_of_an_uninterrupted_one(
    n_updates: int, tmp_path: Path
) -> None:
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    for run in (whole, stopped):
        run.begin({"settings": {}})
    fit(fresh_state(0), adversarial_step, batches_from, whole)
    with pytest.raises(Stopped):
        fit(fresh_state(0), stopped_after(n_updates), batches_from, stopped)
    seed = 0 if n_updates == 1 else 1  # once something is kept, the first weights do not matter
    fit(fresh_state(seed), adversarial_step, batches_from, stopped)

    first, second = load_checkpoint(whole.folder), load_checkpoint(stopped.folder)
    for kept, again in ((first.modules, second.modules), (first.optimizers, second.optimizers)):
        assert kept.keys() == again.keys() == {"generator", "discriminator"}
        for name in kept:
            assert kept[name].keys() == again[name].keys() != set()
            for part, tensor in kept[name].items():
                assert torch.equal(tensor, again[name][part]), (name, part)
    assert whole.stats() == stopped.stats()
    assert len(whole.stats()) == 12
