"""Write docs/commands.md: what `--help` says of every command.

    python docs/make_commands.py

A test compares the words of the page with those of `page()`, so an option cannot change and leave
the page behind. It compares words, not lines, because Python versions break and indent help
differently.
"""

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from speech2face.cli.main import main, make_parser

PAGE = Path(__file__).with_name("commands.md")
PLAIN = {"COLUMNS": "80", "PYTHON_COLORS": "0"}  # whatever the terminal is

HEAD = """\
# Commands

What `--help` says of every command, written by `python docs/make_commands.py`: change the command,
not the page. [training.md](training.md) and [evaluation.md](evaluation.md) show them at work.
"""


def page() -> str:
    """The whole page."""
    sections = [HEAD]
    for words in commands(make_parser()):
        heading = "#" * (2 if len(words) < 2 else 3)
        name = " ".join(("speech2face", *words))
        sections.append(f"{heading} {name}\n\n```\n{help_of(words)}```\n")
    return "\n".join(sections)


def commands(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of `parser` itself and of every command below it, in the order of its help."""
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from commands(child, *words, name)


def help_of(words: tuple[str, ...]) -> str:
    """What `speech2face WORDS --help` prints."""
    printed = io.StringIO()
    with mock.patch.dict(os.environ, PLAIN), contextlib.redirect_stdout(printed):
        main([*words, "--help"])
    return printed.getvalue()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
