"""Every long command at toy size, ready to be stopped."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import Ended, contents, stopped_at, timed

TINY = Path(__file__).parents[1] / "configs" / "tiny.toml"
DECODER = ("feature_size=128", "hidden_size=16", "landmark_widths=[16]", "base_size=7",
           "channels=[4,4,4,4,4,4]")  # fmt: skip
PLAN = ("plan.total_samples=48", "plan.checkpoint_every=8", "plan.validate_every=24")
LONG_COMMANDS = (
    "reconstruct",
    "prepare",
    "extract",
    "evaluate",
    "train voice-encoder",
    "train face-decoder",
    "default-model",
    "export",
)
PLACES = ("manifest.jsonl", "features.json")  # of `prepare`; hold paths relative to the folder
QUICK_COMMANDS = LONG_COMMANDS[:4]  # the others need seconds to import torch


@dataclass(frozen=True)
class LongCommand:
    """A command whose results go into a folder; given again, it ends with the same results."""

    arguments: Callable[[Path], list[str]]
    is_result: Callable[[Path], bool]
    seconds: float
    unbroken: dict[str, bytes]

    def results(self, folder: Path) -> dict[str, bytes]:
        return contents(folder, self.is_result)

    def stopped(
        self, folder: Path, number: signal.Signals, moment: float, *, to_all: bool = False
    ) -> tuple[Path, Ended]:
        """A run into a folder below `folder` that a signal stops; returns that folder too.

        A run may take less time than the unbroken one did. If it has ended before the moment, a
        new one is stopped at half of it.
        """
        for attempt in range(12):
            out = folder / str(attempt)
            ended = stopped_at(self.arguments(out), number, moment / 2**attempt, to_all=to_all)
            if ended.status != 0:
                return out, ended
        raise AssertionError(f"no run was stopped, the last one after {moment / 2**11} s")


def make(name: str, fixture: Callable[[str], Any], folder: Path) -> LongCommand:
    """One of the commands, after an unbroken run of it into `folder`.

    Args:
        name: one of `LONG_COMMANDS`.
        fixture: value of a fixture by name.
    """
    arguments = _arguments(name, fixture)

    def is_result(path: Path) -> bool:
        if name == "default-model":  # what it releases, not the state of the run
            return path.parent.name == "model"
        return not (name == "prepare" and path.name in PLACES)

    seconds = timed(arguments(folder))
    return LongCommand(arguments, is_result, seconds, contents(folder, is_result))


def _arguments(name: str, fixture: Callable[[str], Any]) -> Callable[[Path], list[str]]:
    if name == "reconstruct":
        given = [*fixture("voices"), "--model", str(fixture("stand_in_model")), "--force"]
        return lambda folder: ["reconstruct", *given, "--spread", "1", "--out", str(folder)]
    if name == "evaluate":
        pair = fixture("pair_of_features")
        return lambda folder: ["evaluate", *pair, "--force", "--out", str(folder)]
    if name == "default-model":
        from tiny_recipe import write_config

        page = fixture("tiny_page")
        config = write_config(page.parent / "tiny.toml")
        start = ["default-model", "--data", str(page), "--config", str(config), "--force"]
        return lambda folder: [
            *start, "--run-dir", str(folder / "run"), "--out", str(folder / "model")
        ]  # fmt: skip
    if name == "export":
        run_dir = str(fixture("tiny_run"))
        return lambda folder: ["export", run_dir, str(folder / "mine.onnx"), "--force"]
    world: Path = fixture("tiny_world")
    manifest = str(world / "world" / "manifest.jsonl")
    if name == "prepare":
        return lambda folder: ["prepare", "manifest", manifest, str(folder), "--clip-seconds", "3"]
    if name == "extract":
        return lambda folder: ["extract", str(fixture("stand_in_model")), manifest, str(folder)]
    network = name.split()[1]
    chosen = [f"model.{setting}" for setting in DECODER] if network == "face-decoder" else []
    chosen += [*PLAN, "plan.batch_size=4"]
    if network == "voice-encoder":
        chosen = [*PLAN, "plan.batch_size=4", "clip_seconds=3"]
    settings = [word for setting in chosen for word in ("--set", setting)]
    config = ["--config", str(TINY)] if network == "voice-encoder" else []
    start = ["train", network, "--data", str(world / "features"), "--device", "cpu"]
    return lambda folder: [*start, *config, *settings, "--run-dir", str(folder)]
