"""A run directory, with the settings, the checkpoint and the losses of one training.

=======================  ===========================================================================
`config.json`            all settings; a run can only be continued with the same settings.
`checkpoint.json`, and   the newest checkpoint, written by `speech2face.models.checkpoint`; after a
two `*.safetensors`      kill, either the previous one or the new one is there and complete.
`stats.jsonl`            one line per update, with every loss by name; validation lines have
                         `"split": "val"`.
=======================  ===========================================================================
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from speech2face.errors import Speech2FaceError
from speech2face.files import make_folder, only_writer, write_whole, writing
from speech2face.models.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from speech2face.records import read_json_object
from speech2face.training.state import TrainState, as_checkpoint, restore_state

LOG = logging.getLogger(__name__)
CONFIG = "config.json"
STATS = "stats.jsonl"
FREE_TO_CHANGE = {  # settings of [plan]
    "total_samples",
    "epochs",
    "validate_every",
    "validation_samples",
    "checkpoint_minutes",
    "checkpoint_every",
}


class Curves(Protocol):
    """Shows losses while a training runs."""

    def begin(self, samples_seen: int) -> None:
        """Everything that was shown after so many samples is no longer true."""
        ...

    def add(self, samples_seen: int, split: str, values: Mapping[str, Any]) -> None:
        """Show the losses and the learning rate after so many samples."""
        ...


@dataclass(frozen=True)
class Run:
    """The folder of one training.

    Attributes:
        folder: of the run.
        is_written: False in all processes but the first of those that train together; then nothing
            is written, and everything can be read.
        curves: a second place for the losses, such as files of TensorBoard.
    """

    folder: Path
    is_written: bool = True
    curves: Curves | None = None

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write the settings of a new run, or compare them with those of its first start.

        Raises:
            Speech2FaceError: the run was started with other settings.
        """
        file = self.folder / CONFIG
        if file.is_file():
            _refuse_other_settings(read_json_object(file), config, str(self.folder))
        if self.is_written:
            write_whole(file, (json.dumps(config, indent=1) + "\n").encode())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, because the losses of two trainings at once would be mixed in it.

        Raises:
            Speech2FaceError: another process is training into it.
        """
        if not self.is_written:  # the first of the processes that train together holds it
            yield
            return
        make_folder(self.folder)
        with only_writer(self.folder):
            yield

    def restore(self, state: TrainState) -> None:
        """Put the checkpoint into `state`; without one, leave it as it is."""
        if has_checkpoint(self.folder):
            restore_state(state, load_checkpoint(self.folder, state.family), str(self.folder))
            LOG.info("continuing %s after %s samples", self.folder, f"{state.samples_seen:,}")
        if self.is_written:
            self._trim_stats(state.samples_seen)
        if self.curves is not None:
            self.curves.begin(state.samples_seen)

    def save(self, state: TrainState) -> None:
        """Save the state in place of the previous one."""
        if self.is_written:
            save_checkpoint(as_checkpoint(state), self.folder)

    def report(
        self,
        samples_seen: int,
        losses: Mapping[str, float],
        *,
        learning_rate: float | None = None,
        split: str = "train",
    ) -> None:
        """Add one line to the stats."""
        if not self.is_written:
            return
        line: dict[str, Any] = {"samples_seen": samples_seen, "split": split, **losses}
        if learning_rate is not None:
            line["learning_rate"] = learning_rate
        with writing(self.folder / STATS), (self.folder / STATS).open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.curves is not None:
            self.curves.add(samples_seen, split, line)

    def stats(self) -> list[dict[str, Any]]:
        """Lines of the stats, in order, without an incomplete line that a kill left behind."""
        file = self.folder / STATS
        lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def last_good(self) -> str:
        """A clause for messages that says which state is saved."""
        if not has_checkpoint(self.folder):
            return "nothing has been saved yet"
        return f"the state after {load_checkpoint(self.folder).samples_seen:,} samples is saved"

    def _trim_stats(self, samples_seen: int) -> None:
        """Remove the lines of updates that will be repeated."""
        if not (self.folder / STATS).is_file():
            return
        kept = [line for line in self.stats() if line["samples_seen"] <= samples_seen]
        lines = "".join(json.dumps(line) + "\n" for line in kept)
        write_whole(self.folder / STATS, lines.encode())


def _refuse_other_settings(
    started_with: Mapping[str, Any], config: Mapping[str, Any], path: str
) -> None:
    before, now = _flat(started_with), _flat(config)
    free = {f"settings.plan.{name}" for name in FREE_TO_CHANGE}
    differing = sorted(
        name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
    )
    if differing := [name for name in differing if name not in free]:
        changes = ", ".join(f"{name} {before.get(name)} -> {now.get(name)}" for name in differing)
        raise Speech2FaceError(
            f"this run was started with other settings: {changes}",
            "repeat those, or choose a new run directory",
            path,
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
