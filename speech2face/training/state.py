"""What changes during a training, and how it is kept: tensors in safetensors, counters in JSON.

There is no random state to keep: the order of samples is a function of the seed and of
`samples_seen` (see `speech2face.data.datasets`), and nothing else is drawn after the start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from speech2face.errors import Speech2FaceError
from speech2face.models.checkpoint import Checkpoint, restore_weights
from speech2face.training.config import AdamConfig, Plan


@dataclass
class TrainState:
    """Model, optimiser and the clock of a training."""

    model: nn.Module
    optimizer: torch.optim.Adam
    adam: AdamConfig
    plan: Plan
    samples_seen: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)  # of the last update, by name

    @property
    def iteration(self) -> int:
        """Number of the next update, counted from 0."""
        return self.plan.iteration(self.samples_seen)


def start_state(model: nn.Module, adam: AdamConfig, plan: Plan) -> TrainState:
    """State before the first update."""
    optimizer = torch.optim.Adam(
        model.parameters(), lr=adam.learning_rate, betas=(adam.beta1, adam.beta2), eps=adam.epsilon
    )
    return TrainState(model, optimizer, adam, plan)


def as_checkpoint(state: TrainState) -> Checkpoint:
    """Everything of a state that changes, and the model's sizes."""
    return Checkpoint(
        weights=state.model.state_dict(),
        config=state.model.config,
        step=state.iteration,
        samples_seen=state.samples_seen,
        metrics=state.losses,
        optimizer=state.optimizer.state_dict(),
    )


def restore_state(state: TrainState, checkpoint: Checkpoint, path: str) -> None:
    """Make `state` what it was when the checkpoint was taken.

    Raises:
        Speech2FaceError: the checkpoint, which came from `path`, is of another network or was not
            taken during a training.
    """
    restore_weights(state.model, checkpoint.weights, path)
    if checkpoint.optimizer is None:
        raise Speech2FaceError(
            "the checkpoint holds no optimiser, so it cannot be continued",
            "choose a new run directory",
            path,
        )
    state.optimizer.load_state_dict(dict(checkpoint.optimizer))
    state.samples_seen = checkpoint.samples_seen
    state.losses = checkpoint.metrics
