"""`speech2face completion`: what lets a shell complete our commands and options. Uses shtab."""

import argparse
from types import ModuleType
from typing import Any

from speech2face.cli.arguments import file_name, named_path, path
from speech2face.extras import missing_extra

SHELLS = ("bash", "zsh", "tcsh")
DESCRIPTION = """\
Print a script with which a shell completes the commands and options of speech2face by the Tab key.
This needs the extra "completion".
"""
EPILOG = """\
examples:
  speech2face completion bash > ~/.local/share/bash-completion/completions/speech2face
  speech2face completion zsh > ~/.zfunc/_speech2face          with ~/.zfunc in $fpath
"""
_FILES = (path, file_name, named_path)  # types of arguments that name files


def add_parser(subparsers: Any) -> None:
    """Add `completion`."""
    parser = subparsers.add_parser(
        "completion",
        help="let a shell complete commands",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run, has_result=False)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from speech2face.cli.main import make_parser

    shtab = _shtab()
    parser = make_parser()
    _complete_files(parser, shtab)
    print(shtab.complete(parser, arguments.shell))
    return 0


def _complete_files(parser: argparse.ArgumentParser, shtab: ModuleType) -> None:
    """Mark the arguments that name files, of a parser and of all below it."""
    for action in parser._actions:  # the library has no public way to see them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_files(command, shtab)
        elif action.type in _FILES or _is_file_without_a_type(action):
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def _is_file_without_a_type(action: argparse.Action) -> bool:
    """Whether it is a positional argument that takes any text: voices and photos do."""
    return not action.option_strings and action.type is None and action.choices is None


def _shtab() -> ModuleType:
    try:
        import shtab
    except ModuleNotFoundError as missing:
        raise missing_extra("shtab", "completion") from missing
    module: ModuleType = shtab
    return module
