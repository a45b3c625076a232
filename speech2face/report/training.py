"""The section on training runs: their losses against samples seen (Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from speech2face.errors import Speech2FaceError
from speech2face.report import figures
from speech2face.report.document import FIGURES, Picture, Section
from speech2face.report.tables import Table


def training_section(runs: Mapping[str, Path], out: Path) -> Section:
    """Curves of training runs from their `stats.jsonl`, by the run's name.

    Raises:
        Speech2FaceError: a file is missing or holds no losses.
    """
    training = {name: figures.training_curves(stats) for name, stats in runs.items()}
    validation = {}
    for name, stats in runs.items():
        try:
            validation[name] = figures.training_curves(stats, split="val")
        except Speech2FaceError:
            continue  # a run without validation
    path = figures.draw_curves(training, out / FIGURES / "training.png", validation=validation)
    rows = tuple(
        (run, loss, int(curve.samples_seen[-1]), float(curve.values[-1]))
        for run, curves in training.items()
        for loss, curve in curves.items()
    )
    return Section(
        "training",
        "Training curves",
        (),
        (Table("Last training losses", ("run", "loss", "samples seen", "value"), rows),),
        (
            Picture(
                path,
                "Losses against samples seen; training dashed, validation solid.",
                "One panel per loss, one colour per run.",
            ),
        ),
    )
