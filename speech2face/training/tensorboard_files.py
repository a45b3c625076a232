"""The door to tensorboardX: the losses of a run as files that TensorBoard shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from speech2face.extras import missing_extra

FLUSH_SECONDS = 10
_NOT_LOSSES = {"samples_seen", "split"}


class TensorBoardFiles:
    """Event files in one folder; a curve of each loss of the training and of the validation.

    A thread writes them. What it has not yet written is written when the `with` block ends.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            Speech2FaceError: tensorboardX is not installed.
        """
        try:
            import tensorboardX
        except ModuleNotFoundError as missing:
            raise missing_extra("tensorboardX", "tensorboard") from missing
        self._folder, self._writer_class = folder, tensorboardX.SummaryWriter
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def begin(self, samples_seen: int) -> None:
        """Begin a file. TensorBoard hides what earlier files show from this point on."""
        self._writer = self._writer_class(
            str(self._folder), purge_step=samples_seen + 1, flush_secs=FLUSH_SECONDS
        )

    def add(self, samples_seen: int, split: str, values: Mapping[str, Any]) -> None:
        """Add one point to each curve."""
        for name, value in values.items():
            if name not in _NOT_LOSSES:
                self._writer.add_scalar(f"{name}/{split}", value, samples_seen)
