"""The loop: one fixed order of report, validation and checkpoint, for every network."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from torch import Tensor

from speech2face.errors import Speech2FaceError
from speech2face.progress import Progress
from speech2face.training.state import TrainState
from speech2face.training.tracking import Run

B = TypeVar("B")  # a batch


def fit(
    state: TrainState,
    step: Callable[[TrainState, B], Mapping[str, Tensor]],
    batches_from: Callable[[int], Iterator[B]],
    run: Run,
    *,
    validate: Callable[[TrainState], Mapping[str, float]] | None = None,
) -> TrainState:
    """Train until `state.plan.total_samples`; the same command, given again, continues.

    Args:
        state: new; the weights and counters of an unfinished run replace its own.
        step: one update, returns losses by name.
        batches_from: endless batches that begin after so many samples, so that a resumed run
            equals an unbroken one.
        run: where checkpoints and losses go.
        validate: losses of held-out samples, by name.

    Raises:
        Speech2FaceError: a loss is no longer finite. Nothing is saved then, so that the last
            checkpoint is a good one.
    """
    plan = state.plan
    run.restore(state)  # an empty run directory changes nothing
    batches = batches_from(state.samples_seen)
    with Progress(plan.total_samples, unit="samples", done=state.samples_seen) as progress:
        while not plan.is_done(state.samples_seen):
            rate = state.adam.learning_rate_at(state.iteration)
            losses = step(state, next(batches))
            state.losses = {name: loss.item() for name, loss in losses.items()}
            _refuse_divergence(state, run)
            run.report(state.samples_seen, state.losses, learning_rate=rate)
            progress.show(state.samples_seen, state.losses)
            if validate and plan.validation_due(state.samples_seen):
                run.report(state.samples_seen, validate(state), split="val")
            if plan.checkpoint_due(state.samples_seen):
                run.save(state)
    run.save(state)
    return state


def _refuse_divergence(state: TrainState, run: Run) -> None:
    bad = {name: loss for name, loss in state.losses.items() if not math.isfinite(loss)}
    if bad:
        raise Speech2FaceError(
            f"{', '.join(f'{name} loss is {loss}' for name, loss in bad.items())} after "
            f"{state.samples_seen:,} samples",
            f"start a new run with a lower adam.learning_rate; here {run.last_good()}",
            str(run.folder),
        )
