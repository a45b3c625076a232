"""What a command prints when it is done: lines for people, or one JSON line for programs."""

import argparse
import json
from typing import Any

HELP = "print the result as one line of JSON"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json` to every command below a parser that prints a result and has it not yet.

    A command without a result, such as one that serves, says `set_defaults(has_result=False)`.
    """
    actions = parser._actions  # the library has no public way to see them
    below = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
    for action in below:
        for command in action.choices.values():
            add_json(command)
    has_result = parser.get_default("has_result") is not False
    if has_result and not below and "--json" not in parser._option_string_actions:
        parser.add_argument("--json", action="store_true", help=HELP)


def print_result(arguments: argparse.Namespace, text: str, **values: Any) -> None:
    """Print what became of a command.

    Args:
        arguments: of the command; `json` says which form is wanted.
        text: for people.
        values: the same for programs; what JSON does not know, such as a path, becomes text.
    """
    print(json.dumps(values, default=str) if arguments.json else text)


def print_trained(arguments: argparse.Namespace, n_samples: int, loss: float) -> None:
    """Print where a training ended; `run_dir` of the arguments is its folder."""
    told = f"{arguments.run_dir}: {n_samples:,} samples, loss {loss:.6g}"
    print_result(arguments, told, run_dir=arguments.run_dir, samples=n_samples, loss=loss)
