"""The state of a training: networks, optimisers and counters, and how they are restored.

No random state has to be saved: the order of samples is a function of the seed and of
`samples_seen` (see `speech2face.data.datasets`), and nothing else is random after the start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from speech2face.errors import Speech2FaceError
from speech2face.models.checkpoint import (
    Checkpoint,
    Family,
    module_weights,
    optimizer_tensors,
    restore_optimizer,
    restore_weights,
)
from speech2face.training.config import AdamConfig, Plan


@dataclass
class TrainState:
    """Networks and optimisers by name, and the counters of a training."""

    family: Family
    config: Any  # sizes of the networks: a frozen dataclass that is saved with the weights
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Adam]  # by the name of the network that it trains
    adam: AdamConfig
    plan: Plan
    samples_seen: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)  # of the last update, by name

    @property
    def iteration(self) -> int:
        """Number of the next update, counted from 0."""
        return self.plan.iteration(self.samples_seen)


def start_state(
    family: Family, config: Any, modules: Mapping[str, nn.Module], adam: AdamConfig, plan: Plan
) -> TrainState:
    """State before the first update, with one optimiser per network that has trainable weights."""
    optimizers = {
        name: torch.optim.Adam(
            parameters, lr=adam.learning_rate, betas=(adam.beta1, adam.beta2), eps=adam.epsilon
        )
        for name, module in modules.items()
        if (parameters := [one for one in module.parameters() if one.requires_grad])
    }
    return TrainState(family, config, modules, optimizers, adam, plan)


def as_checkpoint(state: TrainState) -> Checkpoint:
    """The parts of a state that change, and the sizes of its networks."""
    return Checkpoint(
        family=state.family,
        config=state.config,
        modules={name: module.state_dict() for name, module in state.modules.items()},
        optimizers={
            name: optimizer_tensors(optimizer) for name, optimizer in state.optimizers.items()
        },
        samples_seen=state.samples_seen,
        metrics=state.losses,
    )


def restore_state(state: TrainState, checkpoint: Checkpoint, path: str) -> None:
    """Restore `state` to what it was when the checkpoint was saved.

    Raises:
        Speech2FaceError: the checkpoint, which came from `path`, is of another training, or has no
            state of the optimisers.
    """
    if set(checkpoint.modules) != set(state.modules):
        problem = f"this is a checkpoint of the networks {sorted(checkpoint.modules)}"
        raise Speech2FaceError(problem, f"give one of {sorted(state.modules)}", path)
    if checkpoint.samples_seen and set(checkpoint.optimizers) != set(state.optimizers):
        problem = "the checkpoint lacks an optimiser, so it cannot be continued"
        raise Speech2FaceError(problem, "choose a new run directory", path)
    for name, module in state.modules.items():
        restore_weights(module, module_weights(checkpoint, name, path), path)
    for name, optimizer in state.optimizers.items():
        restore_optimizer(optimizer, checkpoint.optimizers.get(name, {}), path)
    state.samples_seen = checkpoint.samples_seen
    state.losses = checkpoint.metrics
