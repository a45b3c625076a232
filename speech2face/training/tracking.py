"""A run directory: settings, checkpoint, losses; and how a training shows its progress.

=======================  ===========================================================================
`config.json`            all settings, resolved; a run is continued with the same ones only.
`checkpoint.json`, and   the newest checkpoint, as `speech2face.models.checkpoint` writes it: a kill
two `*.safetensors`      leaves the one before it or the new one, whole.
`stats.jsonl`            one line an update, with every loss under its name; validation lines carry
                         `"split": "val"`.
=======================  ===========================================================================
"""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from speech2face.errors import Speech2FaceError
from speech2face.models.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from speech2face.training.state import TrainState, as_checkpoint, restore_state

LOG = logging.getLogger(__name__)
CONFIG = "config.json"
STATS = "stats.jsonl"
LINE_EVERY = 30.0  # seconds between two lines of progress where there is no terminal
FREE_TO_CHANGE = {"total_samples", "validate_every", "checkpoint_every"}  # of [plan]


@dataclass(frozen=True)
class Run:
    """One training's folder."""

    folder: Path

    def begin(self, config: Mapping[str, Any]) -> None:
        """Write the settings of a new run, or compare them with those it was started with.

        Raises:
            Speech2FaceError: the run was started with other settings.
        """
        file = self.folder / CONFIG
        if file.is_file():
            _refuse_other_settings(json.loads(file.read_text()), config, str(self.folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(config, indent=1) + "\n")
        os.replace(partial, file)

    def restore(self, state: TrainState) -> None:
        """Put the checkpoint into `state`; without one, leave it as it is."""
        if has_checkpoint(self.folder):
            restore_state(state, load_checkpoint(self.folder), str(self.folder))
            LOG.info("continues %s after %s samples", self.folder, f"{state.samples_seen:,}")
        self._trim_stats(state.samples_seen)

    def save(self, state: TrainState) -> None:
        """Keep the state in place of the one before."""
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
        line: dict[str, Any] = {"samples_seen": samples_seen, "split": split, **losses}
        if learning_rate is not None:
            line["learning_rate"] = learning_rate
        with (self.folder / STATS).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def stats(self) -> list[dict[str, Any]]:
        """Lines of the stats, in order; a line that a kill cut short is left out."""
        file = self.folder / STATS
        lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def progress(self, samples_seen: int, total_samples: int) -> "Progress":
        """What shows how far the training is."""
        return Progress(samples_seen, total_samples)

    def last_good(self) -> str:
        """Which state is kept, in words."""
        if not has_checkpoint(self.folder):
            return "nothing has been kept yet"
        return f"the state after {load_checkpoint(self.folder).samples_seen:,} samples is kept"

    def _trim_stats(self, samples_seen: int) -> None:
        """Forget lines of updates that are about to be made again."""
        if not (self.folder / STATS).is_file():
            return
        kept = [line for line in self.stats() if line["samples_seen"] <= samples_seen]
        partial = self.folder / f"{STATS}.partial"
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(partial, self.folder / STATS)


class Progress:
    """A bar on a terminal, else a log line every half minute: samples, losses and time left."""

    def __init__(self, samples_seen: int, total_samples: int) -> None:
        self._total = total_samples
        self._first = samples_seen
        self._started = self._line_at = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total_samples, initial=samples_seen, unit=" samples")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, samples_seen: int, losses: Mapping[str, float]) -> None:
        """Show the state after an update, if it is time to."""
        words = "  ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
        if self._bar is not None:
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(samples_seen - self._bar.n)
            return
        now = time.monotonic()
        if now - self._line_at < LINE_EVERY and samples_seen < self._total:
            return
        self._line_at = now
        left = (now - self._started) / (samples_seen - self._first) * (self._total - samples_seen)
        LOG.info("%s of %s samples  %s  %s left", f"{samples_seen:,}", f"{self._total:,}", words,
                 duration(left))  # fmt: skip


def duration(seconds: float) -> str:
    """Time as people say it: `42 s`, `3 min 20 s`, `5 h 12 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


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
