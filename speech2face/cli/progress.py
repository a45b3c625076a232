"""What a person sees while clips go by: a bar on standard error, and a line for every bad one."""

import sys
from types import TracebackType
from typing import Any, Self


class Progress:
    """A progress bar before a terminal, silence elsewhere; rejected clips are always named."""

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ModuleNotFoundError:  # a bar is not worth an error
                return self
            self._bar = tqdm(total=self.total, unit="clip", leave=False, file=sys.stderr)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, stage: str, outcome: Any) -> None:
        """One clip is done, kept or rejected."""
        if self._bar is not None:
            self._bar.set_description(stage)
            self._bar.update()
        if outcome.rejected is not None:
            line = f"{outcome.id}: {outcome.rejected}"
            if self._bar is None:
                print(line, file=sys.stderr)
            else:
                self._bar.write(line, file=sys.stderr)
