"""Every option of every command with values that make no sense gives one line and no traceback."""

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from speech2face.cli.main import main, make_parser

HOSTILE = ("-1", "nan", "inf", "1e999", "", "x", "x" * 5000, "9" * 5000, "FOLDER", "FOLDER/none",
           "/dev/null", "\udcff", "a=b", "0")  # fmt: skip


def commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command that runs something, with its words."""
    children = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not children:
        yield words, parser
    for action in children:
        for name, child in action.choices.items():
            yield from commands(child, (*words, name))


def taking_values(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.nargs != 0]


CASES = [
    pytest.param(words, action.dest, id=f"{'-'.join(words)}-{action.dest}")
    for words, parser in commands(make_parser())
    for action in taking_values(parser)
]


def line_of(words: tuple[str, ...], destination: str, value: str, folder: Path) -> list[str]:
    """The command with one hostile value; the other values name files that do not exist."""
    (parser,) = (parser for names, parser in commands(make_parser()) if names == words)
    line = list(words)
    for action in taking_values(parser):
        is_chosen = action.dest == destination
        if not (is_chosen or action.required):
            continue
        given = (
            value if is_chosen else (action.choices or [str(folder / "missing" / action.dest)])[0]
        )
        line += [f"{action.option_strings[-1]}={given}"] if action.option_strings else [given]
    return line


def _serve_and_fetch_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server would not end, and the page's packages come from outside."""
    monkeypatch.setattr("speech2face.web.site.site_files", lambda *_: {"index.html": b""})
    with contextlib.suppress(ImportError):
        monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)


@pytest.mark.parametrize("words, destination", CASES)
def test_a_value_that_makes_no_sense_is_refused_with_an_explanation(
    words: tuple[str, ...],
    destination: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    _serve_and_fetch_nothing(monkeypatch)
    folder = tmp_path / "folder"
    folder.mkdir()
    for value in (hostile.replace("FOLDER", str(folder)) for hostile in HOSTILE):
        line = line_of(words, destination, value, folder)
        printed, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            status = main(line)
        assert status in (0, 1, 2), line
        assert status == 0 or errors.getvalue().strip(), line
        assert "Traceback" not in errors.getvalue()


def test_the_null_device_is_never_replaced() -> None:
    assert not os.path.isfile(os.devnull)  # no command has put a file in its place


@pytest.mark.parametrize(
    "line",
    [
        ["prepare", "invented", "w", "f", "--clip-seconds", "-1"],
        ["prepare", "invented", "w", "f", "--clip-seconds", "nan"],
        ["prepare", "invented", "w", "f", "--persons", "0"],
        ["train", "voice-encoder", "--device", "gpu"],
        ["train", "voice-encoder", "--balance-at", "0"],
        ["evaluate", "a", "b", "--out", "r", "--seed", "-1"],
        ["evaluate", "a", "b", "--out", "r", "--workers", "0"],
        ["evaluate", "a", "b", "--out", "r", "--faces", "no-path"],
        ["extract", "default", "m", "o", "--seconds", "inf"],
        ["extract", "default", "m", "o", "--exaggeration", "nan"],
        ["reconstruct", "v", "--out", ""],
        ["reconstruct", "v", "--out", "o", "--seed", "9" * 5000],
        ["convert-vgg-face", "a", "b", "--sha256", "abc"],
    ],
)
def test_wrong_values_are_status_2_with_one_short_line(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("speech2face ") and ": error: argument " in last and len(last) < 200
