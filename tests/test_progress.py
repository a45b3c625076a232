"""The one progress display: what it shows on a terminal, in a log, and with no standard error."""

import io
import logging
import sys
from dataclasses import dataclass

import pytest

from speech2face import progress as module
from speech2face.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Clip:
    id: str
    rejected: str | None = None


def test_a_terminal_shows_a_bar_with_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Progress(4, unit="samples", done=1) as progress:
        progress.show(4, {"loss": 0.25})
        progress.tell("clip 7: too short")
    assert "4/4" in terminal.getvalue() and "loss 0.25" in terminal.getvalue()
    assert "clip 7: too short\n" in terminal.getvalue()


def test_short_work_away_from_a_terminal_says_nothing(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Progress(2) as progress:
        progress.advance()
        progress.advance()
    assert capsys.readouterr().err == "" and caplog.messages == []


def test_long_work_away_from_a_terminal_logs_count_values_and_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = iter([0.0, 10.0, 40.0, 50.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    with Progress(1400, unit="samples", done=1000) as progress:
        progress.show(1100, {"loss": 0.5})  # too early for a line
        progress.show(1200, {"loss": 0.25})  # 200 in 40 s, 200 to go
        progress.show(1400, {"loss": 0.125})
    assert caplog.messages == [
        "1,200 of 1,400 samples  loss 0.25  40 s left",
        "1,400 of 1,400 samples  loss 0.125",
    ]


def test_a_rejected_clip_is_named_and_the_others_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress() as progress:
        progress.step("extract", Clip("a"))
        progress.step("extract", Clip("b", "silent"))
    assert capsys.readouterr().err == "b: silent\n"


def test_a_closed_standard_error_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # what Python makes of `2>&-`
    with Progress(1) as progress:
        progress.step("extract", Clip("b", "silent"))


@pytest.mark.parametrize(
    "seconds, words", [(0, "0 s"), (42.4, "42 s"), (200, "3 min 20 s"), (18720, "5 h 12 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
