"""Settings of the five other systems at toy size."""

from dataclasses import replace
from typing import Any

from speech2face.baselines.trainer import SYSTEMS

SIZES: dict[str, dict[str, Any]] = {
    "svhf": {"width": 16},
    "kim": {"width": 8},
    "dimnet": {"width": 8},
    "wav2pix": {"channels": (8, 8, 8, 8)},
    "voice2face-gan": {"channels": (8, 8, 8, 8, 8), "judge_channels": (8, 8, 8, 8, 8)},
}


def tiny(name: str, updates: int = 4, batch_size: int = 8, rate: float = 3e-3) -> Any:
    settings: Any = SYSTEMS[name].settings
    return replace(
        settings,
        view=replace(settings.view, size=8),
        adam=replace(settings.adam, learning_rate=rate),
        plan=replace(
            settings.plan,
            batch_size=batch_size,
            epochs=0.0,
            total_samples=batch_size * updates,
            checkpoint_every=batch_size * 2,
        ),
        **SIZES[name],
    )
