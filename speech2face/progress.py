"""How far a long piece of work is: a bar on a terminal, elsewhere a log line every half minute."""

import logging
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

LOG = logging.getLogger(__name__)
LINE_EVERY = 30.0  # seconds between two log lines where there is no terminal


class Outcome(Protocol):
    """What became of one item: `rejected` is the reason why it could not be used, if any."""

    @property
    def id(self) -> str: ...

    @property
    def rejected(self) -> str | None: ...


class Progress:
    """Progress of work on many items, shown on standard error.

    Example:
        with Progress(len(clips)) as progress:
            for clip in clips:
                ...
                progress.advance()
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        unit: str = "clips",
        done: int = 0,
        is_shown: bool = True,
    ) -> None:
        """
        Args:
            total: number of items, if it is known.
            unit: what is counted, in the plural.
            done: number of items that an earlier, interrupted run has already done.
            is_shown: False where another process shows the same progress.
        """
        self._is_shown = is_shown
        self._total, self._unit = total, unit
        self._first = self._done = done
        self._started = self._line_at = time.monotonic()
        self._logged = False
        self._bar: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._is_shown and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm
            from tqdm.contrib.logging import logging_redirect_tqdm

            size = shutil.get_terminal_size()  # tqdm draws nothing where a terminal states 0 x 0
            bar = tqdm(
                total=self._total,
                initial=self._done,
                unit=f" {self._unit}",
                leave=False,
                ncols=size.columns,
                nrows=size.lines,
                file=sys.stderr,
            )
            self._bar = self._open.enter_context(bar)
            self._open.enter_context(logging_redirect_tqdm())  # log lines go above the bar
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()
        self._bar = None

    def advance(self, words: str = "") -> None:
        """One more item is done; `words` say something about it, such as its name."""
        self._show(self._done + 1, words)

    def show(self, n_done: int, values: Mapping[str, float] | None = None) -> None:
        """So many items are done by now; `values` are shown beside, such as losses by name."""
        words = (f"{name} {value:.4g}" for name, value in (values or {}).items())
        self._show(n_done, "  ".join(words))

    def step(self, stage: str, outcome: Outcome) -> None:
        """One more item is done; one that was rejected is named with the reason."""
        if self._bar is not None:
            self._bar.set_description_str(stage, refresh=False)
        self._show(self._done + 1, "")
        if outcome.rejected is not None:
            self.tell(f"{outcome.id}: {outcome.rejected}")

    def tell(self, line: str, file: TextIO | None = None) -> None:
        """Write one line to standard error or `file`, above the bar if there is one."""
        file = file or sys.stderr
        if self._bar is not None:
            self._bar.write(line, file=file)
        elif file is not None:
            file.write(line + "\n")
        if file is not None:
            file.flush()

    def _show(self, n_done: int, words: str) -> None:
        self._done = n_done
        if self._bar is not None:
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(n_done - self._bar.n)
            return
        if not self._is_shown:
            return
        now = time.monotonic()
        is_last = n_done == self._total and self._logged
        if now - self._line_at >= LINE_EVERY or is_last:
            self._line_at, self._logged = now, True
            LOG.info("%s", "  ".join(filter(None, (self._counted(), words, self._time_left(now)))))

    def _counted(self) -> str:
        of_total = "" if self._total is None else f" of {self._total:,}"
        return f"{self._done:,}{of_total} {self._unit}"

    def _time_left(self, now: float) -> str:
        n_new = self._done - self._first
        if self._total is None or n_new < 1 or self._done >= self._total:
            return ""
        return f"{duration((now - self._started) / n_new * (self._total - self._done))} left"


def duration(seconds: float) -> str:
    """Time as people say it: `42 s`, `3 min 20 s`, `5 h 12 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
