"""The training loop of every network: update, report, validate and save, in a fixed order."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.progress import Progress
from speech2face.training.state import TrainState
from speech2face.training.tracking import Run

B = TypeVar("B")  # what one update learns from


def fit(
    state: TrainState,
    step: Callable[[TrainState, B], Mapping[str, Tensor]],
    batches_from: Callable[[int], Iterator[B]],
    run: Run,
    *,
    validate: Callable[[TrainState], Mapping[str, float]] | None = None,
) -> TrainState:
    """Train until `state.plan.total_samples`. A run that was stopped continues.

    Args:
        state: a new state. If the run has a checkpoint, it replaces the weights and counters.
        step: makes one update and returns the losses by name.
        batches_from: gives without end what each update learns from, beginning after a number of
            samples, so that a resumed run equals one that was not stopped.
        run: run directory for checkpoints and losses.
        validate: computes the losses of held-out samples, by name.

    Raises:
        Speech2FaceError: a loss is no longer finite. It is not saved, so the last checkpoint is a
            good one. Or another process is training into the same run directory.
    """
    with run.held():
        run.restore(state)  # an empty run directory changes nothing
        _update_until_done(state, step, batches_from, run, validate)
        run.save(state)
    return state


def _update_until_done(
    state: TrainState,
    step: Callable[[TrainState, B], Mapping[str, Tensor]],
    batches_from: Callable[[int], Iterator[B]],
    run: Run,
    validate: Callable[[TrainState], Mapping[str, float]] | None,
) -> None:
    """Every update from where the state is to the end of its plan; arguments as of `fit`."""
    plan = state.plan
    total, seen = plan.total_samples, state.samples_seen
    saved_at = time.monotonic()
    batches = batches_from(seen)
    with Progress(total, unit="samples", done=seen, is_shown=run.is_written) as progress:
        while not plan.is_done(state.samples_seen):
            rate = state.adam.learning_rate_at(state.iteration)
            losses = step(state, next(batches))
            state.losses = {name: loss.item() for name, loss in losses.items()}
            _refuse_divergence(state, run)
            run.report(state.samples_seen, state.losses, learning_rate=rate)
            progress.show(state.samples_seen, state.losses)
            if validate and plan.validation_due(state.samples_seen):
                run.report(state.samples_seen, validate(state), split="val")
            is_time = time.monotonic() - saved_at >= 60 * plan.checkpoint_minutes
            if is_time or plan.checkpoint_due(state.samples_seen):
                run.save(state)
                saved_at = time.monotonic()


def _refuse_divergence(state: TrainState, run: Run) -> None:
    bad = {name: loss for name, loss in state.losses.items() if not math.isfinite(loss)}
    if bad:
        raise Speech2FaceError(
            f"{', '.join(f'{name} loss is {loss}' for name, loss in bad.items())} after "
            f"{state.samples_seen:,} samples",
            f"start a new run with a lower adam.learning_rate; here {run.last_good()}",
            str(run.folder),
        )
